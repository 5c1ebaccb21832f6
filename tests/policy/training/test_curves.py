"""Where the curves go."""

import sys
from pathlib import Path

import pytest
from policy_toy import fork_recipe
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from policy.training.curves import RUN_ID, Curves
from robot_io.errors import FeelforwardError


def test_a_resumed_training_replaces_what_came_after_its_last_save(tmp_path: Path) -> None:
    for begun, value in ((0, 1.0), (10, 2.0)):
        with Curves(tmp_path, fork_recipe(), from_step=begun) as curves:
            for step in (begun + 5, begun + 10, begun + 15):
                curves.add(step, {"loss/training": value})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    told = [(event.step, event.value) for event in events.Scalars("loss/training")]
    assert told == [(5, 1.0), (15, 2.0), (20, 2.0), (25, 2.0)]


def test_weights_and_biases_is_asked_for_in_one_sentence_when_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it could not be found
    with pytest.raises(FeelforwardError, match="not installed: pip install wandb"):
        Curves(tmp_path, fork_recipe(), from_step=0, wandb_project="arms")


@pytest.mark.slow
def test_weights_and_biases_gets_one_run_however_often_a_training_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    ids = []
    for begun in (0, 10):
        with Curves(tmp_path, fork_recipe(), from_step=begun, wandb_project="arms") as curves:
            curves.add(begun + 5, {"loss/training": 1.0})
        ids.append((tmp_path / RUN_ID).read_text())
    assert ids[0] == ids[1]
    assert list((tmp_path / "wandb").glob("offline-run-*"))
