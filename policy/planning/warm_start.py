"""Where a plan may start, given the last one: not from noise, if little changed since.

    last plan Y, shifted      y0  y1  y2  y3  y4  y4  y4        K = 5 of H = 7 rows are left
    x at time t               α Y + β ε                         the last is held for what is missing

The noise must cover what may be wrong with the last plan. All numbers normalised, it is

    σ² = σ_0² + (g c)² + (1 - K/H)²

σ_0 = 0.1 what a plan is never nearer than; c the root mean square change since the last plan of the
newest step observed, or of the guess from its images if that is larger; g = `sampling.warm_start`,
how far a right plan moves per change of the observation; 1 - K/H the share of rows that nobody
planned, which may lie anywhere in the data, of unit spread. The plan starts at the time where
β/α = σ, rounded down to a twentieth; from pure noise if σ >= 1: then the data tell more than Y.

Modes further apart than σ stay as they were chosen; smaller differences are drawn anew
(`policy.generative.samplers.warm_start`).
"""

import math
from collections.abc import Sequence

from torch import Tensor

from policy.generative.grids import time_of_sigma
from policy.generative.paths import ProbabilityPath

LEAST_SIGMA = 0.1  # σ_0
COLD_SIGMA = 1.0
STARTS = 20  # a twentieth: what depends on time can be tabulated


class WarmStart:
    """Give it each observation as it is planned for; it says when on the way the plan may start."""

    def __init__(self, gain: float, path: ProbabilityPath) -> None:
        self._gain, self._path = gain, path
        self._last: Sequence[Tensor] | None = None

    def reset(self) -> None:
        self._last = None

    def time(self, seen: Sequence[Tensor], *, kept: int, horizon: int) -> float:
        """Flow time to start from, 0 for a cold start; `kept` rows are left of the last plan.

        `seen`: normalised; what changed most counts.
        """
        last, self._last = self._last, seen
        if last is None or kept == 0:
            return 0.0
        change = max(
            (new - old).square().mean().sqrt().item() for new, old in zip(seen, last, strict=True)
        )
        sigma = math.hypot(LEAST_SIGMA, self._gain * change, 1 - kept / horizon)
        if not sigma < COLD_SIGMA:
            return 0.0
        return math.floor(time_of_sigma(self._path, sigma) * STARTS + 1e-9) / STARTS
