"""Solvers that carry noise at t = 0 along a velocity to a sample at t = 1.

The velocity is never asked at t = 1, where a learned one is undefined: the last stage of Euler is
at 1 - h, that of midpoint at 1 - h/2.
"""

from collections.abc import Callable

from torch import Tensor

SOLVERS = ("euler", "midpoint")


def evaluation_times(solver: str, evaluations: int) -> tuple[float, ...]:
    """The times, in order, at which `solve` asks for the velocity."""
    if solver == "euler":
        return tuple(i / evaluations for i in range(evaluations))
    if solver == "midpoint" and evaluations % 2 == 0:
        return tuple(i / evaluations for i in range(evaluations))
    raise ValueError(
        f"solver {solver!r} with {evaluations} evaluations: allowed are {', '.join(SOLVERS)}, "
        "midpoint with an even number"
    )


def solve(
    velocity: Callable[[Tensor, float], Tensor], noise: Tensor, *, solver: str, evaluations: int
) -> Tensor:
    """The sample that `noise` ~ N(0, 1) flows to. `evaluations` counts calls of `velocity(x, t)`.

    euler:    x += h v(x, t)                           h = 1/n
    midpoint: x += h v(x + h/2 v(x, t), t + h/2)       h = 2/n, n even
    """
    times = evaluation_times(solver, evaluations)
    x, half = noise, 1 / evaluations
    if solver == "euler":
        for t in times:
            x = x + half * velocity(x, t)
        return x
    for t, middle in zip(times[::2], times[1::2], strict=True):
        x = x + 2 * half * velocity(x + half * velocity(x, t), middle)
    return x
