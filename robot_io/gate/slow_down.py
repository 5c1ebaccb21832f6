"""Coming to rest along the path when there is nothing left to follow."""

import numpy as np
from ruckig import ControlInterface, InputParameter, Result, Ruckig, Trajectory

from robot_io import so3
from robot_io.gate.motion import Bounds
from robot_io.gate.vectors import norm, scaled

RAMP_S = 0.05  # in which the deceleration builds up, if the jerk limit does not ask for longer


class SlowDown:
    """The way of a tool row from a velocity to rest: straight on and turning on, ever slower.

    Units: m, rad, s. `velocity_V` as in `robot_io.rows.ToolRows`. Translation and rotation come
    to rest together, within the bounds on acceleration and jerk. The
    gripper stays as it is.
    """

    def __init__(
        self, row_D: np.ndarray, velocity_V: np.ndarray, *, travel: Bounds, turn: Bounds
    ) -> None:
        x, y, z, wx, wy, wz, _ = velocity_V.tolist()
        self._row_D = row_D
        self._speeds = (norm((x, y, z)), norm((wx, wy, wz)))
        self._direction = scaled((x, y, z), 1 / max(self._speeds[0], 1e-12))
        self._axis = scaled((wx, wy, wz), 1 / max(self._speeds[1], 1e-12))
        self._trajectory = _to_rest(self._speeds, (travel, turn))

    @property
    def duration_s(self) -> float:
        return self._trajectory.duration

    def at(self, elapsed_s: float) -> np.ndarray:
        """The row (D,) after `elapsed_s`; at rest from `duration_s` on."""
        (along_m, angle_rad), _, _ = self._trajectory.at_time(min(elapsed_s, self.duration_s))
        turned = so3.exponential(scaled(self._axis, angle_rad))
        row_D = self._row_D.copy()
        row_D[:3] += scaled(self._direction, along_m)
        w, x, y, z = self._row_D[3:7].tolist()
        row_D[3:7] = so3.multiply(turned, (w, x, y, z))
        return row_D


def _to_rest(speeds: tuple[float, float], bounds: tuple[Bounds, Bounds]) -> Trajectory:
    request = InputParameter(2)
    request.control_interface = ControlInterface.Velocity
    request.current_velocity = list(speeds)
    request.target_velocity = [0.0, 0.0]
    request.max_acceleration = [each.accel for each in bounds]
    request.max_jerk = [min(each.jerk, each.accel / RAMP_S) for each in bounds]
    trajectory = Trajectory(2)
    result = Ruckig(2).calculate(request, trajectory)
    assert result in (Result.Working, Result.Finished), result
    return trajectory
