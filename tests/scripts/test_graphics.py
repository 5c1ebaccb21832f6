import os
import subprocess
import sys
from pathlib import Path


def test_a_machine_that_cannot_render_says_what_to_install(tmp_path: Path) -> None:
    """A foreign `mujoco` first on the path fails as the real one does without its GL library."""
    (tmp_path / "mujoco.py").write_text("raise AttributeError('eglQueryString')")
    command = [sys.executable, "-m", "scripts.cli", "collect", "--out", str(tmp_path / "data")]
    paths = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install libegl1" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
