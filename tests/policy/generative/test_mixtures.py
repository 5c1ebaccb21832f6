"""The closed forms themselves, held against what defines them."""

import pytest
import torch
from closed_forms import PATHS, best, bimodal, density, mixture, noise, seeded

from policy.generative.paths import ProbabilityPath, interpolate

X = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_marginal_score_is_the_slope_of_the_log_density(path: ProbabilityPath) -> None:
    for t in (0.0, 0.303, 0.9, 1.0):
        x = X.clone().requires_grad_()
        at = torch.tensor(t, dtype=torch.float64)
        density(bimodal(), path, x, at).log().sum().backward()
        torch.testing.assert_close(best(bimodal(), path, "score")(X, t), x.grad)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_marginal_velocity_carries_the_density(path: ProbabilityPath) -> None:
    """The continuity equation: ∂p/∂t = -∂(p u)/∂x."""
    for time in (0.103, 0.503, 0.903):
        x = X.clone().requires_grad_()
        t = torch.tensor(time, dtype=torch.float64, requires_grad=True)
        slope_in_t = torch.autograd.functional.jacobian(
            lambda t, x=X: density(bimodal(), path, x, t), t
        )
        flux = density(bimodal(), path, x, t.detach()) * best(bimodal(), path, "velocity")(x, time)
        flux.sum().backward()
        torch.testing.assert_close(slope_in_t, -x.grad, rtol=1e-7, atol=1e-9)


def test_the_best_prediction_is_the_average_of_what_it_could_have_been() -> None:
    """Data and noise that met at x_t, averaged over many pairs in bins of x_t."""
    path, target, n = PATHS["condot"], bimodal(), 400_000
    x_1, x_0 = target.sample(n, generator=seeded(3)), noise(n, 1)
    x = interpolate(path, x_1, x_0, 0.6)
    near = (x - 0.2).abs() < 0.02
    at = torch.tensor([[0.2]], dtype=torch.float64)
    for prediction, drawn in (("data", x_1), ("noise", x_0), ("velocity", x_1 - x_0)):
        expected = best(target, path, prediction)(at, 0.6).item()
        assert drawn[near].mean().item() == pytest.approx(expected, abs=0.02)


def test_samples_have_the_moments_of_the_mixture() -> None:
    target = mixture(16)
    x = target.sample(200_000, generator=seeded(4))
    torch.testing.assert_close(x.mean(0), target.weight_K @ target.mean_KD, rtol=0, atol=0.02)
    second = target.weight_K @ (target.mean_KD**2 + target.std_KD**2)
    torch.testing.assert_close(x.square().mean(0), second, rtol=0.02, atol=0.02)


def test_one_time_for_all_equals_one_time_each() -> None:
    target, path, x = mixture(16), PATHS["cosine"], noise(7, 16)
    each = torch.full((7,), 0.4, dtype=torch.float64)
    assert torch.equal(best(target, path, "v")(x, 0.4), best(target, path, "v")(x, each))
