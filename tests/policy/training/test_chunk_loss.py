"""What is paid for a chunk, by every method of a recipe."""

from dataclasses import replace

import pytest
import torch
from policy_toy import ToolSampler, tool_config
from torch import Tensor

from policy import statistics
from policy.config import PolicyConfig, Recipe, TrainConfig
from policy.features import make_features
from policy.generative.method import time_weight
from policy.generative.predictions import PREDICTIONS, combine
from policy.networks.condition import Condition, Guess
from policy.networks.network import PolicyNetwork, scale_image
from policy.planning.given_rows import GivenRows
from policy.statistics import fit_statistics
from policy.training.chunk_loss import DrawnChunk, chunk_loss
from policy.training.objective import Objective

BATCH = 8


def build(
    monkeypatch: pytest.MonkeyPatch, *, images: bool = False, kind: str = "mlp", **generative
) -> tuple[Objective, PolicyNetwork, ToolSampler]:
    monkeypatch.setattr(statistics, "FITTED_WINDOWS", 64)
    plain = tool_config(images=images)
    network = {"kind": kind, "widths": (32, 32), "heads": 2, "embedding": 16}
    changed = {**plain.model_dump(), "network": network, "generative": generative}
    if generative.get("times") == "levels":
        changed["sampling"] = {"solver": "ddim", "grid": "trailing"}
    config = PolicyConfig.model_validate(changed)
    sampler = ToolSampler(config, batch_size=BATCH)
    fitted = fit_statistics(config, sampler)
    torch.manual_seed(0)
    objective = Objective(
        Recipe(policy=config, train=TrainConfig()),
        make_features(config),
        fitted,
        torch.device("cpu"),
    )
    return objective, fitted.make_network(config), sampler


def drawn(*, given: bool = False) -> DrawnChunk:
    generator = torch.Generator().manual_seed(1)
    action_BHA, noise_BHA = torch.randn(2, BATCH, 16, 10, generator=generator)
    t_B = 0.05 + 0.9 * torch.rand(BATCH, generator=generator)
    first_BH1 = (torch.arange(16) < 3)[None, :, None].expand(BATCH, -1, 1)
    rows = GivenRows(first_BH1, action_BHA) if given else None
    return DrawnChunk(action_BHA, noise_BHA, t_B, rows)


def known(network: PolicyNetwork) -> Condition:
    return Condition(torch.zeros(BATCH, network.denoiser.modulation), None)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_who_tells_the_truth_pays_nothing(
    monkeypatch: pytest.MonkeyPatch, prediction: str, given: bool
) -> None:
    _, network, _ = build(
        monkeypatch, path="variance_preserving_cosine", prediction=prediction, weight="min_snr"
    )
    chunk = drawn(given=given)

    def predict(x: Tensor, t_B: Tensor, condition: Condition, **_: Tensor | None) -> Tensor:
        return combine(
            chunk.action_BHA, chunk.noise_BHA, t_B, path=network.path, prediction=prediction
        )

    monkeypatch.setattr(network, "predict", predict)
    assert chunk_loss(network, known(network), chunk).item() == pytest.approx(0, abs=1e-9)


def test_an_error_costs_its_square_times_what_its_time_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, network, _ = build(monkeypatch, prediction="data", weight="velocity")
    chunk, off = drawn(), 0.3
    monkeypatch.setattr(network, "predict", lambda *_, **__: chunk.action_BHA + off)
    weight_B = time_weight(network.generative, chunk.t_B, path=network.path)
    expected = off**2 * weight_B.mean()
    torch.testing.assert_close(chunk_loss(network, known(network), chunk), expected)


def test_regressions_pay_by_square_and_by_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = drawn()
    _, network, _ = build(monkeypatch, head="mse")
    off_BHA = network.regress(known(network)) - chunk.action_BHA
    loss = chunk_loss(network, known(network), chunk)
    torch.testing.assert_close(loss, off_BHA.square().mean())
    _, network, _ = build(monkeypatch, head="gmm")
    expected = network.mixture(known(network)).loss(chunk.action_BHA)
    torch.testing.assert_close(chunk_loss(network, known(network), chunk), expected)


def test_the_mean_is_what_a_data_prediction_says_before_it_sees_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Head "mse" is the flow's own network, asked at t = 0 without the noise."""
    _, regressing, _ = build(monkeypatch, head="mse", images=True)
    _, flowing, _ = build(monkeypatch, prediction="data", images=True)
    flowing.load_state_dict(regressing.state_dict())
    guess = Guess(torch.randn(BATCH, 16, 10), 0.1 + torch.rand(BATCH, 16, 10))
    condition = Condition(known(regressing).film_BM, guess)
    told = flowing.predict(torch.zeros(BATCH, 16, 10), torch.zeros(BATCH), condition)
    torch.testing.assert_close(regressing.regress(condition), told)


@pytest.mark.parametrize(
    ("generative", "images"),
    [
        ({"head": "mse"}, False),
        ({"head": "gmm"}, True),
        ({"null_share": 0.5}, True),
        ({"path": "ddpm", "prediction": "noise", "times": "levels"}, True),
        ({"path": "variance_exploding", "prediction": "score", "times": "logit_normal"}, False),
    ],
)
def test_every_method_teaches_the_whole_network(
    monkeypatch: pytest.MonkeyPatch, generative: dict, images: bool
) -> None:
    objective, network, sampler = build(monkeypatch, images=images, **generative)
    for step in range(2):  # some layers wake up behind others that begin at zero
        network.zero_grad()
        objective.loss(network, sampler.sample(step), draw=(0, step), augment=True).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
    asleep = {n for n, p in network.named_parameters() if not p.grad.abs().sum() > 0}
    blind = generative.get("head") == "mse"  # it is shown zeros
    assert asleep == ({"denoiser.stem.weight"} if blind else set())


@pytest.mark.parametrize("kind", ["mlp", "dit"])
@pytest.mark.parametrize("images", [False, True])
def test_a_hidden_observation_does_not_count(
    monkeypatch: pytest.MonkeyPatch, images: bool, kind: str
) -> None:
    objective, network, sampler = build(monkeypatch, images=images, kind=kind, null_share=0.5)
    with torch.no_grad():
        for parameter in network.parameters():  # what begins at zero must not hide anything
            parameter += 0.05 * torch.randn_like(parameter)
    hidden_B = torch.arange(BATCH) % 2 == 0
    told = []
    for step in range(2):
        feature_BF, still_BF, _ = objective._numbers(sampler.sample(step))
        image = {
            n: scale_image(torch.from_numpy(x)) for n, x in sampler.sample(step).images.items()
        }
        seen = network.look(feature_BF, still_BF, image)
        condition = network.condition(seen)
        condition = condition.where(hidden_B, network.condition_without_goal(seen))
        x_BHA, t_B = torch.ones(BATCH, 16, 10), torch.full((BATCH,), 0.4)
        told.append(network.predict(x_BHA, t_B, condition))
    same_B = (told[0] - told[1]).abs().amax((-2, -1)) < 1e-6
    assert torch.equal(same_B, hidden_B)


def test_so_many_examples_hide_their_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, network, sampler = build(monkeypatch, null_share=0.3)
    seen: list[Tensor] = []
    plain = Condition.where

    def where(self: Condition, hidden_B: Tensor, other: Condition) -> Condition:
        seen.append(hidden_B)
        return plain(self, hidden_B, other)

    monkeypatch.setattr(Condition, "where", where)
    for step in range(40):
        objective.loss(network, sampler.sample(step), draw=(0, step), augment=True)
    assert torch.cat(seen).double().mean().item() == pytest.approx(0.3, abs=0.08)
    objective.loss(network, sampler.sample(0), draw=(0, 0), augment=False)
    assert len(seen) == 40  # in validation none


@pytest.mark.parametrize("given_rows", [0, 4])
@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize(
    "generative",
    [{}, {"prediction": "data", "weight": "min_snr"}, {"head": "mse"}],
)
def test_masked_padding_is_learnt_by_no_method(
    monkeypatch: pytest.MonkeyPatch, generative: dict, images: bool, given_rows: int
) -> None:
    """What the network says of rows behind an episode's end has no gradient."""
    if generative.get("head"):
        given_rows = 0
    objective, network, sampler = build(monkeypatch, images=images, **generative)
    train = objective.recipe.train.model_copy(update={"mask_padding": True, "noise_draws": 2})
    config = objective.recipe.policy.model_copy(update={"given_rows": given_rows})
    objective = replace(objective, recipe=Recipe(policy=config, train=train))
    batch = sampler.sample(0)
    assert not batch.kept_BH.all()
    told: list[Tensor] = []
    plain_tell = PolicyNetwork._tell

    def tell(self: PolicyNetwork, *args: object) -> Tensor:
        value = plain_tell(self, *args)
        if value.requires_grad:
            value.retain_grad()
            told.append(value)
        return value

    monkeypatch.setattr(PolicyNetwork, "_tell", tell)
    objective.loss(network, batch, draw=(0, 0), augment=True).backward()
    kept_BH = torch.from_numpy(batch.kept_BH).repeat_interleave(2, 0)
    (value,) = told
    assert value.grad is not None
    reached_BH = value.grad.abs().amax(-1) > 0
    assert reached_BH.any() and not (reached_BH & ~kept_BH).any()
