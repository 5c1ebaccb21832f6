"""Processes and passes share a batch: the same training, to rounding, as one that does it all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import shared_training
import torch
from torch import Tensor

from policy import statistics
from policy.config import TrainConfig
from policy.data.share import WHOLE, Share
from policy.training.processes import Processes, launched
from robot_io.errors import FeelforwardError


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FITTED_WINDOWS", "CALIBRATION_WINDOWS"):
        monkeypatch.setattr(statistics, name, getattr(statistics, name))  # `run` changes them


def state_of(out_dir: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(out_dir / "state.safetensors")


def assert_same_gradients(one: Path, other: Path) -> None:
    """After the first step, when the weights were the same: sums in another order."""
    theirs = state_of(other)
    for name, mine in state_of(one).items():
        if name.startswith("optimizer.exp_avg"):
            largest = mine.abs().max().item()
            torch.testing.assert_close(theirs[name], mine, rtol=0, atol=2e-5 * largest)


def assert_same_weights(one: Path, other: Path, *, train: TrainConfig) -> None:
    """Adam divides each gradient by its own size, small ones included, so that in the weights a
    rounding counts as a share of a step: 2 % of the way that the steps could go at most.
    """
    furthest = train.learning_rate * train.steps
    theirs = state_of(other)
    for name, mine in state_of(one).items():
        if not name.startswith("optimizer.exp_avg"):
            torch.testing.assert_close(theirs[name], mine, rtol=0, atol=0.02 * furthest)


def in_two_processes(out_dir: Path, *until_step: str) -> None:
    """They find each other by gloo, over loopback."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [sys.executable, *launcher, shared_training.__file__, str(out_dir), *until_step],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        check=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_like_one_with_twice_their_batch_and_resume_to_the_bit(
    tmp_path: Path,
) -> None:
    one, two, parts = (tmp_path / name for name in ("one", "two", "parts"))
    shared_training.run(one, until_step=1)
    in_two_processes(two, "1")
    assert_same_gradients(one, two)
    alone = shared_training.run(one)
    in_two_processes(two)
    assert_same_weights(one, two, train=shared_training.recipe().train)
    assert "2 process(es)" in (two / "checkpoint" / "card.md").read_text()
    in_two_processes(parts, "3")
    in_two_processes(parts)
    assert all(torch.equal(x, state_of(parts)[name]) for name, x in state_of(two).items())
    assert alone.best is not None


@pytest.mark.timeout(300)  # a few seconds on an idle core
def test_passes_over_parts_of_a_batch_are_a_step_with_all_of_it(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    shared_training.run(whole, until_step=1)
    shared_training.run(parts, until_step=1, accumulate=4)
    assert_same_gradients(whole, parts)
    shared_training.run(whole)
    shared_training.run(parts, accumulate=4)
    assert_same_weights(whole, parts, train=shared_training.recipe().train)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeelforwardError, match="batch of 8 cannot be divided into 3 equal parts"):
        shared_training.run(tmp_path, accumulate=3)


def test_parts_see_the_random_numbers_of_the_whole() -> None:
    def draw(n: int) -> Tensor:
        return torch.rand(n, 2, generator=torch.Generator().manual_seed(3))

    parts = [part.of(draw, 2) for half in Share().split(2) for part in half.split(3)]
    assert torch.equal(torch.cat(parts), WHOLE.of(draw, 12))
    assert [part.rows(12) for part in Share(1, 2).split(3)] == [
        slice(6, 8),
        slice(8, 10),
        slice(10, 12),
    ]


def test_a_process_that_no_launcher_started_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not launched()
    with Processes(TrainConfig(device="cpu")) as processes:
        assert processes.share == WHOLE
        assert processes.is_first


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(FeelforwardError, match=r"3 processes on a machine with 2 GPU"):
        Processes(TrainConfig())
