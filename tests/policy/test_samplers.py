"""Solvers of the flow's ODE against exact transports."""

import pytest
import torch
from test_paths import MEAN, STD, gaussian_velocity

from policy.samplers import evaluation_times, solve

SOLVERS = ("euler", "midpoint")


def noise(n: int = 50_000) -> torch.Tensor:
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_arrives_at_the_gaussian_it_should(solver: str) -> None:
    x = solve(gaussian_velocity, noise(), solver=solver, evaluations=100)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(STD, abs=0.01)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2)])
def test_the_error_shrinks_with_the_solvers_order(solver: str, order: int) -> None:
    """The exact transport of CondOT between Gaussians is x_1 = μ + σ x_0."""
    x_0 = noise(1000).double()

    def error(evaluations: int) -> float:
        x_1 = solve(gaussian_velocity, x_0, solver=solver, evaluations=evaluations)
        return (x_1 - (MEAN + STD * x_0)).abs().mean().item()

    assert error(40) / error(80) > 0.9 * 2**order


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_divides_among_the_modes_of_a_mixture(solver: str) -> None:
    """Two narrow modes at ±1, the left one with 30 % of the mass."""
    weight, centre, std = torch.tensor([0.3, 0.7]), torch.tensor([-1.0, 1.0]), 0.1

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        variance = t**2 * std**2 + (1 - t) ** 2
        share = (weight.log() - (x - t * centre) ** 2 / (2 * variance)).softmax(-1)
        each = centre + (t * std**2 - (1 - t)) / variance * (x - t * centre)
        return (share * each).sum(-1, keepdim=True)

    x = solve(velocity, noise(20_000), solver=solver, evaluations=100)
    assert (x < 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert ((x.abs() - 1).abs() < 0.4).float().mean().item() > 0.98


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_velocity_is_asked_as_often_as_said_and_never_at_the_end(solver: str) -> None:
    asked = []

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(t)
        return torch.zeros_like(x)

    solve(velocity, noise(1), solver=solver, evaluations=6)
    assert tuple(asked) == evaluation_times(solver, 6)
    assert len(asked) == 6
    assert max(asked) < 1


@pytest.mark.parametrize(("solver", "evaluations"), [("midpoint", 3), ("heun", 2)])
def test_an_impossible_solver_is_refused(solver: str, evaluations: int) -> None:
    with pytest.raises(ValueError, match="allowed are euler, midpoint"):
        solve(gaussian_velocity, noise(1), solver=solver, evaluations=evaluations)
