"""The loss of one step: keyed by its draw, blind to a hidden past, and a help to the encoders."""

import numpy as np
import pytest
import torch
from policy_toy import ToolSampler, tool_config

from policy import statistics
from policy.config import Recipe, TrainConfig
from policy.data.sampler import Batch
from policy.features import make_features
from policy.network import Condition, PolicyNetwork
from policy.objective import Objective
from policy.statistics import fit_statistics

CONFIG = tool_config(images=True)
SAMPLER = ToolSampler(CONFIG, batch_size=4)


def build(monkeypatch: pytest.MonkeyPatch, **train: float) -> tuple[Objective, PolicyNetwork]:
    monkeypatch.setattr(statistics, "FITTED_WINDOWS", 64)
    fitted = fit_statistics(CONFIG, SAMPLER)
    recipe = Recipe(policy=CONFIG, train=TrainConfig(**train))
    torch.manual_seed(0)
    network = fitted.make_network(CONFIG)
    return Objective(recipe, make_features(CONFIG), fitted, torch.device("cpu")), network


def another_past(batch: Batch) -> Batch:
    """The same newest steps after a different history."""
    other = SAMPLER.sample(99)
    vectors = {name: x.copy() for name, x in batch.vectors.items()}
    for name, x in vectors.items():
        x[:, :-1] = other.vectors[name][:, :-1]
    return Batch(vectors, batch.images, batch.action_BHD)


def test_the_draw_decides_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, network = build(monkeypatch)
    batch = SAMPLER.sample(0)
    losses = [
        objective.loss(network, batch, draw=draw, augment=True).item()
        for draw in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


@pytest.mark.parametrize(("hidden", "same"), [(1.0, True), (0.0, False)])
def test_a_hidden_past_does_not_count(
    monkeypatch: pytest.MonkeyPatch, hidden: float, same: bool
) -> None:
    objective, network = build(monkeypatch, history_dropout=hidden)
    with torch.no_grad():  # let the observation through: a fresh network starts without it
        for name, parameter in network.denoiser.named_parameters():
            if name.endswith("conv.taps.weight"):
                parameter += 0.1 * torch.randn_like(parameter)
    batch = SAMPLER.sample(0)
    losses = [
        objective.loss(network, each, draw=(0, 0), augment=True).item()
        for each in (batch, another_past(batch))
    ]
    assert (losses[0] == losses[1]) == same


def test_the_glance_teaches_the_encoders_before_the_denoiser_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, network = build(monkeypatch)
    batch = SAMPLER.sample(0)
    for augment, taught in ((False, False), (True, True)):  # the regression counts in training
        network.zero_grad()
        objective.loss(network, batch, draw=(0, 0), augment=augment).backward()
        gradient = network.encoders["wrist"].stem.weight.grad
        assert bool(np.abs(gradient.numpy()).sum() > 0) == taught


def test_the_denoiser_sees_the_guess_and_does_not_bend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, network = build(monkeypatch)
    film_BM, x_BHA = torch.zeros(2, network.denoiser.modulation), torch.zeros(2, 16, 10)
    with torch.no_grad():
        for parameter in network.denoiser.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    guess_BHA = torch.zeros(2, 16, 10, requires_grad=True)
    first = network.denoise(x_BHA, film_BM, Condition(film_BM, guess_BHA))
    other = network.denoise(x_BHA, film_BM, Condition(film_BM, guess_BHA + 1))
    assert not torch.allclose(first, other)
    first.sum().backward()
    assert guess_BHA.grad is None
