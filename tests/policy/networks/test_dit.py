"""The transformer begins as the identity, sees what it must, and is joined like any denoiser."""

from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from policy_toy import CAMERA, TOUCH, ForkSampler, fork_recipe, tool_config
from torch import Tensor, nn

from policy import statistics
from policy.checkpoint import load_checkpoint
from policy.config import Joining, NetworkConfig
from policy.generative.config import GenerativeConfig
from policy.generative.paths import CondOT
from policy.networks.condition import Condition, Seen
from policy.networks.dit import Attention, Block, DiT, ObservationTokens
from policy.networks.network import PolicyNetwork
from policy.planning.joining import Target, guidance, guided
from policy.training.train import train
from robot_io.types import Leftover, MonoNs, Observation

WIDTH, HEADS = 32, 4
DIT = NetworkConfig(kind="dit", widths=(WIDTH, WIDTH), heads=HEADS, embedding=48)


def small_dit(horizon: int = 16) -> DiT:
    return DiT((WIDTH,) * 2, heads=HEADS, horizon=horizon, input_size=10, action_size=10)


def small_network(*, images: bool, given_rows: int = 0, **generative: float) -> PolicyNetwork:
    change = {
        "network": DIT,
        "given_rows": given_rows,
        "generative": GenerativeConfig.model_validate(generative),
    }
    config = tool_config(images=images).model_copy(update=change)
    sizes = {s.name: TOUCH if s.kind == "tactile" else CAMERA for s in config.images}
    return PolicyNetwork(config, feature_size=20, action_size=10, image_sizes=sizes)


def awake(network: nn.Module) -> nn.Module:
    """As after some training: nothing is zero any more."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.requires_grad_(False)


def condition_of(network: PolicyNetwork, batch: int = 2) -> Condition:
    return network.condition(seen_by(network, batch))


def seen_by(network: PolicyNetwork, batch: int = 2) -> Seen:
    images = {
        name: torch.rand(batch, 2, *TOUCH) if "tactile" in name else torch.rand(batch, 1, *CAMERA)
        for name in network.encoders
    }
    return network.look(torch.randn(batch, 20), torch.randn(batch, 20), images)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"widths": (64, 128)}, "widths of a dit must all be equal"),
        ({"widths": (64, 64), "heads": 5}, "must be a multiple of 5, got 64"),
    ],
)
def test_its_blocks_are_equally_wide_and_its_heads_divide_them(change: dict, reason: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=reason):
        NetworkConfig.model_validate({"kind": "dit", **change})


def test_without_modulation_every_block_is_the_identity() -> None:
    block = Block(WIDTH, heads=HEADS, start=0)
    x_BHC, token_BNC = torch.randn(3, 16, WIDTH), torch.randn(3, 5, WIDTH)
    assert torch.equal(block(x_BHC, torch.zeros(3, 6 * WIDTH), token_BNC), x_BHC)
    assert not torch.allclose(block(x_BHC, torch.ones(3, 6 * WIDTH), token_BNC), x_BHC)


def test_a_fresh_policy_starts_there_whatever_the_time_and_the_observation() -> None:
    network = small_network(images=False)
    condition, x_BHA = condition_of(network), torch.randn(1, 16, 10).expand(2, 16, 10)
    assert torch.equal(condition.film_BM, torch.zeros(2, network.denoiser.modulation))
    assert torch.equal(network.time_modulation(torch.rand(2)), condition.film_BM)
    told_BHA = network.predict(x_BHA, torch.tensor([0.1, 0.9]), condition)
    torch.testing.assert_close(told_BHA[0], told_BHA[1])


@pytest.mark.parametrize("images", [False, True])
def test_it_learns_in_all_its_parts(images: bool) -> None:
    network = small_network(images=images)
    for _ in range(4):  # gates first, then what they let through
        condition = condition_of(network)
        velocity_BHA = network.predict(torch.randn(2, 16, 10), torch.rand(2), condition)
        loss = (velocity_BHA - 1).square().mean()
        if condition.guess is not None:
            loss = loss + (condition.guess.mean_BHA + condition.guess.spread_BHA).square().mean()
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.3 * parameter.grad
    asleep = [n for n, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert asleep == []


@pytest.mark.parametrize("horizon", [16, 32])
def test_every_row_sees_every_other_and_knows_its_place(horizon: int) -> None:
    dit = awake(small_dit(horizon))
    x_BHI, film_BM = torch.randn(1, horizon, 10), torch.randn(1, dit.modulation)
    token_BNC = torch.randn(1, 3, WIDTH)
    plain = dit(x_BHI, film_BM, token_BNC)
    moved = x_BHI.clone()
    moved[:, -1] += 1
    assert ((dit(moved, film_BM, token_BNC) - plain).abs().amax(-1) > 1e-6).all()
    backwards = dit(x_BHI.flip(1), film_BM, token_BNC).flip(1)
    assert not torch.allclose(backwards, plain, atol=1e-3)


def test_attention_is_that_of_torch() -> None:
    own, theirs = Attention(WIDTH, heads=HEADS), nn.MultiheadAttention(WIDTH, HEADS)
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([own.query.weight, own.key_value.weight]),
            "in_proj_bias": torch.cat([own.query.bias, own.key_value.bias]),
            "out_proj.weight": own.out.weight,
            "out_proj.bias": own.out.bias,
        }
    )
    row, token = torch.randn(2, 16, WIDTH), torch.randn(2, 5, WIDTH)
    expected, _ = theirs(row.transpose(0, 1), token.transpose(0, 1), token.transpose(0, 1))
    torch.testing.assert_close(own(row, token), expected.transpose(0, 1))


def test_each_encoder_has_a_token_and_one_says_nothing() -> None:
    tokens = awake(ObservationTokens([48, 64, 64], WIDTH))
    parts = [torch.randn(2, size) for size in (48, 64, 64)]
    token_BNC = tokens(parts)
    assert token_BNC.shape == (2, 4, WIDTH)
    parts[1] = parts[1] + 1
    changed_N = (tokens(parts) - token_BNC).abs().amax((0, 2)) > 1e-6
    assert changed_N.tolist() == [False, True, False, False]
    assert torch.equal(token_BNC[0, 3], token_BNC[1, 3])


def test_what_is_seen_reaches_the_rows_through_the_tokens_alone_too() -> None:
    network = awake(small_network(images=True))
    one, other = condition_of(network, batch=1), condition_of(network, batch=1)
    mixed = Condition(one.film_BM, one.guess, other.token_BNC)
    x_BHA, t_B = torch.randn(1, 16, 10), torch.full((1,), 0.4)
    assert not torch.allclose(network.predict(x_BHA, t_B, one), network.predict(x_BHA, t_B, mixed))


def test_candidates_of_one_observation_share_its_tokens() -> None:
    condition = condition_of(small_network(images=True)).repeated(3)
    assert condition.token_BNC is not None
    assert condition.token_BNC.shape == (6, 6, WIDTH)
    assert torch.equal(condition.token_BNC[0], condition.token_BNC[2])
    assert not torch.equal(condition.token_BNC[2], condition.token_BNC[3])


def test_an_observation_that_is_hidden_is_hidden_in_the_tokens_too() -> None:
    network = small_network(images=True, null_share=0.2)
    seen = seen_by(network)
    known, null = network.condition(seen), network.condition_without_goal(seen)
    partly = known.where(torch.tensor([True, False]), null)
    assert partly.token_BNC is not None and known.token_BNC is not None
    assert null.token_BNC is not None
    assert torch.equal(partly.token_BNC[0], null.token_BNC[0])
    assert torch.equal(partly.token_BNC[1], known.token_BNC[1])


def test_it_is_told_which_rows_are_given() -> None:
    network = awake(small_network(images=False, given_rows=5))
    condition, t_B, x_BHA = condition_of(network), torch.full((2,), 0.4), torch.randn(2, 16, 10)
    given_BH1 = torch.zeros(2, 16, 1, dtype=torch.bool)
    plain = network.predict(x_BHA, t_B, condition)
    assert torch.equal(network.predict(x_BHA, t_B, condition, given_BH1=given_BH1), plain)
    given_BH1[:, :3] = True
    told = network.predict(x_BHA, t_B, condition, given_BH1=given_BH1)
    assert ((told - plain).abs().amax((0, 2)) > 1e-6).all()  # those that are not given as well


def test_guidance_pulls_through_all_its_rows() -> None:
    network = awake(small_network(images=False)).double()
    film_BM, t = torch.randn(1, network.denoiser.modulation).double(), 0.4
    condition = Condition(film_BM, None, torch.randn(1, 2, WIDTH).double())
    x_BHA, target_KA = torch.randn(1, 16, 10).double(), torch.randn(4, 10).double()
    target = Target.of(target_KA, 2, 16)

    def field(x: Tensor, t: float) -> Tensor:
        return network.denoise(x, t, film_BM, condition)

    def data(x_N: Tensor) -> Tensor:
        x = x_N.view(1, 16, 10)
        return (x + (1 - t) * field(x, t)).flatten()

    jacobian_NN = torch.autograd.functional.jacobian(data, x_BHA.flatten())
    free = field(x_BHA, t)
    error_BHA = target.weight_H1 * (target.action_HA - data(x_BHA.flatten()).view(1, 16, 10))
    pull_BHA = (error_BHA.flatten() @ jacobian_NN).view(1, 16, 10)
    expected = free + guidance(CondOT(), t, most=5.0) * pull_BHA
    torch.testing.assert_close(guided(field, target)(x_BHA, t), expected)
    assert (pull_BHA[0, 4:].abs().amax(-1) > 1e-9).all()  # rows without a target are pulled along


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on a fork: all rows near +0.8, or all near -0.8."""
    plain = fork_recipe(steps=200)
    network = NetworkConfig(kind="dit", widths=(32, 32), heads=2, embedding=32)
    policy = plain.policy.model_copy(update={"network": network, "given_rows": 5})
    folder = tmp_path_factory.mktemp("fork")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "FITTED_WINDOWS", 512)
        train(plain.model_copy(update={"policy": policy}), ForkSampler(), folder, progress=False)
    return folder / "checkpoint"


def planned_sides(checkpoint: Path, joining: Joining, leftover_side: float | None) -> np.ndarray:
    """Row 8 of 16 plans, while the old plan goes to one side (or there is none)."""
    policy = load_checkpoint(checkpoint, joining=joining)
    leftover = None
    if leftover_side is not None:
        leftover = Leftover(leftover_side * np.tile([0.8, 0.2], (10, 1)), 3)
    observation = Observation(MonoNs(0), {"state": np.zeros((2, 3))}, leftover=leftover)
    return np.array([policy.plan(observation)[8, 0] for _ in range(16)])


@pytest.mark.timeout(300)  # a few seconds on an idle core
def test_two_ways_are_learnt_and_not_blurred_into_one(checkpoint: Path) -> None:
    side = planned_sides(checkpoint, "overwrite", None)
    assert np.mean(np.abs(np.abs(side) - 0.8) < 0.25) > 0.8
    assert 0.1 < np.mean(side > 0) < 0.9


@pytest.mark.timeout(300)
@pytest.mark.parametrize("joining", ["guided", "trained", "bidirectional"])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_it_keeps_the_side_it_chose(checkpoint: Path, joining: Joining, side: float) -> None:
    assert np.mean(np.sign(planned_sides(checkpoint, joining, side)) == side) >= 0.85
