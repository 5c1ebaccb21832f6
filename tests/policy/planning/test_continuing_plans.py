"""A policy that is told what is still planned: which ways of joining listen, and how well."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from policy_toy import ForkSampler, fork_recipe

from policy.checkpoint import load_checkpoint
from policy.config import Joining, Recipe
from policy.training.train import train
from robot_io.errors import FeelforwardError
from robot_io.types import Leftover, MonoNs, Observation

LOOKING_BACK: tuple[Joining, ...] = ("guided", "trained", "bidirectional")


def recipe(*, given_rows: int) -> Recipe:
    plain = fork_recipe(steps=600)
    return plain.model_copy(
        update={"policy": plain.policy.model_copy(update={"given_rows": given_rows})}
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on a fork: all rows near +0.8, or all near -0.8."""
    folder = tmp_path_factory.mktemp("fork")
    train(recipe(given_rows=5), ForkSampler(), folder, progress=False)
    return folder / "checkpoint"


def observation(side: float | None, *, delay_rows: int = 3, seed: int = 0) -> Observation:
    """Something seen at 1 s, while the old plan goes to one side (or there is none)."""
    state = np.random.default_rng(seed).uniform(-1, 1, (2, 3))
    leftover = None
    if side is not None:
        row_KD = side * np.tile([0.8, 0.2], (10, 1))
        leftover = Leftover(row_KD, delay_rows)
    return Observation(MonoNs(1_000_000_000), {"state": state}, leftover=leftover)


def share_on_the_old_side(checkpoint: Path, joining: Joining) -> float:
    policy = load_checkpoint(checkpoint, joining=joining)
    kept = []
    for seed in range(16):
        policy.reset(seed)
        side = 1.0 if seed % 2 else -1.0
        rows_HD = policy.plan(observation(side, seed=seed))
        kept.append(np.sign(rows_HD[:, 0].mean()) == side)
    return float(np.mean(kept))


@pytest.mark.parametrize("joining", LOOKING_BACK)
def test_a_policy_that_looks_back_keeps_the_side_it_chose(
    checkpoint: Path, joining: Joining
) -> None:
    assert share_on_the_old_side(checkpoint, joining) >= 0.85


def test_one_that_overwrites_changes_its_mind(checkpoint: Path) -> None:
    assert share_on_the_old_side(checkpoint, "overwrite") < 0.75


@pytest.mark.parametrize("changed", [False, True])
def test_a_warm_start_keeps_the_side_while_little_changes(checkpoint: Path, changed: bool) -> None:
    policy = load_checkpoint(checkpoint, sampling={"warm_start": 3.0, "evaluations": 2})
    kept = []
    for seed in range(16):
        policy.reset(seed)
        side = 1.0 if seed % 2 else -1.0
        policy.plan(observation(None, seed=seed + 100 * changed))
        rows_HD = policy.plan(observation(side, seed=seed))
        kept.append(np.sign(rows_HD[:, 0].mean()) == side)
    assert (np.mean(kept) < 0.8) if changed else all(kept)


def test_given_rows_come_out_as_they_were_planned(checkpoint: Path) -> None:
    policy = load_checkpoint(checkpoint, joining="trained")
    seen = observation(1.0)
    assert seen.leftover is not None
    rows_HD = policy.plan(seen)
    np.testing.assert_allclose(rows_HD[:3], seen.leftover.row_KD[:3], atol=1e-6)


@pytest.mark.parametrize("joining", ["overwrite", *LOOKING_BACK])
def test_without_a_plan_there_is_nothing_to_continue(checkpoint: Path, joining: Joining) -> None:
    policy = load_checkpoint(checkpoint, joining=joining)
    first = policy.plan(observation(None))
    policy.reset(seed=0)
    np.testing.assert_array_equal(policy.plan(observation(None)), first)
    assert np.isfinite(first).all()


def test_overwriting_does_not_look_at_the_leftover(checkpoint: Path) -> None:
    policy = load_checkpoint(checkpoint)
    plans = []
    for side in (None, 1.0, -1.0):
        policy.reset(seed=3)
        plans.append(policy.plan(observation(side)))
    assert np.array_equal(plans[0], plans[1]) and np.array_equal(plans[0], plans[2])


def test_an_ensemble_averages_and_forgets_with_the_episode(checkpoint: Path) -> None:
    policy = load_checkpoint(checkpoint, joining="ensemble")
    policy.reset(seed=0)
    first = policy.plan(observation(None))
    second = policy.plan(replace(observation(None), observed_ns=MonoNs(1_100_000_000)))
    policy.reset(seed=0)
    np.testing.assert_array_equal(policy.plan(observation(None)), first)
    alone = load_checkpoint(checkpoint)
    alone.reset(seed=0)
    alone.plan(observation(None))
    unaveraged = alone.plan(observation(None))
    assert not np.allclose(second, unaveraged)
    np.testing.assert_allclose(second[:15], (first[1:] + unaveraged[:15]) / 2, atol=0.02)


def test_a_policy_that_was_never_given_rows_says_so(tmp_path: Path) -> None:
    train(fork_recipe(steps=1), ForkSampler(), tmp_path, progress=False)
    with pytest.raises(FeelforwardError, match=r"policy.given_rows > 0"):
        load_checkpoint(tmp_path, joining="trained")
