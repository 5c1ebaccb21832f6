"""One step after a target within speed, acceleration and jerk, and without running past it.

Ruckig (Berscheid & Kröger 2021) plans the quickest way from the present motion to the target's and
the gate goes a period along it; in the next tick it plans anew. A moving target is approached in
its own frame, so that the point catches up instead of trailing behind.

The bounds are Euclidean norms, ruckig's are per axis. So the axes are laid along the way that is
left: the first one gets what the other two do not need (w1² + w2² + w3² = 1: norms are kept).
Bounds of 1/sqrt(3) per axis in the base frame would be simpler, and would slow a straight motion
down to 58 %.

Positions are sums of the velocities that are emitted: those belong to the middle of a period. The
curve that has them as velocities at the ticks is half a period behind:

    P = p - T/2 v - T²/12 a        (Euler-Maclaurin)
"""

from math import sqrt

from ruckig import (
    ControlInterface,
    InputParameter,
    Result,
    Ruckig,
    RuckigError,
    Synchronization,
    Trajectory,
)

from robot_io.gate.motion import Bounds, Moving
from robot_io.gate.stop_path import PLANNED
from robot_io.gate.vectors import TINY, ZERO, dot, frame_along, minus, norm, plus, scaled, shortened
from robot_io.so3 import Vector

_MAX_ACROSS = 0.7  # share of the bounds that the two axes across may get
_MIN_ACROSS = 0.02


def accel_at_tick(moving: Moving, wanted: Vector, bounds: Bounds, period_s: float) -> Vector:
    """The acceleration at the tick, where only the mean of the last period is known.

    As near to the wanted one as the jerk that the point moved with takes it in half a period.
    """
    jerk = min(norm(moving.jerk), bounds.jerk)
    change = shortened(minus(wanted, moving.accel), jerk * period_s / 2)
    return shortened(plus(moving.accel, change), bounds.accel * PLANNED)


def follow(
    gap: Vector, here: Moving, accel: Vector, target: Moving, bounds: Bounds, dt_s: float
) -> tuple[Vector, Vector] | None:
    """Velocity and acceleration at the next tick; None where ruckig finds no way.

    `gap` leads from the point to where the target is in that tick; `accel` is the acceleration at
    this one; `target` says how the target moves.
    """
    target_before = minus(target.velocity, scaled(target.accel, dt_s))
    behind = minus(gap, scaled(target.velocity, dt_s))
    closing = minus(target_before, here.velocity)
    pulling = minus(target.accel, accel)
    behind = plus(behind, scaled(closing, -dt_s / 2))
    behind = plus(behind, scaled(pulling, -dt_s * dt_s / 12))
    frame = frame_along(behind, closing, pulling)
    share = max(
        _sideways(frame[0], closing),
        2 * _across(frame[0], here.velocity) / bounds.speed,
        2 * _across(frame[0], target_before) / bounds.speed,
        2 * _across(frame[0], accel) / bounds.accel,
        2 * _across(frame[0], target.accel) / bounds.accel,
    )
    limits = _shares(frame, bounds, share, (here.velocity, target_before), (accel, target.accel))
    relative = _step(frame, behind, closing, pulling, target_before, target.accel, limits, dt_s)
    if relative is None:
        return None
    velocity, change = relative
    return plus(target.velocity, velocity), plus(target.accel, change)


def _shares(
    frame: tuple[Vector, Vector, Vector],
    bounds: Bounds,
    across: float,
    velocities: tuple[Vector, Vector],
    accels: tuple[Vector, Vector],
) -> list[Bounds]:
    """What of the bounds each axis may use: at least what it uses already, and a bit more than
    what the target does."""
    across = min(max(across, _MIN_ACROSS), _MAX_ACROSS)
    parts = (sqrt(1 - across * across), across / sqrt(2), across / sqrt(2))
    limits = []
    for axis, part in zip(frame, parts, strict=True):
        speed, target_speed = (abs(dot(axis, velocity)) for velocity in velocities)
        most, target_most = (abs(dot(axis, accel)) for accel in accels)
        limits.append(
            Bounds(
                max(bounds.speed * part * PLANNED, speed, 1.01 * target_speed),
                max(bounds.accel * part * PLANNED, most, 1.01 * target_most),
                bounds.jerk * part * PLANNED,
            )
        )
    return limits


def _sideways(axis: Vector, a: Vector) -> float:
    """The part of the vector across the axis, as a share of its length."""
    length = norm(a)
    return _across(axis, a) / length if length > TINY else 0.0


def _across(axis: Vector, a: Vector) -> float:
    return norm(minus(a, scaled(axis, dot(axis, a))))


def _step(
    frame: tuple[Vector, Vector, Vector],
    behind: Vector,
    closing: Vector,
    pulling: Vector,
    target_velocity: Vector,
    target_accel: Vector,
    limits: list[Bounds],
    dt_s: float,
) -> tuple[Vector, Vector] | None:
    """Velocity and acceleration of the next tick as seen from the target."""
    request = InputParameter(3)
    request.control_interface = ControlInterface.Position
    request.synchronization = Synchronization.No
    request.current_velocity = [-dot(axis, closing) for axis in frame]
    request.current_acceleration = [-dot(axis, pulling) for axis in frame]
    request.target_position = [dot(axis, behind) for axis in frame]
    offsets = [(dot(axis, target_velocity), dot(axis, target_accel)) for axis in frame]
    both = list(zip(limits, offsets, strict=True))
    request.max_velocity = [limit.speed - speed for limit, (speed, _) in both]
    request.min_velocity = [-limit.speed - speed for limit, (speed, _) in both]
    request.max_acceleration = [limit.accel - accel for limit, (_, accel) in both]
    request.min_acceleration = [-limit.accel - accel for limit, (_, accel) in both]
    request.max_jerk = [limit.jerk for limit in limits]
    trajectory = Trajectory(3)
    try:
        result = Ruckig(3).calculate(request, trajectory)
    except RuckigError:
        return None
    if result not in (Result.Working, Result.Finished):
        return None
    _, speeds, changes = trajectory.at_time(dt_s)
    return _assembled(frame, speeds), _assembled(frame, changes)


def _assembled(frame: tuple[Vector, Vector, Vector], parts: list[float]) -> Vector:
    vector = ZERO
    for axis, part in zip(frame, parts, strict=True):
        vector = plus(vector, scaled(axis, part))
    return vector
