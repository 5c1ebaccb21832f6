"""A gate with an arm that goes where it is told, and an opinion of its own on what came out."""

import numpy as np
from control_toys import HOME, PERIOD_NS, gate_limits, state

from robot_io.gate.body import Body
from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import GateLimits
from robot_io.rows import ToolRows, rotvec_between
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict, VerdictKind

ACCEPTED, MODIFIED, HOLD, STOPPED = VerdictKind
DT_S = 0.01
ROUNDING = 1e-5  # relative, of differences of differences


class Run:
    """A gate, its ticks, and an arm that goes where it is told unless a test says otherwise."""

    def __init__(self, *, body: Body | None = None, **limits: object) -> None:
        self.limits = gate_limits(**limits)
        self.gate = CommandGate(self.limits, body)
        self.tick = 0
        self.sent: list[np.ndarray] = []
        self.measured = HOME

    @property
    def now_ns(self) -> int:
        return self.tick * PERIOD_NS

    def state(self) -> ArmState:
        return state(self.now_ns, self.measured)

    def check(
        self, row_D: np.ndarray, *, blocked: bool = False, chunk_id: int | None = None
    ) -> Verdict:
        self.tick += 1
        origin = Provenance("test", chunk_id)
        asked = Command(self.tick, MonoNs(self.now_ns), row_D, origin)
        verdict = self.gate.check(asked, self.state(), self.now_ns)
        self.sent.append(verdict.row_D)
        if not blocked:
            self.measured = verdict.row_D
        return verdict

    def path(self, column: int) -> np.ndarray:
        return np.array([row[column] for row in self.sent])


def motion_of(row_N8: np.ndarray) -> dict[str, np.ndarray]:
    """What the rows of an even stream do, from rest at HOME on: norms (N,), SI units."""
    row_N8 = np.concatenate([[HOME] * 3, row_N8])
    travel_N3 = np.diff(row_N8[:, :3], axis=0) / DT_S
    turn_N3 = rotvec_between(row_N8[:-1, 3:7], row_N8[1:, 3:7]) / DT_S
    found = {}
    for name, velocity_N3 in (("", travel_N3), ("turn_", turn_N3)):
        accel_N3 = np.diff(velocity_N3, axis=0) / DT_S
        jerk_N3 = np.diff(accel_N3, axis=0) / DT_S
        for quantity, value_N3 in (("speed", velocity_N3), ("accel", accel_N3), ("jerk", jerk_N3)):
            found[name + quantity] = np.linalg.norm(value_N3, axis=1)[-(len(row_N8) - 3) :]
    return found


def most_allowed(limits: GateLimits) -> dict[str, float]:
    return {
        "speed": limits.max_speed_m_per_s,
        "accel": limits.max_accel_m_per_s2,
        "jerk": limits.max_jerk_m_per_s3,
        "turn_speed": limits.max_turn_rad_per_s,
        "turn_accel": limits.max_turn_accel_rad_per_s2,
        "turn_jerk": limits.max_turn_jerk_rad_per_s3,
    }


def assert_kept(row_N8: np.ndarray, limits: GateLimits) -> None:
    """The limits on motion, of an even stream that began at rest at HOME."""
    assert ToolRows().fault(row_N8) is None
    for name, value_N in motion_of(row_N8).items():
        most = most_allowed(limits)[name]
        assert value_N.max() <= most * (1 + ROUNDING) + 1e-6, name
