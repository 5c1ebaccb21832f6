"""Samplers of the flow's ODE against exact transports."""

import math
from collections.abc import Callable

import pytest
import torch
from closed_forms import (
    PATHS,
    TARGETS,
    best,
    bimodal,
    cumulative,
    distance,
    mixture,
    noise,
    seeded,
)
from torch import Tensor

from policy.generative.grids import Grid, cosine_grid, uniform_grid
from policy.generative.paths import ProbabilityPath, coefficients
from policy.generative.samplers import evaluation_times, grid_for, solve, solve_adaptive, warm_start

SOLVERS = ("euler", "midpoint", "heun", "rk4")
GRIDS = {"polynomial": uniform_grid(30, start=0.02), "linear": cosine_grid(30)}


def started(path: ProbabilityPath, n: int, dimensions: int, times: Grid) -> Tensor:
    return coefficients(path, times[0], torch.empty(1)).beta * noise(n, dimensions)


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_arrives_at_the_mixture(solver: str) -> None:
    path, there = PATHS["condot"], distance("mixture", 2)
    x = noise(there.samples, 2)
    x = solve(best(mixture(2), path, "velocity"), x, uniform_grid(30), solver=solver)
    assert there.ratio(x) < 1.1


@pytest.mark.parametrize("name", PATHS)
def test_every_path_ends_at_the_mixture(name: str) -> None:
    path, there = PATHS[name], distance("mixture", 2)
    times = GRIDS.get(name, uniform_grid(30))
    x = started(path, there.samples, 2, times)
    x = solve(best(mixture(2), path, "velocity"), x, times, solver="midpoint")
    assert there.ratio(x) < 1.1


CASES = [("gaussian", 2), ("gaussian", 16), ("gaussian", 64), ("mixture", 16), ("mixture", 64)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dimensions"), CASES)
@pytest.mark.parametrize("solver", [*SOLVERS, "adaptive"])
def test_noise_arrives_in_more_dimensions(kind: str, dimensions: int, solver: str) -> None:
    path, there = PATHS["condot"], distance(kind, dimensions)
    velocity = best(TARGETS[kind](dimensions), path, "velocity")
    x = noise(there.samples, dimensions)
    if solver == "adaptive":
        x = solve_adaptive(velocity, x, tolerance=1e-2)
    else:
        x = solve(velocity, x, uniform_grid(30), solver=solver)
    assert there.ratio(x) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_every_path_ends_at_the_mixture_in_more_dimensions(name: str) -> None:
    path, there = PATHS[name], distance("mixture", 16)
    times = GRIDS.get(name, uniform_grid(30))
    x = started(path, there.samples, 16, times)
    x = solve(best(mixture(16), path, "velocity"), x, times, solver="midpoint")
    assert there.ratio(x) < 1.1


def test_the_distance_tells_a_small_mistake() -> None:
    """What the bound of 1.1 is worth, for data about as large as 1."""
    there = distance("mixture", 2)
    x = mixture(2).sample(there.samples, generator=seeded(55))
    assert there.ratio(x) == pytest.approx(1, abs=0.06)
    assert there.ratio(x + 0.08) > 1.1
    assert there.ratio(1.12 * x) > 1.1


@pytest.mark.parametrize("name", ["condot", "cosine"])
@pytest.mark.parametrize(
    ("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)]
)
def test_the_error_shrinks_with_the_solvers_order(name: str, solver: str, order: int) -> None:
    """On a line the exact flow keeps ranks: F(x_1) = Φ(x_0)."""
    velocity = best(bimodal(), PATHS[name], "velocity")
    x_0 = torch.linspace(-2.5, 2.5, 200, dtype=torch.float64)[:, None]

    def error(steps: int) -> float:
        x_1 = solve(velocity, x_0, uniform_grid(steps), solver=solver)
        return (cumulative(bimodal(), x_1) - torch.special.ndtr(x_0)).abs().mean().item()

    assert math.log2(error(40) / error(80)) == pytest.approx(order, abs=0.2)


def test_the_adaptive_solver_keeps_to_its_tolerance_and_has_order_three() -> None:
    """Order 3: an error per step ε³ times smaller costs ε⁻¹ times the evaluations, here 10."""
    x_0 = torch.linspace(-2.5, 2.5, 200, dtype=torch.float64)[:, None]
    costs = {}
    for tolerance in (1e-3, 1e-6):
        asked = []

        def velocity(x: Tensor, t: float, asked: list = asked) -> Tensor:
            asked.append(t)
            return best(bimodal(), PATHS["condot"], "velocity")(x, t)

        x_1 = solve_adaptive(velocity, x_0, tolerance=tolerance)
        off = cumulative(bimodal(), x_1) - torch.special.ndtr(x_0)
        assert off.abs().max() < 5 * tolerance
        assert max(asked) < 1
        costs[tolerance] = len(asked)
    assert costs[1e-3] < 60
    assert costs[1e-6] / costs[1e-3] < 10


def test_the_adaptive_solver_gives_up_on_what_is_not_finite() -> None:
    with pytest.raises(FloatingPointError, match="stuck at t = 0"):
        solve_adaptive(lambda x, t: x * math.nan, noise(3, 2), most_evaluations=100)
    with pytest.raises(ValueError, match="tolerance = nan"):
        solve_adaptive(lambda x, t: x, noise(3, 2), tolerance=math.nan)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("grid", [uniform_grid, cosine_grid])
def test_the_velocity_is_asked_as_often_as_said_and_never_at_the_end(
    solver: str, grid: Callable[[int], Grid]
) -> None:
    asked = []

    def velocity(x: Tensor, t: float) -> Tensor:
        asked.append(t)
        return torch.zeros_like(x)

    solve(velocity, noise(1, 1), grid(5), solver=solver)
    assert tuple(asked) == evaluation_times(grid(5), solver=solver)
    assert len(asked) == {"euler": 5, "midpoint": 10, "heun": 10, "rk4": 19}[solver]
    assert max(asked) < 1


@pytest.mark.parametrize(
    ("solver", "evaluations"), [("euler", 7), ("midpoint", 6), ("heun", 6), ("rk4", 7)]
)
def test_a_grid_spends_the_evaluations_it_is_given(solver: str, evaluations: int) -> None:
    times = grid_for(evaluations, solver=solver, start=0.2)
    assert len(evaluation_times(times, solver=solver)) == evaluations
    assert times[0] == 0.2


@pytest.mark.parametrize(
    ("solver", "evaluations"), [("midpoint", 3), ("heun", 1), ("rk4", 8), ("euler", 0)]
)
def test_evaluations_that_do_not_fit_are_refused(solver: str, evaluations: int) -> None:
    with pytest.raises(ValueError, match="an even number with midpoint"):
        grid_for(evaluations, solver=solver)


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed are euler, midpoint, heun, rk4"):
        solve(lambda x, t: x, noise(1, 1), uniform_grid(2), solver="dopri5")


@pytest.mark.parametrize("t", [0.0, 0.5, 0.9])
def test_a_warm_start_draws_from_the_same_distribution(t: float) -> None:
    path, there = PATHS["condot"], distance("mixture", 2)
    previous = mixture(2).sample(there.samples, generator=seeded(55))
    x = warm_start(previous, noise(there.samples, 2), path=path, t=t)
    velocity = best(mixture(2), path, "velocity")
    x = solve(velocity, x, uniform_grid(30, start=t), solver="midpoint")
    assert there.ratio(x) < 1.1


def test_a_late_warm_start_keeps_the_mode_and_a_cold_one_forgets_it() -> None:
    path, target = PATHS["condot"], bimodal()
    previous = torch.where(noise(2000, 1, seed=6) < 0, -0.8, 0.7).double()
    kept = {}
    for t in (0.0, 0.85):
        x = warm_start(previous, noise(2000, 1), path=path, t=t)
        x = solve(best(target, path, "velocity"), x, uniform_grid(20, start=t), solver="midpoint")
        kept[t] = ((x < 0) == (previous < 0)).double().mean().item()
    assert kept[0.0] == pytest.approx(0.5, abs=0.05)
    assert kept[0.85] > 0.97
