"""`feelforward train` as a user calls it: several processes, the task played on the way, a log
file, and data that are larger than the memory.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from made_up_pushes import QUICK, write_demonstrations

from robot_io.errors import FeelforwardError
from scripts.bench.learn.memory import Memory, MemoryCell
from scripts.cli import parse
from scripts.commands.train import Train


def feelforward(*arguments: str | Path, code: int = 0) -> str:
    """What the command says when its output goes to a file, errors when it fails with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MUJOCO_GL": "egl"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)  # half a minute on an idle core
def test_processes_share_a_training_and_the_task_is_played_on_the_way(tmp_path: Path) -> None:
    pytest.importorskip("gym_pusht")
    data = write_demonstrations(tmp_path / "data", episodes=21, rows=20)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(QUICK)
    common = ["train", "--config", recipe, "--data", data, "--steps", "8"]
    said = feelforward(*common, "--out", tmp_path / "one")
    assert "step 8 of 8, loss" in said
    assert re.search(r"Held-out episodes: loss [\d.]+, action error: mean_absolute", said)
    assert re.search(r"best \(step \d, validation loss", said)
    assert re.search(r"Peak memory: [\d.]+ GiB of its own, [\d.]+ GiB of mapped files", said)
    play = ["--evaluate-every", "4", "--evaluate-episodes", "2", "--task", "gym_pusht/PushT-v0"]
    said = feelforward(*common, "--out", tmp_path / "two", "--processes", "2", *play)
    assert re.search(
        r"step 4: success 0, max_reward [\d.]+, coverage [\d.e-]+ \(.* to play\)", said
    )
    assert "best (step 8, success 0)" in said
    assert said.count("Looking at the data.") == 1
    said = feelforward(*common, "--out", tmp_path / "two", "--processes", "2", code=1)
    assert "already holds a training" in said
    assert "process 0 of 2 ended with exit code 1" in said
    assert "Traceback" not in said
    weights = [
        safetensors.torch.load_file(tmp_path / run / "checkpoint" / "weights.safetensors")
        for run in ("one", "two")
    ]
    for name, mine in weights[0].items():
        torch.testing.assert_close(weights[1][name], mine, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # half a minute on an idle core
def test_data_larger_than_the_memory_of_the_process_train() -> None:
    row, cell = Memory(), MemoryCell(episodes=8)
    figures = row.measure(cell)
    assert figures["decoded_mib"] > 780
    assert figures["own_mib"] < cell.limit_mib == 640
    (claim,) = row.claims([(cell, figures)])
    assert claim.verdict == "kept"
    with pytest.raises(FeelforwardError, match=r"The training failed"):
        row.measure(replace(cell, episodes=1, limit_mib=200))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--processes", "0"], "--processes 0, allowed: 1 or more"),
        (["--evaluate-every", "0"], "--evaluate-every 0, allowed: 1 or more"),
        (["--evaluate-every", "5", "--evaluate-episodes", "0"], "--evaluate-episodes 0, allowed"),
        (["--evaluate-every", "5", "--task", "Tower"], "--task Tower is not known"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_the_training(
    tmp_path: Path, option: list[str], message: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(QUICK)
    data = write_demonstrations(tmp_path / "data", episodes=1, rows=3)
    run = str(tmp_path / "run")
    arguments = ["train", "--config", str(recipe), "--data", str(data), "--out", run]
    command = parse([*arguments, *option])
    assert isinstance(command, Train)
    with pytest.raises(FeelforwardError, match=message):
        command.run()
    assert not (tmp_path / "run").exists()
