"""From pressed keys to chunks that move the tool: arithmetic only.

A keyboard says that a key went down, again and again while it is held, and never that it came up.
So a key acts for `HOLD_S` after each press, and then the motion decays to rest:

    press   ↓  ↓↓↓↓↓↓
    speed  ╱▔╲╱▔▔▔▔▔▔▔▔╲

Every chunk begins where the arm was told to be last, at the speed it had there, so it goes on from
whatever the policy, the gate or the ladder did. Units: m, rad, s. Legend: V velocity of a row.
"""

import numpy as np

from robot_io import so3
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.rows import ToolRows
from robot_io.types import TELEOP, ActionChunk, Command, MonoNs

HOLD_S = 0.15  # a keyboard repeats every 30 to 50 ms, once it does
SPEED_M_PER_S = 0.06
TURN_RAD_PER_S = 0.5  # about the base's vertical
OPENING_M_PER_S = 0.05
ACCEL_M_PER_S2 = 1.0  # a third of what the gate of the simulated arm allows: seams need more
TURN_ACCEL_RAD_PER_S2 = 7.0

STEP_NS = 50 * NS_PER_MS
ROWS = 5  # 0.2 s from the last command on: the way of a chunk to the arm, and a seam
_FINE = 5  # steps of integration per row

_AXES: dict[str, tuple[int, float]] = {  # of the tool, in base: column of V, speed
    "x": (0, SPEED_M_PER_S),
    "y": (1, SPEED_M_PER_S),
    "z": (2, SPEED_M_PER_S),
    "yaw": (5, TURN_RAD_PER_S),
    "hand": (6, OPENING_M_PER_S),
}
MOTIONS = {  # name -> column of V, velocity
    f"{axis}{sign}": (column, speed if sign == "+" else -speed)
    for axis, (column, speed) in _AXES.items()
    for sign in "+-"
}


class Jog:
    """Tell it every command that was sent and every motion that was asked for."""

    def __init__(self) -> None:
        self._rows = ToolRows()
        self._chunks = 0
        self._asked_ns: dict[str, int] = {}
        self._before: Command | None = None
        self._last: Command | None = None

    def press(self, motion: str, stamp_ns: int) -> None:
        """One of `MOTIONS` was asked for."""
        self._asked_ns[motion] = stamp_ns

    def sent(self, command: Command) -> None:
        """The arm was sent this, whoever led it."""
        self._before, self._last = self._last, command

    def chunk(self, now_ns: int) -> ActionChunk | None:
        """The plan of the keys as they are at `now_ns`; None before the second command."""
        before, last = self._before, self._last
        if before is None or last is None or not last.due_ns > before.due_ns:
            return None
        self._chunks += 1
        return ActionChunk(
            chunk_id=self._chunks,
            observed_ns=MonoNs(now_ns),
            start_ns=last.due_ns,
            step_ns=STEP_NS,
            row_HD=self._rows_from(last, self._velocity(before, last)),
            source=TELEOP,
        )

    def _velocity(self, before: Command, last: Command) -> np.ndarray:
        """Of the last command (V,)."""
        step_ns = last.due_ns - before.due_ns
        curve = self._rows.curve(np.stack([before.row_D, last.row_D]), step_ns)
        return curve.at(step_ns)[1]

    def _rows_from(self, last: Command, velocity_V: np.ndarray) -> np.ndarray:
        """Rows (ROWS, 8): the velocity goes towards the wanted one as fast as it may."""
        row_D, dt_s = last.row_D.copy(), STEP_NS / NS_PER_S / _FINE
        rows = [row_D.copy()]
        for step in range(1, (ROWS - 1) * _FINE + 1):
            at_ns = last.due_ns + step * STEP_NS // _FINE
            velocity_V = _towards(self._wanted(at_ns), velocity_V, dt_s)
            row_D = _moved(row_D, velocity_V * dt_s)
            if step % _FINE == 0:
                rows.append(row_D)
        return np.stack(rows)

    def _wanted(self, at_ns: int) -> np.ndarray:
        """The velocity (V,) that the keys ask for at this instant."""
        wanted_V = np.zeros(self._rows.motion_size)
        for motion, asked_ns in self._asked_ns.items():
            if at_ns <= asked_ns + HOLD_S * NS_PER_S:
                column, velocity = MOTIONS[motion]
                wanted_V[column] += velocity
        return wanted_V


def _towards(wanted_V: np.ndarray, velocity_V: np.ndarray, dt_s: float) -> np.ndarray:
    """One step of the velocity. Fingers have no ramp: their rows are not smoothed either."""
    next_V = wanted_V.copy()
    for part, accel in ((slice(0, 3), ACCEL_M_PER_S2), (slice(3, 6), TURN_ACCEL_RAD_PER_S2)):
        change_3 = wanted_V[part] - velocity_V[part]
        far, most = float(np.linalg.norm(change_3)), accel * dt_s
        if far > most:
            next_V[part] = velocity_V[part] + change_3 * (most / far)
    return next_V


def _moved(row_D: np.ndarray, by_V: np.ndarray) -> np.ndarray:
    """The tool row moved and turned in the base frame."""
    x, y, z, wx, wy, wz, opened = by_V.tolist()
    w, qx, qy, qz = row_D[3:7].tolist()
    turned = so3.multiply(so3.exponential((wx, wy, wz)), (w, qx, qy, qz))
    px, py, pz = row_D[:3].tolist()
    return np.array([px + x, py + y, pz + z, *turned, max(row_D[7] + opened, 0.0)])
