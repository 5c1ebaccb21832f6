"""The whole arm behind a tool command: joint limits, distances, singularities.

Units: m, rad. Legend: J joints. Near a limit the speed that is allowed shrinks with what is left:

    share of the speed    1 ┤         ╭────────        for motions that bring it nearer;
                            │       ╱                  away from it anything goes
                          0 ┼─────╱──────────▶ distance
                             stop   slow_down

The tool command is turned into joint angles from the MEASURED ones on, since an arm with more than
six joints may hold its elbow where no model would put it. Without a model of the arm only the
measured joint angles are looked at.
"""

from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np

from robot_io.gate.body import Body
from robot_io.gate.limits import GateLimits, GeometryLimits, JointLimits
from robot_io.gate.motion import SLACK
from robot_io.gate.reasons import Reason
from robot_io.types import ArmState

_STILL_RAD = 1e-6  # a joint that moved less since the last tick does not come nearer to anything
_NO_JOINTS = np.empty(0)


@dataclass(frozen=True, slots=True)
class Posture:
    """Where the joints were sent last, and what that is worth."""

    joint_J: np.ndarray
    velocity_J: np.ndarray
    accel_J: np.ndarray
    jerk_J: np.ndarray
    itself_m: float = inf  # distance of the nearest two links
    obstacle_m: float = inf  # of the nearest link and obstacle
    manipulability: float = inf


@dataclass(frozen=True, slots=True)
class Judged:
    """What the arm would be like, which share of the speed is allowed to get there, and why."""

    posture: Posture
    share: float
    reasons: tuple[Reason, ...]


class PostureWatch:
    """Judges where a command would put the whole arm. It remembers nothing: see `Posture`."""

    def __init__(self, limits: GateLimits, body: Body | None) -> None:
        self._joints = None if limits.joints == "none" else _Joints.of(limits.joints)
        self._geometry = None if limits.geometry == "unchecked" else limits.geometry
        self._body = body

    def fault(self, state: ArmState) -> Reason | None:
        """Why the measured joints are unusable; None where they are not needed."""
        joints, measured = self._joints, state.joint_rad_J
        if joints is None:
            return None
        if not isinstance(measured, np.ndarray) or measured.dtype.kind != "f":
            return Reason.STATE_UNUSABLE
        usable = measured.shape == joints.low_J.shape and bool(np.isfinite(measured).all())
        return None if usable else Reason.STATE_UNUSABLE

    def at_rest(self, state: ArmState) -> Posture:
        """Where the arm is measured, and what that is worth."""
        joint_J = state.joint_rad_J.copy() if self._joints is not None else _NO_JOINTS
        still_J = np.zeros_like(joint_J)
        posture = Posture(joint_J, still_J, still_J, still_J)
        if self._body is None or self._geometry is None:
            return posture
        return self._measured_up(posture, posture, self._body, self._geometry)[0]

    def judge(
        self,
        row_8: np.ndarray,
        before: Posture,
        state: ArmState,
        *,
        used: float,
        growth: float,
        dt_s: float,
    ) -> Judged:
        """What a command does to the arm that uses the share `used` of the tool's speed.

        Its acceleration will have made that speed of the present one times `growth`.
        """
        joints = self._joints
        if joints is None:
            return Judged(before, inf, ())
        if self._body is None:
            posture = _moved(before, state.joint_rad_J, dt_s)
            share, reasons = joints.margin(posture.joint_J, before.joint_J)
        else:
            joint_J = self._body.kinematics.joints_for(row_8, state.joint_rad_J)
            if joint_J is None:
                return Judged(self.at_rest(state), 0.0, (Reason.UNREACHABLE,))
            posture = _moved(before, joint_J, dt_s)
            share, reasons = joints.margin(posture.joint_J, before.joint_J)
            for reason, allowed in joints.motion(posture, used, growth):
                share = min(share, allowed)
                reasons.append(reason)
            if self._geometry is not None:
                posture, found = self._measured_up(posture, before, self._body, self._geometry)
                for reason, allowed in found:
                    share = min(share, allowed)
                    reasons.append(reason)
        broken = not used <= share * (1 + SLACK)
        return Judged(posture, share, tuple(reasons) if broken else ())

    def _measured_up(
        self, posture: Posture, before: Posture, body: Body, limits: GeometryLimits
    ) -> tuple[Posture, list[tuple[Reason, float]]]:
        """With its distances, and which of them shrank into a margin: the share that is left."""
        nearest = body.clearances.nearest(posture.joint_J)
        itself_m, obstacle_m = nearest.itself.distance_m, nearest.obstacle.distance_m
        manipulability = body.kinematics.manipulability(posture.joint_J)
        known = replace(
            posture, itself_m=itself_m, obstacle_m=obstacle_m, manipulability=manipulability
        )
        found = []
        if not itself_m >= before.itself_m:
            share = _left(itself_m, limits.self_slow_down_m, limits.self_stop_m)
            found.append((Reason.SELF_DISTANCE, share))
        if not obstacle_m >= before.obstacle_m:
            share = _left(obstacle_m, limits.obstacle_slow_down_m, limits.obstacle_stop_m)
            found.append((Reason.OBSTACLE_DISTANCE, share))
        if not manipulability >= before.manipulability:
            slow_down, stop = limits.singular_slow_down_m_per_rad, limits.singular_stop_m_per_rad
            found.append((Reason.SINGULARITY, _left(manipulability, slow_down, stop)))
        return known, [(reason, share) for reason, share in found if share < 1]


@dataclass(frozen=True, slots=True)
class _Joints:
    """`JointLimits` as arrays."""

    low_J: np.ndarray
    high_J: np.ndarray
    slow_down_rad: float
    stop_rad: float
    max_speed_J: np.ndarray
    max_accel_J: np.ndarray
    max_jerk_J: np.ndarray

    @classmethod
    def of(cls, limits: JointLimits) -> "_Joints":
        return cls(
            np.array(limits.low_rad),
            np.array(limits.high_rad),
            limits.slow_down_rad,
            limits.stop_rad,
            np.array(limits.max_speed_rad_per_s),
            np.array(limits.max_accel_rad_per_s2),
            np.array(limits.max_jerk_rad_per_s3),
        )

    def margin(self, joint_J: np.ndarray, before_J: np.ndarray) -> tuple[float, list[Reason]]:
        """The share of the speed that the joint leaves that is nearest to where it goes."""
        step_J = joint_J - before_J
        left_J = np.where(step_J > 0, self.high_J - joint_J, joint_J - self.low_J)
        left_J = left_J[np.abs(step_J) > _STILL_RAD]
        if left_J.size == 0:
            return inf, []
        left_rad = float(left_J.min())
        if left_rad >= self.slow_down_rad:
            return inf, []
        return _left(left_rad, self.slow_down_rad, self.stop_rad), [Reason.JOINT_LIMIT]

    def motion(self, posture: Posture, used: float, growth: float) -> list[tuple[Reason, float]]:
        """Which joint limit on motion is broken, and the share of the speed that would keep it."""
        found = []
        for reason, value_J, most_J in (
            (Reason.JOINT_SPEED, posture.velocity_J * growth, self.max_speed_J),
            (Reason.JOINT_ACCELERATION, posture.accel_J, self.max_accel_J),
            (Reason.JOINT_JERK, posture.jerk_J, self.max_jerk_J),
        ):
            excess = float((np.abs(value_J) / most_J).max())
            if not excess <= 1 + SLACK:
                found.append((reason, used / excess if isfinite(excess) else 0.0))
        return found


def _moved(before: Posture, joint_J: np.ndarray, dt_s: float) -> Posture:
    velocity_J = (joint_J - before.joint_J) / dt_s
    accel_J = (velocity_J - before.velocity_J) / dt_s
    jerk_J = (accel_J - before.accel_J) / dt_s
    return replace(
        before, joint_J=joint_J.copy(), velocity_J=velocity_J, accel_J=accel_J, jerk_J=jerk_J
    )


def _left(distance: float, slow_down: float, stop: float) -> float:
    """The share of the speed at a distance; NaN leaves none."""
    share = (distance - stop) / (slow_down - stop)
    return min(share, 1.0) if share > 0 else 0.0
