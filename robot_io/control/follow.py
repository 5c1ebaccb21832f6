"""A point that follows a target within a speed and an acceleration, and can always brake in time.

Units: SI; a point is a position (m) or, with a rotation vector for the gap, an orientation (rad).
Velocities are constant during a tick of `dt_s`; an acceleration is the change from one tick to
the next. Clipping the acceleration alone would overshoot: the speed towards a place where the
point must stop is bounded by what it can still lose on the way.
"""

from dataclasses import dataclass
from math import ceil, sqrt

from robot_io.so3 import Vector

SLACK = 1e-6  # relative: rounding must not turn a legal motion into an illegal one
ZERO: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Largest speed and acceleration, as Euclidean norms."""

    speed: float
    accel: float


@dataclass(frozen=True, slots=True)
class Room:
    """Distance left to the walls along each axis, downwards and upwards; never negative."""

    below: Vector
    above: Vector


def braking_speed(distance: float, accel: float, dt_s: float) -> float:
    """The largest speed of the next tick from which the point still stops within `distance`.

    n ticks at s, s - a dt, s - 2 a dt, ... cover n s dt - a dt² n (n - 1) / 2: solved for s, with
    the smallest n whose last speed is not negative. For dt → 0 it is sqrt(2 a d).
    """
    n = max(1, ceil((sqrt(1 + 8 * distance / (accel * dt_s * dt_s)) - 1) / 2))
    return (distance / dt_s + accel * dt_s * n * (n - 1) / 2) / n


def is_steady(now: Vector, before: Vector, bounds: Bounds, dt_s: float) -> bool:
    """Whether going from the velocity `before` to `now` keeps the speed and the acceleration."""
    return norm(now) <= bounds.speed * (1 + SLACK) and _reachable(now, before, bounds, dt_s)


def is_legal(
    wanted: Vector,
    target_velocity: Vector,
    velocity: Vector,
    bounds: Bounds,
    dt_s: float,
    room: Room | None,
) -> tuple[bool, bool, bool]:
    """Whether the velocity `wanted` keeps the speed, the acceleration, and the room to brake.

    It leads onto the target within this tick: there the point must be able to go on with the
    target, or it would overshoot a target that rests.
    """
    return (
        norm(wanted) <= bounds.speed * (1 + SLACK),
        _reachable(wanted, velocity, bounds, dt_s)
        and _reachable(target_velocity, wanted, bounds, dt_s),
        room is None or _within(wanted, *_walls(room, bounds, dt_s)),
    )


def follow(
    gap: Vector,
    target_velocity: Vector,
    velocity: Vector,
    bounds: Bounds,
    dt_s: float,
    room: Room | None,
) -> Vector:
    """The velocity of the next tick that closes `gap` (target minus point) as fast as allowed.

    A moving target is approached in its own frame, so that the point catches up instead of
    trailing behind; half of the acceleration is left for following what the target does.
    """
    accel = bounds.accel if target_velocity == ZERO else bounds.accel / 2
    behind = minus(gap, scaled(target_velocity, dt_s))
    distance = norm(behind)
    closing = braking_speed(distance, accel, dt_s) / distance if distance > 0 else 0.0
    wanted = shortened(plus(target_velocity, scaled(behind, closing)), bounds.speed)
    if room is None:
        return plus(velocity, shortened(minus(wanted, velocity), bounds.accel * dt_s))
    low, high = _walls(room, bounds, dt_s)
    safe, wanted = _clipped(velocity, low, high), _clipped(wanted, low, high)
    return _towards(safe, wanted, velocity, bounds.accel * dt_s)


def brake(velocity: Vector, bounds: Bounds, dt_s: float, room: Room | None) -> Vector:
    """The velocity of the next tick when the point is to come to rest."""
    slower = minus(velocity, shortened(velocity, bounds.accel * dt_s))
    return slower if room is None else _clipped(slower, *_walls(room, bounds, dt_s))


def norm(a: Vector) -> float:
    return sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])


def plus(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def minus(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def scaled(a: Vector, factor: float) -> Vector:
    return (a[0] * factor, a[1] * factor, a[2] * factor)


def shortened(a: Vector, longest: float) -> Vector:
    """The vector, or the one of length `longest` in its direction when it is longer."""
    length = norm(a)
    return a if length <= longest else scaled(a, longest / length)


def _reachable(now: Vector, before: Vector, bounds: Bounds, dt_s: float) -> bool:
    return norm(minus(now, before)) <= bounds.accel * dt_s * (1 + SLACK)


def _walls(room: Room, bounds: Bounds, dt_s: float) -> tuple[Vector, Vector]:
    """Lowest and highest velocity per axis that can still stop before the walls.

    Each axis may use its share of the acceleration only, so that all three can brake at once.
    """
    accel = bounds.accel / sqrt(3)
    bx, by, bz = (-braking_speed(left, accel, dt_s) for left in room.below)
    ax, ay, az = (braking_speed(left, accel, dt_s) for left in room.above)
    return (bx, by, bz), (ax, ay, az)


def _within(a: Vector, low: Vector, high: Vector) -> bool:
    return all(
        lo * (1 + SLACK) - 1e-9 <= x <= hi * (1 + SLACK) + 1e-9
        for x, lo, hi in zip(a, low, high, strict=True)
    )


def _clipped(a: Vector, low: Vector, high: Vector) -> Vector:
    x, y, z = (min(max(v, lo), hi) for v, lo, hi in zip(a, low, high, strict=True))
    return (x, y, z)


def _towards(safe: Vector, wanted: Vector, centre: Vector, radius: float) -> Vector:
    """As far from `safe` towards `wanted` as the ball around `centre` reaches.

    Both ends lie between the walls, hence all between them does. `safe` lies in the ball unless
    the walls demand more than the acceleration allows; then the walls win.
    """
    way, off = minus(wanted, safe), minus(safe, centre)
    a = sum(w * w for w in way)
    b = sum(w * o for w, o in zip(way, off, strict=True))
    c = sum(o * o for o in off) - radius * radius
    if a == 0 or c >= 0:
        return safe
    share = (-b + sqrt(b * b - a * c)) / a
    return wanted if share >= 1 else plus(safe, scaled(way, share))
