"""When a plan may start from the last one, and what comes of it."""

import math

import pytest
import torch
from exact_policy import LEFT_OR_RIGHT, ExactNetwork, condition, flow_config
from torch import Tensor

from policy.generative.paths import CondOT
from policy.planning.drawing import FlowDrawing
from policy.planning.joining import Target
from policy.planning.warm_start import LEAST_SIGMA, WarmStart

HORIZON = 16
SEEN = torch.linspace(-1, 1, 8)[None]


def start(*, change: float = 0.0, kept: int = HORIZON, gain: float = 1.0) -> float:
    rule = WarmStart(gain, CondOT())
    rule.time([SEEN], kept=HORIZON, horizon=HORIZON)
    return rule.time([SEEN + change], kept=kept, horizon=HORIZON)


def at(sigma: float) -> float:
    """On the straight path, to the twentieth below."""
    return math.floor(20 / (1 + sigma) + 1e-6) / 20


def test_what_did_not_change_is_planned_anew_in_its_details_only() -> None:
    assert start() == at(LEAST_SIGMA) == 0.9


@pytest.mark.parametrize(("change", "gain"), [(0.2, 1.0), (-0.2, 1.0), (0.1, 3.0), (0.5, 0.0)])
def test_the_noise_covers_what_the_change_may_have_moved(change: float, gain: float) -> None:
    assert start(change=change, gain=gain) == at(math.hypot(LEAST_SIGMA, gain * change))


def test_rows_that_nobody_planned_count_by_their_share() -> None:
    assert start(kept=HORIZON // 2) == at(math.hypot(LEAST_SIGMA, 0.5))
    assert start(kept=HORIZON // 2) < start(kept=HORIZON - 1) <= start()


def test_of_several_things_seen_the_most_changed_counts() -> None:
    rule = WarmStart(1.0, CondOT())
    rule.time([SEEN, SEEN], kept=HORIZON, horizon=HORIZON)
    both = rule.time([SEEN, SEEN + 0.3], kept=HORIZON, horizon=HORIZON)
    assert both == start(change=0.3)


@pytest.mark.parametrize("cold", [{"change": 1.0}, {"kept": 0}, {"kept": 1, "change": 0.4}])
def test_a_large_change_or_no_plan_starts_from_noise(cold: dict) -> None:
    assert start(**cold) == 0


def test_a_change_that_is_no_number_starts_from_noise() -> None:
    assert start(change=math.nan) == 0


def test_the_first_plan_and_the_first_after_a_reset_start_from_noise() -> None:
    rule = WarmStart(1.0, CondOT())
    assert rule.time([SEEN], kept=HORIZON, horizon=HORIZON) == 0
    assert rule.time([SEEN], kept=HORIZON, horizon=HORIZON) > 0
    rule.reset()
    assert rule.time([SEEN], kept=HORIZON, horizon=HORIZON) == 0


def plans(*, time: float, evaluations: int) -> tuple[Tensor, Tensor]:
    """(plans, last plans), (N, H, A) each: the last ones exact samples, then nothing changed."""
    config = flow_config(solver="midpoint", evaluations=evaluations)
    network = ExactNetwork(LEFT_OR_RIGHT)
    bounds = torch.full((1,), -9.0), torch.full((1,), 9.0)
    drawing = FlowDrawing(network, config, joining="overwrite", bounds=bounds)
    generator = torch.Generator().manual_seed(0)
    last_NHA = LEFT_OR_RIGHT.sample(60, generator=generator).float().view(-1, *network.rows)
    drawn = [
        drawing.draw(condition(), Target(last_HA, HORIZON, 0), start=time, generator=generator)
        for last_HA in last_NHA
    ]
    return torch.cat(drawn), last_NHA


def bad(chunk_NHA: Tensor) -> float:
    """The share of plans that are neither left nor right."""
    return ((chunk_NHA.mean((-2, -1)).abs() - 0.8).abs() > 0.2).double().mean().item()


def test_two_evaluations_from_the_last_plan_beat_two_from_noise_and_keep_the_side() -> None:
    cold, last = plans(time=0.0, evaluations=2)
    warm, _ = plans(time=0.75, evaluations=2)
    side = last.mean((-2, -1)).sign()
    assert bad(cold) > 0.5
    assert bad(warm) == 0
    assert torch.equal(warm.mean((-2, -1)).sign(), side)
    assert (cold.mean((-2, -1)).sign() == side).double().mean() < 0.7
    assert (warm - last).abs().amax((-2, -1)).min() > 0  # its details are drawn anew
