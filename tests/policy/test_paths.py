"""Flow matching against what can be written down in closed form."""

import math

import pytest
import torch

from policy.paths import CondOT, conditional_velocity, flow_matching_loss, interpolate

PATH = CondOT()
MEAN, STD = 1.5, 0.4  # of Gaussian data


def gaussian_velocity(x: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """The marginal velocity of CondOT towards N(MEAN, STD²).

    x_t ~ N(t μ, s²) with s² = t² σ² + (1-t)², and u = μ + (t σ² - (1-t)) / s² (x - t μ).
    """
    variance = t**2 * STD**2 + (1 - t) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


def draws(n: int = 200_000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.randn(n, 1, generator=generator)
    x_1 = MEAN + STD * torch.randn(n, 1, generator=generator)
    return x_1, x_0, torch.rand(n, generator=generator)


def test_the_path_runs_from_noise_to_data() -> None:
    x_1, x_0, _ = draws(5)
    assert torch.equal(interpolate(PATH, x_1, x_0, torch.zeros(5)), x_0)
    assert torch.equal(interpolate(PATH, x_1, x_0, torch.ones(5)), x_1)


def test_the_conditional_velocity_is_the_derivative_of_the_path() -> None:
    x_1, x_0, t = draws(100)
    step = 1e-3
    later = interpolate(PATH, x_1, x_0, t + step)
    slope = (later - interpolate(PATH, x_1, x_0, t)) / step
    torch.testing.assert_close(slope, conditional_velocity(PATH, x_1, x_0, t), atol=2e-3, rtol=0)


def test_noisy_samples_have_the_closed_form_moments() -> None:
    x_1, x_0, _ = draws()
    x = interpolate(PATH, x_1, x_0, torch.full((len(x_1),), 0.3))
    assert x.mean().item() == pytest.approx(0.3 * MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(math.hypot(0.3 * STD, 0.7), abs=0.01)


def test_the_true_marginal_velocity_has_the_least_loss() -> None:
    x_1, x_0, t = draws()

    def loss(bias: float, gain: float) -> float:
        def velocity(x: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
            return bias + gain * gaussian_velocity(x, t_B[:, None])

        return flow_matching_loss(velocity, x_1, x_0, t, path=PATH).item()

    best = loss(0.0, 1.0)
    assert all(loss(bias, 1.0) > best for bias in (-0.1, 0.1))
    assert all(loss(0.0, gain) > best for gain in (0.9, 1.1))


def test_the_loss_broadcasts_one_time_per_example() -> None:
    x_1, x_0 = torch.randn(4, 16, 10), torch.randn(4, 16, 10)
    zero = flow_matching_loss(lambda x, t: x_1 - x_0, x_1, x_0, torch.rand(4), path=PATH)
    assert zero.item() == 0
