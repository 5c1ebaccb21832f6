"""The trainer learns, resumes to the bit, and stops with a sentence."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_toy import ForkSampler, ToolSampler, fork_recipe, tool_config

from policy import statistics, storage
from policy.checkpoint import load_checkpoint
from policy.config import Recipe, TrainConfig
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share
from policy.training.train import learning_rate, train
from robot_io.errors import FeelforwardError
from robot_io.types import MonoNs, Observation


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FITTED_WINDOWS", 512)
    monkeypatch.setattr(statistics, "CALIBRATION_WINDOWS", 16)


@pytest.mark.timeout(300)  # a few seconds on an idle core
@pytest.mark.parametrize(("kind", "steps"), [("unet", 200), ("mlp", 500)])
def test_two_ways_are_learnt_and_not_blurred_into_one(
    tmp_path: Path, kind: str, steps: int
) -> None:
    recipe = fork_recipe(kind=kind, steps=steps)
    result = train(recipe, ForkSampler(), tmp_path, progress=False)
    assert np.mean(result.losses[-20:]) < 0.5 * np.mean(result.losses[:5])
    policy = load_checkpoint(result.checkpoint)
    observation = Observation(observed_ns=MonoNs(0), vectors={"state": np.zeros((2, 3))})
    plans = np.array([policy.plan(observation) for _ in range(40)])
    side = plans[:, :, 0]
    assert np.mean(np.abs(np.abs(side) - 0.8) < 0.25) > 0.8  # hardly any between
    assert 0.15 < np.mean(side[:, 8] > 0) < 0.85  # and both are taken


@pytest.mark.parametrize("images", [False, True])
def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(
    tmp_path: Path, images: bool
) -> None:
    config = tool_config(images=images)
    train_config = TrainConfig(steps=5, warmup_steps=2, checkpoint_every=2, log_every=2)
    recipe = Recipe(policy=config, train=train_config)
    sampler = ToolSampler(config, batch_size=2)
    whole = train(recipe, sampler, tmp_path / "whole", progress=False)
    first = train(recipe, sampler, tmp_path / "parts", until_step=3, progress=False)
    rest = train(recipe, sampler, tmp_path / "parts", resume=True, progress=False)
    assert first.losses + rest.losses == whole.losses
    weights = [
        (tmp_path / run / "checkpoint" / "weights.safetensors").read_bytes()
        for run in ("whole", "parts")
    ]
    assert weights[0] == weights[1]


def test_a_killed_training_goes_on_from_its_last_save(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Dying(ForkSampler):
        def sample(self, step: int, share: Share = WHOLE) -> Batch:
            if step == 25:
                raise KeyboardInterrupt
            return super().sample(step, share)

    recipe = fork_recipe(kind="mlp", steps=40, checkpoint_every=10)
    whole = train(recipe, ForkSampler(), tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, Dying(), tmp_path / "parts", progress=False)
    rest = train(recipe, ForkSampler(), tmp_path / "parts", resume=True, progress=False)
    assert rest.losses == whole.losses[20:]


def test_validation_is_measured_on_its_own_windows(tmp_path: Path) -> None:
    recipe = fork_recipe(steps=30)
    result = train(recipe, ForkSampler(), tmp_path, validation=ForkSampler(seed=1), progress=False)
    assert result.validation_loss is not None
    assert f"{result.validation_loss:.4f}" in (result.checkpoint / "card.md").read_text()


def test_a_loss_that_breaks_down_stops_the_training_and_spares_the_last_save(
    tmp_path: Path,
) -> None:
    recipe = fork_recipe(steps=40, checkpoint_every=5, learning_rate=1.0, gradient_clip=1e30)

    @dataclass(frozen=True)
    class Broken(ForkSampler):
        def sample(self, step: int, share: Share = WHOLE) -> Batch:
            batch = super().sample(step, share)
            return replace(batch, action_BHD=batch.action_BHD * np.nan) if step == 12 else batch

    with pytest.raises(FeelforwardError, match=r"step 12: loss nan.*Lower train.learning_rate"):
        train(recipe, Broken(), tmp_path, progress=False)
    load_checkpoint(tmp_path)


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    train(fork_recipe(steps=30), ForkSampler(), tmp_path, until_step=1, progress=False)
    with pytest.raises(FeelforwardError, match="already holds a training"):
        train(fork_recipe(steps=30), ForkSampler(), tmp_path, progress=False)


def test_resuming_with_another_recipe_or_other_data_is_refused(tmp_path: Path) -> None:
    recipe = fork_recipe(steps=30)
    train(recipe, ForkSampler(), tmp_path, until_step=2, progress=False)
    with pytest.raises(FeelforwardError, match="another recipe"):
        train(fork_recipe(steps=31), ForkSampler(), tmp_path, resume=True, progress=False)
    other = ForkSampler(description="other forks")
    with pytest.raises(FeelforwardError, match="other data"):
        train(recipe, other, tmp_path, resume=True, progress=False)


def test_a_training_goes_on_whose_recipe_lacks_what_came_later_with_a_default(
    tmp_path: Path,
) -> None:
    recipe = fork_recipe(kind="mlp", steps=30)
    train(recipe, ForkSampler(), tmp_path, until_step=2, progress=False)
    path = tmp_path / "state.safetensors"
    tensors, metadata = storage.read_tensors(path)
    older = json.loads(metadata["recipe"])
    assert older["train"].pop("accumulate") == 1
    del metadata["best"]
    storage.write_tensors(path, tensors, metadata=metadata | {"recipe": json.dumps(older)})
    resumed = train(recipe, ForkSampler(), tmp_path, until_step=3, resume=True, progress=False)
    assert len(resumed.losses) == 1


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FeelforwardError, match="nothing to resume"):
        train(fork_recipe(steps=30), ForkSampler(), tmp_path, resume=True, progress=False)


def test_data_without_a_stream_of_the_recipe_are_refused(tmp_path: Path) -> None:
    recipe = Recipe(policy=tool_config(), train=TrainConfig(steps=30, warmup_steps=0))
    with pytest.raises(FeelforwardError, match=r"no vector stream 'measured'.*they have state"):
        train(recipe, ForkSampler(), tmp_path, progress=False)
    assert not any(tmp_path.iterdir())


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = TrainConfig(steps=1000, warmup_steps=100, learning_rate=1e-3)
    rates = [learning_rate(config, step) for step in range(1001)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[99] == rates[100] == pytest.approx(1e-3)
    assert rates[550] == pytest.approx(5e-4)
    assert rates[1000] == pytest.approx(0, abs=1e-12)


def test_training_leaves_the_global_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(fork_recipe(steps=30), ForkSampler(), tmp_path, until_step=2, progress=False)
    assert torch.equal(torch.rand(3), expected)
