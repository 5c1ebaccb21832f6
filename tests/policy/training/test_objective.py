"""The loss of one step: keyed by its draw, blind to a hidden past, and a help to the encoders."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from policy_toy import ToolSampler, tool_config

from policy import statistics
from policy.config import Recipe, TrainConfig
from policy.data.sampler import Batch
from policy.features import make_features
from policy.generative.losses import flow_matching_loss
from policy.generative.paths import CondOT
from policy.generative.samplers import grid_for, solve
from policy.networks.condition import Condition, Guess
from policy.networks.network import PolicyNetwork, scale_image
from policy.statistics import fit_statistics
from policy.training.objective import Objective, keyed_generator

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
    return replace(batch, vectors=vectors)


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


def test_several_draws_of_noise_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, network = build(monkeypatch, noise_draws=3)
    batch = SAMPLER.sample(0)
    generator = keyed_generator(0, 5)
    noise_KHA = torch.randn(3 * 4, 16, 10, generator=generator)
    t_K = torch.rand(3 * 4, generator=generator)
    objective.loss(network, batch, draw=(0, 5), augment=False).backward()
    together = [parameter.grad for parameter in network.parameters()]
    network.zero_grad(set_to_none=True)
    losses = []
    for k in range(3):
        feature_BF, still_BF, action_BHA = objective._numbers(batch)
        images = {name: scale_image(torch.from_numpy(x)) for name, x in batch.images.items()}
        condition = network.condition(network.look(feature_BF, still_BF, images))
        one = flow_matching_loss(
            lambda x, t, known=condition: network.predict(x, t, known),
            action_BHA,
            noise_KHA[k::3],
            t_K[k::3],
            path=CondOT(),
        )
        (one / 3).backward()
        losses.append(one.item())
    loss = objective.loss(network, batch, draw=(0, 5), augment=False).item()
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    for mine, parameter in zip(together, network.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-3, atol=1e-6)


def test_the_glance_teaches_the_encoders_before_the_denoiser_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, network = build(monkeypatch)
    batch = SAMPLER.sample(0)
    for augment, taught in ((False, False), (True, True)):  # the regression counts in training
        network.zero_grad()
        objective.loss(network, batch, draw=(0, 0), augment=augment).backward()
        gradient = network.encoders["wrist"].cells.quarter.weight.grad
        assert bool(np.abs(gradient.numpy()).sum() > 0) == taught


def test_without_a_word_of_the_denoiser_samples_spread_around_the_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, network = build(monkeypatch)
    torch.nn.init.zeros_(network.denoiser.out.weight)
    torch.nn.init.zeros_(network.denoiser.out.bias)
    guess = Guess(torch.randn(1, 16, 10), 0.1 + 0.5 * torch.rand(1, 16, 10))
    known = Condition(torch.zeros(1, network.denoiser.modulation), guess).repeated(300)
    sample_BHA = solve(
        lambda x, t: network.denoise(x, t, known.film_BM, known),
        torch.randn(300, 16, 10),
        grid_for(20, solver="midpoint"),
        solver="midpoint",
    )
    off_BHA = (sample_BHA - guess.mean_BHA) / guess.spread_BHA
    assert off_BHA.mean(0).abs().max() < 0.3
    assert off_BHA.std().item() == pytest.approx(1, rel=0.05)


def test_the_denoiser_sees_the_guess_and_does_not_bend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, network = build(monkeypatch)
    film_BM, x_BHA = torch.zeros(2, network.denoiser.modulation), torch.zeros(2, 16, 10)
    mean_BHA, spread_BHA = (torch.ones(2, 16, 10, requires_grad=True) for _ in range(2))
    first = network.denoise(x_BHA, 0.5, film_BM, Condition(film_BM, Guess(mean_BHA, spread_BHA)))
    moved = Guess(mean_BHA + 1, spread_BHA)
    other = network.denoise(x_BHA, 0.5, film_BM, Condition(film_BM, moved))
    assert not torch.allclose(first, other)
    first.sum().backward()
    assert mean_BHA.grad is None
    assert spread_BHA.grad is None


def given_build(monkeypatch: pytest.MonkeyPatch) -> tuple[Objective, PolicyNetwork]:
    """A policy that may be given its first rows; small and without images."""
    monkeypatch.setattr(statistics, "FITTED_WINDOWS", 64)
    config = tool_config().model_copy(update={"given_rows": 5})
    fitted = fit_statistics(config, ToolSampler(config, batch_size=4))
    recipe = Recipe(policy=config, train=TrainConfig())
    torch.manual_seed(0)
    return (
        Objective(recipe, make_features(config), fitted, torch.device("cpu")),
        fitted.make_network(config),
    )


def test_given_rows_are_seen_clean_at_time_one_and_cost_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, network = given_build(monkeypatch)
    batch = ToolSampler(objective.recipe.policy, batch_size=4).sample(0)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    off = 100.0

    def predict(x, t_B, condition, *, given_BH1):
        seen.append((x, given_BH1))
        return torch.where(given_BH1, off, torch.zeros_like(x))

    monkeypatch.setattr(network, "predict", predict)
    with_garbage = objective.loss(network, batch, draw=(0, 0), augment=True)
    off = 0.0
    without = objective.loss(network, batch, draw=(0, 0), augment=True)
    assert torch.equal(with_garbage, without)
    x, given_BH1 = seen[0]
    _, _, action_BHA = objective._numbers(batch)
    torch.testing.assert_close(x[given_BH1[..., 0]], action_BHA[given_BH1[..., 0]])
    given = objective._given(action_BHA.repeat(250, 1, 1), keyed_generator(0, 0))
    assert given is not None
    rows_BH = given.mask_BH1[..., 0]
    share_C = rows_BH.sum(1).bincount() / len(rows_BH)
    torch.testing.assert_close(share_C, torch.tensor([0.5] + 5 * [0.1]), atol=0.05, rtol=0)


def test_given_rows_may_be_shown_with_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, _ = given_build(monkeypatch)
    train = objective.recipe.train.model_copy(update={"given_noise": 0.1})
    objective = replace(objective, recipe=Recipe(policy=objective.recipe.policy, train=train))
    action_BHA = torch.randn(500, 16, 10)
    given, again = (objective._given(action_BHA, keyed_generator(0, 0)) for _ in range(2))
    assert given is not None and again is not None
    off_BHA = given.shown_BHA - action_BHA
    assert off_BHA.std().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(given.shown_BHA, again.shown_BHA)
    noise_BHA = torch.full_like(action_BHA, 7.0)
    in_place_BHA = given.in_place(noise_BHA)
    assert torch.equal(in_place_BHA != 7.0, given.mask_BH1.expand_as(noise_BHA))


def test_the_network_is_told_which_rows_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, network = given_build(monkeypatch)
    batch = ToolSampler(objective.recipe.policy, batch_size=4).sample(0)
    feature_BF, still_BF, x = objective._numbers(batch)
    for name, parameter in network.denoiser.named_parameters():
        if name.endswith("conv.taps.weight"):
            parameter.data += 0.1 * torch.randn_like(parameter)
    condition = network.condition(network.look(feature_BF, still_BF, {}))
    t_B = torch.full((4,), 0.4)
    given_BH1 = torch.zeros(4, 16, 1, dtype=torch.bool)
    plain = network.predict(x, t_B, condition)
    assert torch.equal(network.predict(x, t_B, condition, given_BH1=given_BH1), plain)
    given_BH1[:, :3] = True
    assert not torch.allclose(network.predict(x, t_B, condition, given_BH1=given_BH1), plain)
