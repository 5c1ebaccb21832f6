"""How hard plans join: what a chunk would make of the motion at its first executed row.

    old plan   y0  y1  y2  y3 ...
    new plan   ╌╌  ╌╌  a2  a3 ...       d = 2 rows were executed before it arrived
    path       y0  y1  a2  a3 ...       its differences around row d are the jump

A buffer smooths this within its seam; what is counted here is what there is to smooth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot_io.interfaces import ChunkSource
from robot_io.types import Leftover, Observation


@dataclass(frozen=True, slots=True)
class Jump:
    """Of the translation, at one seam (in px and px/s where rows are of Push-T)."""

    velocity_m_s: float
    acceleration_m_s2: float


class SeamMeter:
    """A `ChunkSource` that notes how each of its plans joins the leftover of the old one."""

    def __init__(self, source: ChunkSource, *, step_s: float) -> None:
        self._source, self._step_s = source, step_s
        self._jumps: list[Jump] = []

    def reset(self, seed: int) -> None:
        self._jumps.clear()
        self._source.reset(seed)

    def plan(self, observation: Observation) -> np.ndarray:
        row_HD = self._source.plan(observation)
        if observation.leftover is not None:
            jump = jump_at_seam(observation.leftover, row_HD, step_s=self._step_s)
            if jump is not None:
                self._jumps.append(jump)
        return row_HD

    def scores(self) -> Mapping[str, float]:
        """Root mean squares over the plans of the episode; empty where nothing was joined."""
        if not self._jumps:
            return {}
        velocity = np.array([jump.velocity_m_s for jump in self._jumps])
        acceleration = np.array([jump.acceleration_m_s2 for jump in self._jumps])
        return {
            "seam_velocity": float(np.sqrt((velocity**2).mean())),
            "seam_acceleration": float(np.sqrt((acceleration**2).mean())),
        }


def jump_at_seam(leftover: Leftover, row_HD: np.ndarray, *, step_s: float) -> Jump | None:
    """How much velocity and acceleration change where the path goes over to the new plan.

    None where the old plan ends before, or has no velocity yet (d < 2).
    """
    d = leftover.delay_rows
    if d < 2 or d + 1 >= len(row_HD):
        return None
    path_N3 = np.concatenate([leftover.row_KD[d - 2 : d, :3], row_HD[d : d + 2, :3]])
    velocity_N3 = np.diff(path_N3, axis=0) / step_s
    change_N3 = np.diff(velocity_N3, axis=0)
    return Jump(
        velocity_m_s=float(np.linalg.norm(change_N3, axis=1).max()),
        acceleration_m_s2=float(np.linalg.norm(np.diff(change_N3, axis=0)) / step_s),
    )
