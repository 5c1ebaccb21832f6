"""The regressions on data whose answer is known: a fork, rows near +0.8 or near -0.8."""

from pathlib import Path

import numpy as np
import pytest
from policy_toy import ForkSampler, fork_recipe

from policy.checkpoint import load_checkpoint
from policy.config import Recipe
from policy.generative.config import GenerativeConfig, Head
from policy.training.train import train
from robot_io.types import MonoNs, Observation

PLANS = 24


def recipe(head: Head) -> Recipe:
    plain = fork_recipe(steps=150, kind="mlp")
    policy = plain.policy.model_copy(update={"generative": GenerativeConfig(head=head)})
    return plain.model_copy(update={"policy": policy})


def planned(head: Head, folder: Path) -> np.ndarray:
    """First numbers of all rows, (PLANS, H)."""
    train(recipe(head), ForkSampler(), folder, progress=False)
    policy = load_checkpoint(folder)
    policy.reset(seed=0)
    rng = np.random.default_rng(0)
    seen = [Observation(MonoNs(0), {"state": rng.uniform(-1, 1, (2, 3))}) for _ in range(PLANS)]
    return np.stack([policy.plan(each)[:, 0] for each in seen])


def test_a_mean_goes_between_the_two_sides(tmp_path: Path) -> None:
    assert np.abs(planned("mse", tmp_path / "run")).max() < 0.4


def test_a_mixture_goes_to_either_side_and_never_between(tmp_path: Path) -> None:
    x_PH = planned("gmm", tmp_path / "run")
    np.testing.assert_allclose(np.abs(x_PH), 0.8, atol=0.15)
    side_P = np.sign(x_PH.mean(1))
    assert np.mean(side_P > 0) == pytest.approx(0.5, abs=0.35)
