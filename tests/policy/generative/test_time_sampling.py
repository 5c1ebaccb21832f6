"""Flow times drawn for training: their distributions, and that a seed fixes them."""

import functools

import pytest
import torch
from closed_forms import seeded

from policy.generative.time_sampling import (
    beta_times,
    level_times,
    logit_normal_times,
    uniform_times,
)

N = 100_000
DRAWS = {
    "uniform": uniform_times,
    "logit_normal": functools.partial(logit_normal_times, mean=-0.5, std=0.8),
    "beta": functools.partial(beta_times, a=2.0, b=3.0, end=0.9),
    "level": functools.partial(level_times, levels=100),
}
CUMULATIVE = {
    "uniform": lambda t: t,
    "logit_normal": lambda t: torch.special.ndtr((torch.logit(t) + 0.5) / 0.8),
    "beta": lambda t: (u := t / 0.9) ** 2 * (6 - 8 * u + 3 * u**2),  # of Beta(2, 3)
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_times_lie_in_the_unit_interval_and_follow_the_seed(draw: functools.partial) -> None:
    t_B = draw(N, generator=seeded(1))
    assert t_B.shape == (N,)
    assert t_B.dtype == torch.float32
    assert t_B.min() >= 0
    assert t_B.max() <= 1
    assert torch.equal(t_B, draw(N, generator=seeded(1)))
    assert not torch.equal(t_B, draw(N, generator=seeded(2)))


@pytest.mark.parametrize("name", CUMULATIVE)
def test_times_follow_their_distribution(name: str) -> None:
    """Kolmogorov and Smirnov: √N times the largest gap exceeds 1.95 once in a thousand."""
    t_B = DRAWS[name](N, generator=seeded(3)).double().sort().values
    rank_B = torch.arange(1, N + 1) / N
    assert (CUMULATIVE[name](t_B) - rank_B).abs().max() < 1.95 / N**0.5


def test_beta_times_as_published_are_mostly_noisy() -> None:
    """π0's Beta(1, 1.5): P(t < u) = 1 - (1 - u / 0.999)^1.5."""
    t_B = beta_times(N, generator=seeded(4))
    assert (t_B < 0.3).float().mean().item() == pytest.approx(
        1 - (1 - 0.3 / 0.999) ** 1.5, abs=0.01
    )
    assert t_B.max() < 0.999


def test_level_times_are_those_of_the_levels() -> None:
    t_B = level_times(N, levels=4, generator=seeded(5))
    assert sorted(set(t_B.tolist())) == [0, 0.25, 0.5, 0.75]
