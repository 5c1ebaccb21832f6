"""Numbers for reports: how sure a success rate is, and where the tail of a delay lies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054  # standard normal quantile of 0.975


def wilson_interval(successes: int, episodes: int, z: float = Z_95) -> tuple[float, float]:
    """95 % confidence interval of a success rate, as fractions (low, high).

    Wilson 1927: unlike the normal approximation it is sound for few episodes and near 0 and 1.
    No episodes say nothing: (0, 1).
    """
    if not 0 <= successes <= episodes:
        raise ValueError(f"successes = {successes}, allowed 0..{episodes} (episodes)")
    if episodes == 0:
        return 0.0, 1.0
    rate, z2_n = successes / episodes, z * z / episodes
    centre = (rate + z2_n / 2) / (1 + z2_n)
    half = z * math.sqrt(rate * (1 - rate) / episodes + z2_n / (4 * episodes)) / (1 + z2_n)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == episodes else centre + half
    return low, high


@dataclass(frozen=True, slots=True)
class Percentiles:
    """p50, p99 and the largest of a sample, in the sample's unit."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> "Percentiles":
        """Percentiles of the values at hand (no interpolation beyond them)."""
        if len(values) == 0:
            raise ValueError("no values: percentiles need at least one")
        p50, p99 = np.percentile(values, [50, 99])
        return cls(p50=float(p50), p99=float(p99), max=float(np.max(values)))

    def line(self, unit: str) -> str:
        return f"p50 {self.p50:.2f}, p99 {self.p99:.2f}, max {self.max:.2f} {unit}"
