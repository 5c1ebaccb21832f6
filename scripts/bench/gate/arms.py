"""What stands behind the gate in `bench gate`: a light arm for most commands, the FR3 for the rest.

Both follow commands as the real arm does, by a spring between the command and the tool, may be
blocked by a wall and pushed by a hand, and report what they really did. Units: m, rad, s, N.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from robot_io import so3
from robot_io.so3 import Quaternion

FILTER_RAD_S = 60.0  # of the command, as in `sim.impedance`
MASS_KG = 7.0
STEP_MS = 5
TURN_RAD_S = 20.0
WIDTH_RATE_PER_S = 30.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What others do to the arm."""

    push_3: np.ndarray  # N, on the tool
    wall_axis: int | None = None  # 0, 1, 2: it cannot go further along this axis
    wall_upwards: bool = True  # blocked towards larger numbers, else towards smaller ones


NOTHING = Disturbance(np.zeros(3))
STRAIGHT = (1.0, 0.0, 0.0)  # what touches goes along with the tool


@dataclass(frozen=True, slots=True)
class Did:
    """What an arm did while time went by."""

    speed_m_per_s: float  # the largest
    contact_n: float  # with the wall, now
    heft: tuple[float, float]  # kg, N·s/m: see `Heft` of the checker
    lever: tuple[float, float, float] = STRAIGHT  # of that contact: see `ArmSeen`


class Arm(Protocol):
    """A simulated arm under Cartesian impedance control."""

    def reset(self, row_8: np.ndarray) -> None:
        """At rest at the row, or as near to it as it can be."""
        ...

    def advance(self, row_8: np.ndarray | None, ms: int, disturbance: Disturbance) -> Did:
        """Follows a command (None: the last one) for so many milliseconds."""
        ...

    def row(self) -> np.ndarray:
        """The measured row (8,)."""
        ...

    def joint_angles(self) -> np.ndarray:
        """The measured joint angles, rad; empty where there are none."""
        ...


class PointArm:
    """A mass on a spring per axis, exact between two moments; a wall stops it dead.

    m x'' = k (r - x) + d (r' - x') + push,   r'' = w² (command - r) - 2 w r',   d = 2 sqrt(k m)
    """

    def __init__(self, stiffness_n_per_m: float) -> None:
        self._stiffness = stiffness_n_per_m
        self._damping = 2 * sqrt(stiffness_n_per_m * MASS_KG)
        self._steps = {ms: self._transition(ms / 1000) for ms in (1, STEP_MS)}
        self.reset(np.array([0.45, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.04]))

    def _transition(self, dt_s: float) -> np.ndarray:
        """(4, 6): from r, r', x, x' and the inputs command, push, constant in `dt_s`, to r … x'."""
        k, d, w = self._stiffness / MASS_KG, self._damping / MASS_KG, FILTER_RAD_S
        flow = np.zeros((6, 6))
        flow[0, 1] = flow[2, 3] = 1.0
        flow[1, [0, 1, 4]] = -w * w, -2 * w, w * w
        flow[3, [0, 1, 2, 3, 5]] = k, d, -k, -d, 1 / MASS_KG
        whole = np.eye(6) + flow * (dt_s / 64)  # exponential by 64 small steps, squared together
        for _ in range(6):
            whole = whole @ whole
        return whole[:4].copy()

    def reset(self, row_8: np.ndarray) -> None:
        self._motion_63 = np.zeros((6, 3))  # r, r', x, x', command, push
        self._motion_63[[0, 2, 4]] = row_8[:3]
        self._command_8 = row_8.copy()
        w, x, y, z = row_8[3:7].tolist()
        self._quat: Quaternion = (w, x, y, z)
        self._turning = (0.0, 0.0, 0.0)
        self._width = float(row_8[7])
        self._row_8 = self._measured()

    def advance(self, row_8: np.ndarray | None, ms: int, disturbance: Disturbance) -> Did:
        if row_8 is not None:
            self._command_8 = row_8.astype(float)
        motion_63, axis = self._motion_63, disturbance.wall_axis
        motion_63[4:] = self._command_8[:3], disturbance.push_3
        fastest = contact_n = 0.0
        for step in [STEP_MS] * (ms // STEP_MS) + [1] * (ms % STEP_MS):
            before = 0.0 if axis is None else float(motion_63[2, axis])
            motion_63[:4] = self._steps[step] @ motion_63
            if axis is not None:
                contact_n = self._blocked(axis, before, 1.0 if disturbance.wall_upwards else -1.0)
            vx, vy, vz = motion_63[3].tolist()
            fastest = max(fastest, sqrt(vx * vx + vy * vy + vz * vz))
            self._turn(step / 1000)
        self._row_8 = self._measured()
        return Did(fastest, contact_n, (MASS_KG, self._damping))

    def _blocked(self, axis: int, before: float, sign: float) -> float:
        r, r_rate, x, _, _, _ = self._motion_63[:, axis].tolist()
        if sign * (x - before) <= 0:
            return 0.0
        self._motion_63[2:4, axis] = before, 0.0
        return sign * (self._stiffness * (r - before) + self._damping * r_rate)

    def _turn(self, dt_s: float) -> None:
        w, x, y, z = self._command_8[3:7].tolist()
        ax, ay, az = so3.between(self._quat, (w, x, y, z))
        vx, vy, vz = self._turning
        pull, drag = TURN_RAD_S**2 * dt_s, 1 - 2 * TURN_RAD_S * dt_s
        self._turning = (vx * drag + ax * pull, vy * drag + ay * pull, vz * drag + az * pull)
        rx, ry, rz = self._turning
        quat = so3.multiply(so3.exponential((rx * dt_s, ry * dt_s, rz * dt_s)), self._quat)
        unit = 1 / sqrt(sum(q * q for q in quat))
        w, x, y, z = quat
        self._quat = (w * unit, x * unit, y * unit, z * unit)
        self._width += (float(self._command_8[7]) - self._width) * WIDTH_RATE_PER_S * dt_s

    def joint_angles(self) -> np.ndarray:
        return np.empty(0)

    def row(self) -> np.ndarray:
        return self._row_8

    def _measured(self) -> np.ndarray:
        return np.array([*self._motion_63[2].tolist(), *self._quat, self._width])
