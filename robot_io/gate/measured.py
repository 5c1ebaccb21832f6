"""What the gate believes of what the arm measures: it goes there no faster than an arm can.

    measured   ─────┐ ┌───────┐              a sample that jumped, a device that froze and woke up:
                    │ │       │              what is believed goes towards it at the largest speed
    believed   ─────┴╲┴───────┴╲             of a real arm, tick by tick; until both are one again
                               │╲            no command is followed
                               └─╲─────

So a false pose within reach moves what the leash hangs on by one tick's way and no further; and an
arm that really is elsewhere is believed after its distance over that speed, by itself. A tick that
comes late makes up for two periods at most, one that comes early gets a whole one. Where only one
state was ever seen, it may as well be the false one: the next takes its place.
"""

from dataclasses import replace

import numpy as np

from robot_io.gate.limits import GateLimits
from robot_io.gate.motion import SLACK, Orientations, Positions
from robot_io.gate.pose import Pose, patched
from robot_io.gate.vectors import norm, shortened
from robot_io.types import ArmState

_PROVEN = 2  # states in a row that agree: what they say is not replaced by a single other one


class Believed:
    """Anchored at a usable state; `look` once per tick at the next one, usable as well."""

    def __init__(self, limits: GateLimits) -> None:
        self._limits, self._period_s = limits.measured, limits.period_s
        self._has_joints = limits.joints != "none"
        self._state: ArmState | None = None
        self._agreed = 0

    def anchor(self, state: ArmState) -> None:
        self._state = state

    def jumps(self, state: ArmState) -> bool:
        """Whether the state is further from what is believed than an arm gets in a period."""
        return self._state is not None and self._towards(state, self._state, 0.0) is not state

    def look(self, state: ArmState, dt_s: float) -> tuple[ArmState, bool]:
        """What to go by instead of the state, and whether that is the state itself."""
        assert self._state is not None, "anchored first"
        nearer = self._towards(state, self._state, dt_s)
        agrees = nearer is state
        if agrees:
            self._agreed += 1
        self._state = nearer if self._agreed >= _PROVEN else state
        return self._state, agrees

    def _towards(self, state: ArmState, before: ArmState, dt_s: float) -> ArmState:
        """The state itself, or what lies on the way there as far as an arm gets."""
        limits, time_s = self._limits, max(dt_s, self._period_s)
        pose, was = Pose.of(state.row_D), Pose.of(before.row_D)
        way = Positions().between(was.position, pose.position)
        turn = Orientations().between(was.quat, pose.quat)
        way_m, turn_rad = limits.max_speed_m_per_s * time_s, limits.max_turn_rad_per_s * time_s
        joint_J = self._joints_towards(state.joint_rad_J, before.joint_rad_J, time_s)
        # Rounding must not decide: from a lie it is one whole way back, as it was there.
        arrives = norm(way) <= way_m * (1 + SLACK) and norm(turn) <= turn_rad * (1 + SLACK)
        if arrives and joint_J is state.joint_rad_J:
            return state
        position = Positions().moved(was.position, shortened(way, way_m))
        quat = Orientations().moved(was.quat, shortened(turn, turn_rad))
        row_8 = patched(state.row_D, pose, Pose(position, quat, pose.width))
        return replace(state, row_D=row_8, joint_rad_J=joint_J)

    def _joints_towards(
        self, joint_J: np.ndarray, before_J: np.ndarray, time_s: float
    ) -> np.ndarray:
        if not self._has_joints:
            return joint_J
        step_rad = self._limits.max_joint_rad_per_s * time_s
        if (np.abs(joint_J - before_J) <= step_rad * (1 + SLACK)).all():
            return joint_J
        return np.clip(joint_J, before_J - step_rad, before_J + step_rad)
