import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.data import LeRobotWriter
from scripts.cli import main, parse
from scripts.commands import COMMANDS
from scripts.commands.evaluate import Evaluate


def run(*arguments: str) -> int:
    """Exit code of the command line."""
    try:
        main(list(arguments))
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def sentence(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a failing command says on stderr: one line, with exit code 1."""
    assert run(*arguments) == 1
    text = capsys.readouterr().err
    assert text.startswith("feelforward: ")
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*name.split(), "--help") == 0
    text = capsys.readouterr().out
    assert "--help" in text
    assert f"feelforward {name}" in text.split("options")[0].split("\n", 2)[2], "no example"


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in COMMANDS)


def test_a_mistyped_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("evalute") == 2
    assert "feelforward evaluate" in capsys.readouterr().err


def test_options_arrive_typed() -> None:
    command = parse(["evaluate", "--episodes", "7", "--mode", "realtime", "--json", "r.json"])
    assert command == Evaluate(episodes=7, mode="realtime", json=Path("r.json"))


def test_the_help_loads_neither_torch_nor_mujoco() -> None:
    code = (
        "import sys; from scripts.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mujoco', 'cv2', 'av', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_missing_checkpoint_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = sentence(capsys, "evaluate", "--checkpoint", str(tmp_path / "none"), "--episodes", "1")
    assert "is no folder of a checkpoint" in text


def test_no_episodes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--episodes 0, allowed: 1 or more" in sentence(capsys, "evaluate", "--episodes", "0")


def test_a_report_that_could_not_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    text = sentence(capsys, "evaluate", "--json", str(tmp_path / "file" / "report.json"))
    assert "cannot be written" in text


def test_training_with_a_misspelt_key_names_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[policy]\naction = "tool"\nhorison = 16\nvectors = [{name = "measured"}]\n')
    run_folder = str(tmp_path / "run")
    text = sentence(
        capsys, "train", "--config", str(recipe), "--data", str(tmp_path), "--out", run_folder
    )
    assert "policy.horison is not a known key; the nearest valid one is policy.horizon." in text
    assert not Path(run_folder).exists()


def test_data_at_another_rate_than_the_policys_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {name: np.zeros((4, 8)) for name in ("action", "measured")}
    writer = LeRobotWriter(tmp_path / "data", fps=30, robot_type="sim_fr3")
    stamps = {"row": np.arange(4, dtype=np.int64)}
    writer.save_episode(vectors=rows, images={}, stamps=stamps, task="nothing")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[policy]\naction = "tool"\nvectors = [{name = "measured"}]\n')
    paths = ("--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"))
    text = sentence(capsys, "train", "--config", str(recipe), *paths)
    assert "has 30 rows a second, but policy.step_ms = 100 means 10: set step_ms = 33" in text
    assert not (tmp_path / "run").exists()
