"""SDE, DDPM, DDIM and DPM-Solver++ against closed forms, and against the ODE."""

import math
from collections.abc import Callable

import pytest
import torch
from closed_forms import (
    PATHS,
    TARGETS,
    Distance,
    best,
    bimodal,
    cumulative,
    distance,
    gaussian,
    mixture,
    noise,
    seeded,
)
from test_samplers import CASES, GRIDS, started
from torch import Tensor

from policy.generative import diffusion_samplers
from policy.generative.diffusion_samplers import ddim, ddpm, dpm_solver, solve_sde
from policy.generative.grids import cosine_grid, uniform_grid
from policy.generative.mixtures import GaussianMixture
from policy.generative.predictions import converted
from policy.generative.samplers import solve

CONDOT = PATHS["condot"]
SIGMAS: dict[str, Callable[[float], float]] = {
    "none": lambda t: 0.0,
    "as_the_noise": lambda t: 1 - t,
    "constant": lambda t: 1.0,
    "bump": lambda t: 2 * math.sin(math.pi * t),
    "without_bound": lambda t: math.inf if t == 0 else 1 / t,
}


def sampled(sampler: str, data: Callable, x: Tensor, times: tuple, *, path) -> Tensor:
    if sampler == "dpm_solver":
        return dpm_solver(data, x, times, path=path)
    if sampler == "ddpm":
        return ddpm(data, x, times, path=path, generator=seeded(9))
    if sampler.startswith("ddim"):
        eta = float(sampler.removeprefix("ddim_"))
        return ddim(data, x, times, path=path, eta=eta, generator=seeded(9))
    return solve_sde(
        data, x, times, path=path, sigma=lambda t: 1 - t, solver=sampler, generator=seeded(9)
    )


SAMPLERS = ("euler", "heun", "ddpm", "ddim_0", "ddim_0.5", "dpm_solver")


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", ["condot", "ddpm"])
def test_noise_arrives_at_the_mixture(sampler: str, name: str) -> None:
    path, there = PATHS[name], distance("mixture", 2)
    x = noise(there.samples, 2)
    x = sampled(sampler, best(mixture(2), path, "data"), x, uniform_grid(40), path=path)
    assert there.ratio(x) < 1.1


@pytest.mark.parametrize("sigma", SIGMAS.values(), ids=SIGMAS)
@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_every_sigma_has_the_same_marginals(sigma: Callable[[float], float], solver: str) -> None:
    there, data = distance("mixture", 2), best(mixture(2), CONDOT, "data")
    x = noise(there.samples, 2)
    options = {"path": CONDOT, "sigma": sigma, "solver": solver}
    x = solve_sde(data, x, uniform_grid(50), generator=seeded(9), **options)
    assert there.ratio(x) < 1.1


@pytest.mark.parametrize("sigma", SIGMAS.values(), ids=SIGMAS)
def test_every_sigma_has_the_same_marginals_on_the_way(sigma: Callable[[float], float]) -> None:
    """At t = 0.6 the noisy mixture is a mixture again."""
    target, x = mixture(2), noise(10_000, 2)
    std_KD = ((0.6 * target.std_KD) ** 2 + 0.4**2).sqrt()
    there = Distance(GaussianMixture(target.weight_K, 0.6 * target.mean_KD, std_KD))
    times = tuple(0.6 * t for t in uniform_grid(30))
    options = {"path": CONDOT, "sigma": sigma, "solver": "euler"}
    x = solve_sde(best(target, CONDOT, "data"), x, times, generator=seeded(9), **options)
    assert there.ratio(x) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dimensions"), CASES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_noise_arrives_in_more_dimensions(kind: str, dimensions: int, sampler: str) -> None:
    there, data = distance(kind, dimensions), best(TARGETS[kind](dimensions), CONDOT, "data")
    x = noise(there.samples, dimensions)
    assert there.ratio(sampled(sampler, data, x, uniform_grid(40), path=CONDOT)) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("sampler", ["euler", "ddpm", "dpm_solver"])
def test_every_path_ends_at_the_mixture(name: str, sampler: str) -> None:
    path, there = PATHS[name], distance("mixture", 16)
    times = GRIDS.get(name, uniform_grid(120))
    x = started(path, there.samples, 16, times)
    x = sampled(sampler, best(mixture(16), path, "data"), x, times, path=path)
    assert there.ratio(x) < 1.1


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("name", ["condot", "cosine", "linear", "ddpm"])
def test_without_diffusion_the_sde_is_the_ode_number_by_number(solver: str, name: str) -> None:
    path, x = PATHS[name], noise(100, 16)
    data = best(mixture(16), path, "data")
    options = {"path": path, "sigma": lambda t: 0.0, "generator": seeded(9)}
    by_sde = solve_sde(data, x, uniform_grid(10), solver=solver, **options)
    velocity = converted(data, path=path, source="data", target="velocity")
    assert torch.equal(by_sde, solve(velocity, x, uniform_grid(10), solver=solver))


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_sde_solvers_have_their_weak_order(
    solver: str, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a Gaussian a sample is a linear function of the noises: its variance is exact."""
    target = gaussian(1)

    def error(steps: int) -> float:
        units = iter(torch.eye(steps + 1, dtype=torch.float64)[:, :, None])  # row k: noise k is 1
        x = next(units)  # the noise at the start
        monkeypatch.setattr(diffusion_samplers, "_noise", lambda x, generator: next(units))
        options = {"path": CONDOT, "sigma": SIGMAS["as_the_noise"], "generator": seeded(9)}
        data = best(target, CONDOT, "data")
        x = solve_sde(data, x, uniform_grid(steps), solver=solver, **options)
        std = (x[:-1] - x[-1]).norm().item()  # the last row saw no noise: the mean
        assert x[-1].item() == pytest.approx(target.mean_KD.item(), abs=0.01)
        return abs(std - target.std_KD.item())

    assert math.log2(error(40) / error(80)) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("sampler", "order"), [("ddim_0", 1), ("dpm_solver", 2)])
def test_the_error_shrinks_with_the_order(sampler: str, order: int) -> None:
    """On a line the exact flow keeps ranks: F(x_1) = Φ(x_0)."""
    x_0 = torch.linspace(-2.5, 2.5, 200, dtype=torch.float64)[:, None]

    def error(steps: int) -> float:
        data = best(bimodal(), CONDOT, "data")
        x_1 = sampled(sampler, data, x_0, cosine_grid(steps), path=CONDOT)
        return (cumulative(bimodal(), x_1) - torch.special.ndtr(x_0)).abs().mean().item()

    assert math.log2(error(40) / error(80)) == pytest.approx(order, abs=0.25)


def test_on_the_straight_path_ddim_is_eulers_rule() -> None:
    data = best(mixture(16), CONDOT, "data")
    by_ddim = ddim(data, noise(100, 16), uniform_grid(10), path=CONDOT, generator=seeded(9))
    velocity = converted(data, path=CONDOT, source="data", target="velocity")
    by_euler = solve(velocity, noise(100, 16), uniform_grid(10), solver="euler")
    torch.testing.assert_close(by_ddim, by_euler, rtol=1e-12, atol=1e-12)


def test_one_step_of_any_deterministic_sampler_is_its_data_prediction() -> None:
    x = noise(10, 16)
    data = best(mixture(16), CONDOT, "data")
    for sampler in ("ddim_0", "ddpm", "dpm_solver"):
        one = sampled(sampler, data, x, uniform_grid(1), path=CONDOT)
        torch.testing.assert_close(one, data(x, 0.0))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_end_is_never_asked_and_single_precision_stays(sampler: str) -> None:
    asked = []

    def data(x: Tensor, t: float) -> Tensor:
        asked.append(t)
        return torch.zeros_like(x)

    x = sampled(sampler, data, noise(3, 2).float(), uniform_grid(6), path=CONDOT)
    assert x.dtype == torch.float32
    assert x.isfinite().all()
    assert len(asked) == (12 if sampler == "heun" else 6)
    assert max(asked) < 1


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddpm"])
def test_the_generator_fixes_what_is_drawn(sampler: str) -> None:
    data = best(mixture(2), CONDOT, "data")
    first, second = (
        sampled(sampler, data, noise(5, 2), uniform_grid(4), path=CONDOT) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_impossible_coefficients_are_refused() -> None:
    def data(x: Tensor, t: float) -> Tensor:
        return x

    options = {"path": CONDOT, "generator": seeded(9)}
    for sigma in (-1.0, math.nan):
        with pytest.raises(ValueError, match="allowed 0 or more"):
            solve_sde(
                data,
                noise(2, 2),
                uniform_grid(3),
                sigma=lambda t, s=sigma: s,
                solver="heun",
                **options,
            )
    with pytest.raises(ValueError, match="allowed 0 to 1"):
        ddim(data, noise(2, 2), uniform_grid(3), eta=math.nan, **options)
