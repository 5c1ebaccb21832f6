"""Where a plan would lead the whole arm, before its first row is executed.

A tick sees one command; a plan is known for more than a second. Looking at all of its rows takes
some milliseconds, too long for a tick: it belongs beside the loop, and what it finds is told to
`CommandGate.foresee`. Until then, and between the rows, the gate's own margins hold.
"""

from dataclasses import dataclass

import numpy as np

from robot_io.errors import FeelforwardError
from robot_io.gate.body import Body
from robot_io.gate.limits import GateLimits
from robot_io.gate.reasons import Reason


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The first row of a plan that would break something."""

    row: int
    reason: Reason
    detail: str  # for people: which joint, which bodies, how near


class LookAhead:
    """Judges plans. Legend: H rows, J joints; units m, rad."""

    def __init__(self, limits: GateLimits, body: Body) -> None:
        """Raises FeelforwardError where the config checks no geometry: there is nothing to see."""
        if limits.joints == "none" or limits.geometry == "unchecked":
            raise FeelforwardError(
                'Nothing to look ahead for: gate.geometry = "unchecked". Give its limits.'
            )
        self._joints, self._geometry, self._body = limits.joints, limits.geometry, body
        self._low_J = np.array(limits.joints.low_rad) + limits.joints.stop_rad
        self._high_J = np.array(limits.joints.high_rad) - limits.joints.stop_rad

    def first_violation(self, row_H8: np.ndarray, joint_J: np.ndarray) -> Foreseen | None:
        """What comes first on the way along the rows, from the measured joint angles on."""
        near_J = joint_J
        for row, pose_8 in enumerate(row_H8):
            there_J = self._body.kinematics.joints_for(pose_8, near_J)
            if there_J is None:
                return Foreseen(row, Reason.UNREACHABLE, "no joint angles put the tool there")
            found = self._fault(there_J)
            if found is not None:
                return Foreseen(row, *found)
            near_J = there_J
        return None

    def _fault(self, joint_J: np.ndarray) -> tuple[Reason, str] | None:
        beyond_J = ~((joint_J >= self._low_J) & (joint_J <= self._high_J))
        if beyond_J.any():
            joint = int(beyond_J.argmax())
            return Reason.JOINT_LIMIT, f"joint {joint + 1} at {joint_J[joint]:.3f} rad"
        nearest, geometry = self._body.clearances.nearest(joint_J), self._geometry
        for reason, clearance, stop_m in (
            (Reason.SELF_DISTANCE, nearest.itself, geometry.self_stop_m),
            (Reason.OBSTACLE_DISTANCE, nearest.obstacle, geometry.obstacle_stop_m),
        ):
            if not clearance.distance_m >= stop_m:
                one, other = clearance.between
                return reason, f"{one} and {other} {clearance.distance_m * 1000:.1f} mm apart"
        manipulability = self._body.kinematics.manipulability(joint_J)
        if not manipulability >= self._geometry.singular_stop_m_per_rad:
            return Reason.SINGULARITY, f"smallest singular value {manipulability:.4f} m/rad"
        return None
