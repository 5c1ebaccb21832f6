"""Samplers as a recipe names them: what a `SamplingConfig` means on a path.

sampler = make_sampler(config.sampling, config.generative)
x_1 = sampler.draw(field, sampler.begin(noise), generator=generator)

where field(x, t) tells what `sampler.asks_for`.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from policy.generative.config import (
    DDPM_LEVELS,
    ODE_SOLVERS,
    GenerativeConfig,
    SamplingConfig,
)
from policy.generative.diffusion_samplers import ddim, ddpm, dpm_solver, solve_sde
from policy.generative.grids import (
    Grid,
    cosine_grid,
    karras_grid,
    level_grid,
    power_grid,
    time_of_sigma,
    uniform_grid,
)
from policy.generative.method import make_path
from policy.generative.paths import ProbabilityPath
from policy.generative.samplers import Field, solve, solve_adaptive, warm_start

TOLERANCE = 1e-3  # of the adaptive solver, in normalised units
POWERS = {"quadratic": 2, "cubic": 3}
FIRST_SIGMA = 80.0  # β/α: the noise is 80 times the data, EDM's σ_max (Karras et al. 2022)


@dataclass(frozen=True)
class Sampler:
    """One way from noise, or from a plan that is nearly right, to a sample."""

    config: SamplingConfig
    path: ProbabilityPath
    times: Grid  # the adaptive solver minds the first only

    @property
    def asks_for(self) -> Literal["velocity", "data"]:
        """What its field must tell: the ODE's velocity, or the data."""
        return "velocity" if self.config.solver in ODE_SOLVERS else "data"

    @property
    def step(self) -> float:
        """Length of its first step."""
        return self.times[1] - self.times[0]

    def begin(self, noise: Tensor) -> Tensor:
        """x at the first time of a cold start, from standard normal noise."""
        start = torch.tensor(self.times[0], dtype=torch.float64)
        return self.path.beta(start) * self.config.temperature * noise

    def begin_near(self, previous: Tensor, noise: Tensor) -> Tensor:
        """x at the first time where `previous` is nearly the sample: see `started_at`."""
        noise = self.config.temperature * noise
        return warm_start(previous, noise, path=self.path, t=self.times[0])

    def draw(self, field: Field, x: Tensor, *, generator: Generator) -> Tensor:
        """x at t = 1, from x at the first time."""
        solver, path = self.config.solver, self.path
        if solver == "adaptive":
            return solve_adaptive(field, x, start=self.times[0], tolerance=TOLERANCE)
        if solver == "dpmpp_2m":
            return dpm_solver(field, x, self.times, path=path)
        if solver == "ddim":
            return ddim(field, x, self.times, path=path, generator=generator)
        if solver == "ddpm":
            return ddpm(
                field,
                x,
                self.times,
                path=path,
                generator=generator,
                temperature=self.config.temperature,
            )
        if solver == "sde" or solver == "sde_heun":
            return solve_sde(
                field,
                x,
                self.times,
                path=path,
                sigma=self._sigma,
                solver="euler" if solver == "sde" else "heun",
                generator=generator,
                temperature=self.config.temperature,
            )
        return solve(field, x, self.times, solver=solver)

    def asked_times(self) -> tuple[float, ...]:
        """The times, in order, at which `draw` asks its field; unknown (none) if adaptive."""
        asked: list[float] = []
        if self.config.solver == "adaptive":
            return ()

        def record(x: Tensor, t: float) -> Tensor:
            asked.append(t)
            return x

        self.draw(record, torch.zeros(1), generator=Generator())
        return tuple(asked)

    def started_at(self, t: float) -> "Sampler":
        """As many evaluations on the way from t on: for a warm start."""
        return replace(self, times=_grid(self.config, self.path, start=t))

    def _sigma(self, t: float) -> float:
        """σ_t = sigma β_t: as strong as the noise that is there."""
        return self.config.sigma * self.path.beta(torch.tensor(t, dtype=torch.float64)).item()


def make_sampler(config: SamplingConfig, generative: GenerativeConfig) -> Sampler:
    """The sampler from noise; `policy.generative.config.check_fit` says whether the two fit."""
    path = make_path(generative.path)
    start = 0.0 if _tells_data_at_once(generative) else time_of_sigma(path, FIRST_SIGMA)
    return Sampler(config, path, _grid(config, path, start=start))


def _tells_data_at_once(generative: GenerativeConfig) -> bool:
    """Whether the prediction at t = 0 says what the data are (`policy.generative.predictions`).

    Noise says nothing of data of which there are none in x, nor does a velocity of 0.
    """
    if generative.path == "polynomial":
        return generative.prediction in ("data", "v")
    return generative.prediction in ("data", "v", "velocity")


def _grid(config: SamplingConfig, path: ProbabilityPath, *, start: float) -> Grid:
    steps = _steps(config)
    if config.grid == "karras":
        return karras_grid(steps, path=path, sigma_first=FIRST_SIGMA)
    if config.grid in ("leading", "trailing"):
        return level_grid(steps, levels=DDPM_LEVELS, spacing=config.grid)
    if config.grid == "cosine":
        return cosine_grid(steps, start=start)
    if config.grid in POWERS:
        return power_grid(steps, power=POWERS[config.grid], start=start)
    return uniform_grid(steps, start=start)


def _steps(config: SamplingConfig) -> int:
    """How many steps take this many evaluations."""
    if config.solver == "rk4":
        return (config.evaluations + 1) // 4
    return config.evaluations // (2 if config.solver in ("midpoint", "heun", "sde_heun") else 1)
