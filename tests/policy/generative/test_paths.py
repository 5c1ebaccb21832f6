"""Paths: their ends, their derivatives, and what they do to data."""

import math

import pytest
import torch
from closed_forms import PATHS, bimodal, noise, seeded

from policy.generative.discrete_time import DiscreteTime, alphas_cumprod
from policy.generative.paths import (
    CondOT,
    Polynomial,
    ProbabilityPath,
    Reversed,
    VarianceExploding,
    coefficients,
    conditional_score,
    conditional_velocity,
    interpolate,
    ratio,
)

INSIDE = torch.linspace(0.003, 0.997, 72, dtype=torch.float64)  # between levels, never at one


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_path_runs_from_noise_to_data(path: ProbabilityPath) -> None:
    for dtype in (torch.float32, torch.float64):
        start, end = torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)
        assert path.alpha(end) == 1
        if isinstance(path, VarianceExploding):  # drowns the datum, and keeps a trace of noise
            assert path.beta(start).item() == pytest.approx(path.first)
            assert path.beta(end).item() == pytest.approx(path.last)
        else:
            assert path.alpha(start) < 0.01
            assert path.beta(start).item() == pytest.approx(1, abs=1e-4)
            assert path.beta(end) == 0


@pytest.mark.parametrize("path", [*PATHS.values(), Reversed(CondOT())], ids=[*PATHS, "reversed"])
def test_derivatives_are_those_of_alpha_and_beta(path: ProbabilityPath) -> None:
    for of, derivative in ((path.alpha, path.d_alpha), (path.beta, path.d_beta)):
        t = INSIDE.clone().requires_grad_()
        total = of(t).sum()
        slope = torch.autograd.grad(total, t)[0] if total.requires_grad else torch.zeros_like(t)
        torch.testing.assert_close(derivative(t).detach(), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_share_of_data_only_grows_and_all_is_finite(path: ProbabilityPath) -> None:
    t = torch.linspace(0, 1, 1001)
    at = coefficients(path, t, t)
    assert all(each.isfinite().all() for each in at)
    assert (torch.diff(at.alpha / at.beta.clamp_min(1e-12)) > 0).all()


@pytest.mark.parametrize("name", ["cosine", "linear", "ddpm"])
def test_variance_preserving_paths_preserve_variance(name: str) -> None:
    path = PATHS[name]
    torch.testing.assert_close(path.alpha(INSIDE) ** 2 + path.beta(INSIDE) ** 2, INSIDE * 0 + 1)


def test_reversed_time_is_the_same_path_backwards() -> None:
    path, back = PATHS["cosine"], Reversed(PATHS["cosine"])
    assert torch.equal(back.alpha(INSIDE), path.alpha(1 - INSIDE))
    assert torch.equal(back.d_beta(INSIDE), -path.d_beta(1 - INSIDE))
    assert torch.equal(Reversed(back).beta(1 - INSIDE), back.beta(INSIDE))


def test_samples_on_the_path_have_the_closed_form_moments() -> None:
    x_1 = bimodal().sample(200_000, generator=seeded(1))
    for path in PATHS.values():
        alpha, beta, *_ = coefficients(path, 0.3, x_1)
        x = interpolate(path, x_1, noise(200_000, 1), 0.3)
        assert x.mean().item() == pytest.approx((alpha * x_1.mean()).item(), abs=0.02)
        expected = math.hypot(alpha * x_1.std(), beta)
        assert x.std().item() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_conditional_velocity_is_how_the_pair_moves(path: ProbabilityPath) -> None:
    x_1, x_0, step = noise(72, 3, seed=1), noise(72, 3, seed=2), 1e-6
    later = interpolate(path, x_1, x_0, INSIDE + step)
    slope = (later - interpolate(path, x_1, x_0, INSIDE - step)) / (2 * step)
    velocity = conditional_velocity(path, x_1, x_0, INSIDE)
    torch.testing.assert_close(slope, velocity, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_conditional_score_is_the_slope_of_the_log_density(path: ProbabilityPath) -> None:
    x_1, x_0 = noise(72, 3, seed=1), noise(72, 3, seed=2)
    x = interpolate(path, x_1, x_0, INSIDE).requires_grad_()
    at = coefficients(path, INSIDE, x)
    torch.distributions.Normal(at.alpha * x_1, at.beta).log_prob(x).sum().backward()
    torch.testing.assert_close(conditional_score(path, x_0, INSIDE), x.grad)


@pytest.mark.parametrize("schedule", ["squaredcos_cap_v2", "linear"])
def test_a_discrete_path_goes_through_its_levels(schedule: str) -> None:
    kept_K = alphas_cumprod(schedule, levels=100)
    path = DiscreteTime(kept_K)
    assert (path.time(99), path.time(-1), path.level(0.0)) == (0.0, 1.0, 99)
    for level in (99, 57, 29, 1, 0):
        t = torch.tensor(path.time(level), dtype=torch.float64)
        assert path.level(t.item()) == level
        assert path.alpha(t).item() == pytest.approx(kept_K[level].sqrt().item(), rel=1e-12)
        assert path.beta(t).item() == pytest.approx((1 - kept_K[level]).sqrt().item(), rel=1e-12)


def test_at_a_level_the_slope_is_that_of_what_follows() -> None:
    path = PATHS["ddpm"]
    for dtype in (torch.float32, torch.float64):
        t = torch.arange(100, dtype=dtype) / 100
        torch.testing.assert_close(
            path.d_alpha(t) / path.alpha(t), path.d_alpha(t + 1e-3) / path.alpha(t + 1e-3)
        )


def test_a_ratio_is_exact_away_from_zero_and_finite_at_it() -> None:
    x = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for denominator in (2.0, -0.1, 1e-7):
        assert torch.equal(
            ratio(x, torch.tensor(denominator).double()), x / torch.tensor(denominator).double()
        )
    zero = torch.zeros((), dtype=torch.float64)
    assert ratio(x, zero).isfinite().all()
    assert ratio(zero, zero) == 0


def test_impossible_paths_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed 1 or more"):
        Polynomial(0.5)
    with pytest.raises(ValueError, match="0 < last < first"):
        VarianceExploding(first=float("nan"))
    with pytest.raises(ValueError, match="must fall"):
        DiscreteTime(torch.tensor([0.5, 0.7]))
    with pytest.raises(ValueError, match="allowed squaredcos"):
        alphas_cumprod("quadratic")
