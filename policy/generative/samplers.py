"""Samplers of the flow's ODE dx/dt = u_t(x): from noise along a velocity to a sample.

No solver asks the velocity at the end of its grid, t = 1, where a learned one is undefined (a data
or score model divides by β = 0, and no training time lies beyond). Euler and midpoint never would;
Heun and RK4 take their last step by a rule whose stages are all earlier and which costs no order:
midpoint, and Ralston's third-order rule. (A single step may err by one power of h more than all.)
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from policy.generative.grids import Grid, uniform_grid
from policy.generative.paths import ProbabilityPath, interpolate

Field = Callable[[Tensor, float], Tensor]  # (x, t) -> shaped like x
Solver = Literal["euler", "midpoint", "heun", "rk4"]


def solve(velocity: Field, x: Tensor, times: Grid, *, solver: Solver) -> Tensor:
    """x at times[-1], given x at times[0]; one step between each two times. h: length of a step.

    euler:    x + h u(x, t)                                              order 1, 1 evaluation
    midpoint: x + h u(x + h/2 u(x, t), t + h/2)                          order 2, 2 evaluations
    heun:     x + h/2 (k + u(x + h k, t + h)), k = u(x, t)               order 2, 2 evaluations
    rk4:      the classical Runge-Kutta rule                             order 4, 4 (3 in the last)
    """
    _check(solver)
    for start, end in pairwise(times[:-1]):
        x = _STEPS[solver](velocity, x, start, end - start)
    start, end = times[-2:]
    return _LAST_STEPS[solver](velocity, x, start, end - start)


def evaluation_times(times: Grid, *, solver: Solver) -> tuple[float, ...]:
    """The times, in order, at which `solve` asks for the velocity."""
    asked = []

    def record(x: Tensor, t: float) -> Tensor:
        asked.append(t)
        return x

    solve(record, torch.zeros(()), times, solver=solver)
    return tuple(asked)


def grid_for(evaluations: int, *, solver: Solver, start: float = 0.0) -> Grid:
    """The uniform grid on which `solve` asks for the velocity just so often."""
    _check(solver)
    steps = max(1, round(evaluations / {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}[solver]))
    times = uniform_grid(steps, start=start)
    if len(evaluation_times(times, solver=solver)) != evaluations:
        raise ValueError(
            f"{evaluations} evaluations with {solver}: allowed are 1 or more with euler, an even "
            "number with midpoint and heun, 4 n - 1 with rk4"
        )
    return times


def solve_adaptive(
    velocity: Field,
    x: Tensor,
    *,
    start: float = 0.0,
    tolerance: float = 1e-4,
    most_evaluations: int = 10_000,
) -> Tensor:
    """x at t = 1 given x at `start`, with steps as long as the tolerance allows (order 3).

    Ralston's third-order rule, whose first two stages are the midpoint rule: their difference is
    the error of a step, held below `tolerance` (root mean square, relative to max(1, |x|), of the
    worst batch element). Unlike the usual pairs (Bogacki-Shampine, Dormand-Prince: "first same as
    last") it never asks at the end of a step, so not at t = 1: a library's solver would.
    Raises FloatingPointError where no step is short enough, as with NaN.
    """
    if not 0 <= start < 1 or not tolerance > 0:
        raise ValueError(f"start = {start}, tolerance = {tolerance}, allowed [0, 1) and above 0")
    t, h = start, (1 - start) / 10
    for _ in range(most_evaluations // 3):
        end = t + h if t + h < 1 else 1.0
        third, second = _ralston_midpoint(velocity, x, t, end - t)
        scale = torch.maximum(x.abs(), third.abs()).clamp_min(1)
        error = ((third - second) / scale).square().flatten(1).mean(1).sqrt().max().item()
        change = 0.9 * (tolerance / error) ** (1 / 3) if error > 0 else math.inf
        if error <= tolerance:
            if end == 1:
                return third
            x, t = third, end
        h *= min(max(change, 0.2), 5.0) if math.isfinite(error) else 0.2
    raise FloatingPointError(
        f"no sample within {most_evaluations} evaluations: stuck at t = {t:.6g} with steps of "
        f"{h:.3g}. Raise tolerance = {tolerance}, or see whether the velocity is finite there."
    )


def warm_start(previous: Tensor, noise: Tensor, *, path: ProbabilityPath, t: float) -> Tensor:
    """Where a grid with `start` = t may begin, if `previous` is nearly the sample looked for.

    Noised to the level of t, x_t = α previous + β noise: modes further apart than β/α stay what
    they were, details finer than that are drawn anew. t = 0 forgets it all, where α_0 = 0.
    """
    return interpolate(path, previous, noise, t)


def _euler(velocity: Field, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * velocity(x, t)


def _midpoint(velocity: Field, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * velocity(x + h / 2 * velocity(x, t), t + h / 2)


def _heun(velocity: Field, x: Tensor, t: float, h: float) -> Tensor:
    k = velocity(x, t)
    return x + h / 2 * (k + velocity(x + h * k, t + h))


def _rk4(velocity: Field, x: Tensor, t: float, h: float) -> Tensor:
    k1 = velocity(x, t)
    k2 = velocity(x + h / 2 * k1, t + h / 2)
    k3 = velocity(x + h / 2 * k2, t + h / 2)
    k4 = velocity(x + h * k3, t + h)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _ralston(velocity: Field, x: Tensor, t: float, h: float) -> Tensor:
    return _ralston_midpoint(velocity, x, t, h)[0]


def _ralston_midpoint(velocity: Field, x: Tensor, t: float, h: float) -> tuple[Tensor, Tensor]:
    """Ralston's third-order step (1962; stages at 0, 1/2, 3/4), and the midpoint's within it."""
    k1 = velocity(x, t)
    k2 = velocity(x + h / 2 * k1, t + h / 2)
    k3 = velocity(x + 3 * h / 4 * k2, t + 3 * h / 4)
    return x + h / 9 * (2 * k1 + 3 * k2 + 4 * k3), x + h * k2


_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun, "rk4": _rk4}
_LAST_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _midpoint, "rk4": _ralston}


def _check(solver: str) -> None:
    if solver not in get_args(Solver):
        raise ValueError(f"solver {solver!r}, allowed are {', '.join(get_args(Solver))}")
