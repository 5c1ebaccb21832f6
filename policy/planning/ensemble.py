"""Temporal ensembling: each command is the mean of what the last plans meant for that instant.

    plan i    0   1   2   3   4   5
    plan i+1          0   1   2   3   4   5
    plan i+2                  0   1   2   3   4   5
    executed                  ·   ·   ·   ·   ·          all plans that reach so far, weighted

(Zhao et al. 2023, "ACT": weights w_i = exp(-m i), i = 0 the oldest.) Rotations are averaged on
SO(3): numbers of a 6-D rotation or a quaternion are not averaged as they are.

Legend: N plans, H rows, D width of a row.
"""

import numpy as np

from robot_io.rows import RowSpace

ACT_DECAY = 0.01  # m


class Ensemble:
    """Give it each plan as it is made; it returns the same rows, averaged with older plans."""

    def __init__(self, rows: RowSpace, *, step_ns: int, decay: float = ACT_DECAY) -> None:
        self._rows, self._step_ns, self._decay = rows, step_ns, decay
        self._plans: list[tuple[int, np.ndarray]] = []

    def reset(self) -> None:
        self._plans.clear()

    def add(self, observed_ns: int, row_HD: np.ndarray) -> np.ndarray:
        """Row h of `row_HD` is meant for `observed_ns + h * step_ns`; so is row h returned."""
        reach_ns = (len(row_HD) - 1) * self._step_ns
        self._plans = [each for each in self._plans if each[0] + reach_ns >= observed_ns]
        self._plans.append((observed_ns, row_HD))
        at_ns_H = observed_ns + self._step_ns * np.arange(len(row_HD))
        return np.stack([self._mean(int(at_ns)) for at_ns in at_ns_H])

    def _mean(self, at_ns: int) -> np.ndarray:
        row_ND = np.stack(
            [
                self._rows.curve(row_HD, self._step_ns).at(at_ns - observed_ns)[0]
                for observed_ns, row_HD in self._plans
                if at_ns - observed_ns <= (len(row_HD) - 1) * self._step_ns
            ]
        )
        weight_N = np.exp(-self._decay * np.arange(len(row_ND)))
        return self._rows.mean(row_ND, weight_N)
