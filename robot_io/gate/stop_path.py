"""The way from any motion to rest: what the gate falls back on, known before it is needed.

A command is let through only if the motion that it leads to could still be stopped within the
bounds. So whatever comes next, or does not come, there is a legal way on: this one.

The way lies in the plane of velocity and acceleration. Its first axis points to where the velocity
will, once the acceleration has run out; the second axis has only that acceleration to lose. Each
axis has a share of the bounds such that both together keep the Euclidean norms, and slows down on
its own, time-optimal under its share of acceleration and jerk (ruckig, Berscheid & Kröger 2021).
"""

from math import copysign, hypot, sqrt
from typing import NamedTuple

from ruckig import ControlInterface, InputParameter, Result, Ruckig, Synchronization, Trajectory

from robot_io.gate.motion import Bounds, Moving
from robot_io.gate.vectors import ZERO, dot, frame_along, norm, plus, scaled
from robot_io.so3 import Vector

PLANNED = 1 - 1e-5  # of the bounds: rounding must not lead out of them
_LEAST = 1e-3  # share of the acceleration that an axis may use, however little it needs
MAX_ACROSS = (
    0.95  # of the acceleration may be across, so that stopping takes no longer than 3 times
)


class Axis(NamedTuple):
    """A motion along one axis and its share of the bounds."""

    velocity: float
    accel: float
    max_accel: float
    max_jerk: float
    peak: float  # the largest speed on the way to rest: while the acceleration runs out it grows


class Stopping(NamedTuple):
    """A motion in the two axes in which it comes to rest."""

    along: Vector
    across: Vector
    axes: tuple[Axis, Axis]
    peak: float  # the largest speed on the way to rest

    def reach(self, period_s: float) -> float:
        """No further than this from here will the way to rest lead."""
        longest_s = max(
            (abs(axis.accel) + 2 * axis.max_accel) / axis.max_jerk + axis.peak / axis.max_accel
            for axis in self.axes
        )
        return self.peak * (longest_s + period_s)

    def way(self) -> "Way":
        return Way(self.along, self.across, _to_rest(self.axes))


class Way(NamedTuple):
    """How the velocity goes to zero from now on."""

    along: Vector
    across: Vector
    trajectory: Trajectory
    since_s: float = 0.0  # the way began

    def velocity(self, later_s: float) -> Vector:
        """`later_s` from now."""
        at_s = self.since_s + later_s
        if at_s >= self.trajectory.duration:
            return ZERO
        _, (along, across), _ = self.trajectory.at_time(at_s)
        return plus(scaled(self.along, along), scaled(self.across, across))

    def later(self, later_s: float) -> "Way":
        return self._replace(since_s=self.since_s + later_s)


def stopping(moving: Moving, bounds: Bounds, period_s: float) -> Stopping | None:
    """How the motion can be brought to rest; None when it rests, or turns too sharply for that."""
    jerk = bounds.jerk * PLANNED
    velocity, accel = moving.velocity, moving.accel
    ahead = plus(velocity, scaled(accel, norm(accel) / (2 * jerk)))
    along, across, _ = frame_along(ahead, accel, velocity)
    accel_along, accel_across = dot(along, accel), dot(across, accel)
    most = bounds.accel * PLANNED
    if not abs(accel_across) <= MAX_ACROSS * bounds.accel:
        return None
    most_across = max(abs(accel_across), _LEAST * most)
    most_along = sqrt(max(most * most - most_across * most_across, (_LEAST * most) ** 2))
    whole = norm(accel)
    share = min(max(abs(accel_across) / whole if whole > 0 else 0.0, 0.05), 0.7)
    jerk_along, jerk_across = jerk * sqrt(1 - share * share), jerk * share
    axes = (
        _braking(dot(along, velocity), accel_along, most_along, jerk_along, period_s),
        _braking(dot(across, velocity), accel_across, most_across, jerk_across, period_s),
    )
    return Stopping(along, across, axes, hypot(axes[0].peak, axes[1].peak))


def _braking(
    velocity: float, accel: float, max_accel: float, max_jerk: float, period_s: float
) -> Axis:
    """The axis with the acceleration that it has at the tick, where a mean of the last period is
    known: within half a period's jerk, what comes nearest to stopping without swinging back."""
    wanted = -copysign(min(sqrt(2 * max_jerk * abs(velocity)), max_accel), velocity)
    change = max_jerk * period_s / 2
    accel = min(max(wanted, accel - change), accel + change)
    later = velocity + accel * abs(accel) / (2 * max_jerk)
    return Axis(velocity, accel, max_accel, max_jerk, max(abs(velocity), abs(later)))


def _to_rest(axes: tuple[Axis, Axis]) -> Trajectory:
    request = InputParameter(2)
    request.control_interface = ControlInterface.Velocity
    request.synchronization = Synchronization.No
    request.current_velocity = [axis.velocity for axis in axes]
    request.current_acceleration = [axis.accel for axis in axes]
    request.max_acceleration = [axis.max_accel for axis in axes]
    request.max_jerk = [axis.max_jerk for axis in axes]
    trajectory = Trajectory(2)
    result = Ruckig(2).calculate(request, trajectory)
    assert result in (Result.Working, Result.Finished), result
    return trajectory
