"""Step grids: the times t_0 < ... < t_n = 1 that a sampler goes through, from noise to data.

`start` > 0 is for a warm start (`samplers.warm_start`) or a model that is undefined at 0.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch

from policy.generative.paths import ProbabilityPath

Grid = tuple[float, ...]


def uniform_grid(steps: int, *, start: float = 0.0) -> Grid:
    """Equal steps. On a path of discrete levels this is the "trailing" spacing."""
    return _grid(steps, lambda i: i / steps, start)


def cosine_grid(steps: int, *, start: float = 0.0) -> Grid:
    """t = (1 - cos(π i / n)) / 2: short steps at both ends."""
    return _grid(steps, lambda i: (1 - math.cos(math.pi * i / steps)) / 2, start)


def power_grid(steps: int, *, power: int, start: float = 0.0) -> Grid:
    """t = 1 - (1 - i/n)^power: steps that shorten towards the data (DDIM's "quad" with 2).

    Where what is known of a plan leaves it little room, x turns late: only where its noise is as
    small as that room does the velocity depend on x.
    """
    return _grid(steps, lambda i: 1 - (1 - i / steps) ** power, start)


def karras_grid(
    steps: int,
    *,
    path: ProbabilityPath,
    rho: float = 7.0,
    sigma_first: float = 80.0,
    sigma_last: float = 0.002,
) -> Grid:
    """β/α = σ_i falls from `sigma_first` to `sigma_last` evenly in σ^(1/ρ), then to the data.

    (Karras et al. 2022, eq. 5.) A path that starts with less noise starts at its own β_0/α_0.
    """
    first = min(sigma_first, _sigma(path, 0.0))
    if not _sigma(path, 1.0) < sigma_last < first:
        raise ValueError(
            f"sigma_last = {sigma_last}, allowed between the path's {_sigma(path, 1.0):.3g} "
            f"and {first:.3g}"
        )
    high, low = first ** (1 / rho), sigma_last ** (1 / rho)
    last = max(steps - 1, 1)
    return _grid(steps, lambda i: time_of_sigma(path, (high + i / last * (low - high)) ** rho), 0.0)


def level_grid(steps: int, *, levels: int, spacing: Literal["leading", "trailing"]) -> Grid:
    """Times of `steps` of DDPM's noise levels, then the data (names of spacings as in `diffusers`).

    trailing begins at the most noise, leading ends at the least: with 100 levels and 4 steps at
    levels 99 74 49 24 or at 75 50 25 0.
    """
    if not 1 <= steps <= levels:
        raise ValueError(f"steps = {steps}, allowed 1 to {levels}")
    if spacing == "leading":
        skipped = levels - 1 - (steps - 1) * (levels // steps)
        return _grid(steps, lambda i: (skipped + i * (levels // steps)) / levels, 0.0)
    return _grid(steps, lambda i: 1 - round(levels - i * levels / steps) / levels, 0.0)


def time_of_sigma(path: ProbabilityPath, sigma: float) -> float:
    """The time at which β/α = sigma; 0 where the path has less noise from the start.

    β/α falls with t: bisect.
    """
    if _sigma(path, 0.0) <= sigma:
        return 0.0
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _sigma(path, middle) > sigma else (low, middle)
    return low


def _grid(steps: int, time: Callable[[int], float], start: float) -> Grid:
    if steps < 1:
        raise ValueError(f"steps = {steps}, allowed 1 or more")
    if not 0 <= start < 1:
        raise ValueError(f"start = {start}, allowed 0 to below 1")
    return (*[start + (1 - start) * time(i) for i in range(steps)], 1.0)


def _sigma(path: ProbabilityPath, t: float) -> float:
    at = torch.tensor(t, dtype=torch.float64)
    alpha = path.alpha(at).item()
    return path.beta(at).item() / alpha if alpha > 0 else math.inf
