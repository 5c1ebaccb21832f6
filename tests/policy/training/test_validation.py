"""What held-out episodes say: in real units, and which step is kept as the best."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from policy_toy import ForkSampler, fork_recipe, random_rows

from policy import statistics
from policy.checkpoint import load_checkpoint, read_recipe
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share
from policy.training import validation
from policy.training.keeper import Evaluation
from policy.training.state import Best
from policy.training.train import TrainResult, train
from policy.training.validation import action_error


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FITTED_WINDOWS", 512)
    monkeypatch.setattr(validation, "PLANS", 4)


def test_errors_of_tools_are_in_mm_and_degrees() -> None:
    shown = random_rows(np.random.default_rng(0), (5, 16))
    planned = shown.copy()
    planned[..., :3] += [0.003, 0.0, -0.004]
    planned[..., 7] += 0.001
    half = np.radians(20.0) / 2
    w, x, y, z = np.moveaxis(shown[..., 3:7], -1, 0)
    planned[..., 3:7] = -np.stack([w, x, y, z], -1) * np.cos(half) - np.sin(half) * np.stack(
        [-x, w, -z, y], -1
    )  # turned by 20 degrees about x, and the quaternion of the other sign
    error = action_error(planned, shown, action="tool")
    assert error == pytest.approx({"position_mm": 5.0, "rotation_deg": 20.0, "width_mm": 1.0})


def test_errors_of_vectors_are_in_the_unit_of_the_data() -> None:
    shown = np.zeros((2, 16, 2))
    planned = shown + np.array([1.0, -3.0])
    assert action_error(planned, shown, action="vector") == {"mean_absolute": 2.0}


def test_plans_of_a_trained_policy_come_nearer_to_what_was_shown(tmp_path: Path) -> None:
    class Following(ForkSampler):
        """What is to be done is where the state was last."""

        def sample(self, step: int, share: Share = WHOLE) -> Batch:
            batch = super().sample(step, share)
            batch.action_BHD[:] = batch.vectors["state"][:, -1:, :2]
            return batch

    result = [
        train(
            fork_recipe(steps=200, kind="mlp"),
            Following(),
            tmp_path,
            validation=Following(seed=1),
            until_step=until,
            resume=until > 1,
            progress=False,
        )
        for until in (1, 200)
    ]
    first, last = (each.validation.action_error["mean_absolute"] for each in result)
    assert last < 0.5 * first
    assert "mean_absolute" in (tmp_path / "checkpoint" / "card.md").read_text()


def played(
    tmp_path: Path, success: Mapping[int, float], *, steps: int = 40, **options: object
) -> TrainResult:
    """A training whose task is a table: step -> success."""
    seen = []

    def play(folder: Path) -> Mapping[str, float]:
        load_checkpoint(folder)
        seen.append(folder)
        return {"success": success[10 * len(seen)], "max_reward": 0.5}

    recipe = fork_recipe(kind="mlp", steps=steps, checkpoint_every=5)
    return train(
        recipe,
        ForkSampler(),
        tmp_path,
        validation=ForkSampler(seed=1),
        evaluation=Evaluation(play, every=10),
        progress=False,
        **options,  # type: ignore[arg-type]
    )


def test_the_best_step_at_the_task_is_kept_beside_the_last(tmp_path: Path) -> None:
    result = played(tmp_path, {10: 0.2, 20: 0.7, 30: 0.7, 40: 0.1})
    assert result.best == Best("success", 0.7, 30)  # of equals the later one
    assert "| steps | 30 of 40" in (tmp_path / "best" / "card.md").read_text()
    assert "success 0.7, max_reward 0.5" in (tmp_path / "best" / "card.md").read_text()
    assert "| steps | 40 of 40" in (tmp_path / "checkpoint" / "card.md").read_text()
    assert read_recipe(tmp_path).train.steps == 40
    load_checkpoint(tmp_path / "best")


def test_playing_the_task_changes_no_loss(tmp_path: Path) -> None:
    table = dict.fromkeys((10, 20), 0.5)
    losses = played(tmp_path / "played", table, steps=20).losses
    recipe = fork_recipe(kind="mlp", steps=20, checkpoint_every=5)
    assert train(recipe, ForkSampler(), tmp_path / "plain", progress=False).losses == losses


def test_without_a_task_the_best_is_by_held_out_loss_and_survives_a_resumption(
    tmp_path: Path,
) -> None:
    options = {"validation": ForkSampler(seed=1), "progress": False}
    recipe = fork_recipe(kind="mlp", steps=40, checkpoint_every=10)
    whole = train(recipe, ForkSampler(), tmp_path / "whole", **options)  # type: ignore[arg-type]
    for until in (15, 20, 40):
        parts = train(
            recipe,
            ForkSampler(),
            tmp_path / "parts",
            until_step=until,
            resume=until > 15,
            **options,  # type: ignore[arg-type]
        )
    assert whole.best is not None
    assert whole.best.measure == "validation loss"
    assert parts.best == whole.best
    cards = [(tmp_path / run / "best" / "card.md").read_text() for run in ("whole", "parts")]
    steps = [next(line for line in card.splitlines() if "| steps" in line) for card in cards]
    assert steps[0] == steps[1]


def test_no_held_out_episodes_no_best(tmp_path: Path) -> None:
    result = train(
        fork_recipe(kind="mlp", steps=30), ForkSampler(), tmp_path, until_step=1, progress=False
    )
    assert result.best is None
    assert not (tmp_path / "best").exists()


@pytest.mark.parametrize(
    ("before", "now", "better"),
    [
        (None, Best("success", 0.0, 1), True),
        (Best("success", 0.5, 1), Best("success", 0.4, 2), False),
        (Best("validation loss", 0.5, 1), Best("validation loss", 0.4, 2), True),
        (Best("validation loss", 0.5, 1), Best("validation loss", 0.6, 2), False),
        (Best("validation loss", 0.5, 1), Best("success", 0.0, 2), True),
        (Best("validation loss", 0.5, 1), Best("validation loss", float("nan"), 2), False),
    ],
)
def test_more_success_is_better_and_so_is_less_loss(
    before: Best | None, now: Best, better: bool
) -> None:
    assert now.is_at_least(before) == better
