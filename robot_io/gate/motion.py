"""How a point moves from tick to tick, and within which bounds it may.

Units: SI; a point is a position (m) or an orientation (quaternion, moved by rotation vectors, rad).
With rows p one tick T apart (a period, but ticks may come early or late):

    v = (p - p₋₁) / T      a = (v - v₋₁) / T      j = (a - a₋₁) / T

These differences of what is really emitted are what is bounded, as Euclidean norms, not the
derivatives of some curve through the rows: they need no model of what happens in between, and
whoever sees the emitted stream can check them.
"""

from math import sqrt
from typing import Generic, NamedTuple, Protocol, TypeVar

from robot_io import so3
from robot_io.gate.reasons import Reason
from robot_io.gate.vectors import ZERO, minus, norm, plus, scaled
from robot_io.so3 import Quaternion, Vector

_UNIT_ROUNDING = 1e-14
SLACK = 1e-6  # relative: rounding must not turn a legal motion into an illegal one

PointT = TypeVar("PointT", Vector, Quaternion)


class Bounds(NamedTuple):
    """Largest speed, acceleration and jerk, as Euclidean norms."""

    speed: float
    accel: float
    jerk: float

    def slower(self, share: float) -> "Bounds":
        """The same with a share of the speed."""
        return Bounds(self.speed * share, self.accel, self.jerk)


class Space(Protocol[PointT]):
    """What a point is, and what takes one to another."""

    def between(self, a: PointT, b: PointT) -> Vector:
        """The vector that takes a to b."""
        ...

    def moved(self, point: PointT, by: Vector) -> PointT: ...


class Borders(Protocol[PointT]):
    """Where a point may be."""

    def distance_m(self, point: PointT) -> float:
        """To the nearest place that is not allowed; below 0 in there."""
        ...

    def broken(self, point: PointT, *, before: PointT) -> list[Reason]:
        """What a point breaks that goes from `before` to there."""
        ...

    def aim(self, point: PointT) -> tuple[PointT, list[Reason]]:
        """The point, or a near one that is allowed, and what it would have broken."""
        ...


class Positions:
    def between(self, a: Vector, b: Vector) -> Vector:
        return minus(b, a)

    def moved(self, point: Vector, by: Vector) -> Vector:
        return plus(point, by)


class Orientations:
    def between(self, a: Quaternion, b: Quaternion) -> Vector:
        return so3.between(a, b)

    def moved(self, point: Quaternion, by: Vector) -> Quaternion:
        return unit(so3.multiply(so3.exponential(by), point))


def unit(quat: Quaternion) -> Quaternion:
    """The quaternion with norm 1; itself, bit for bit, where that holds up to rounding.

    So what was made unit once stays as it is, however often it is read again.
    """
    w, x, y, z = quat
    square = w * w + x * x + y * y + z * z
    if abs(square - 1) <= _UNIT_ROUNDING:
        return quat
    scale = 1 / sqrt(square)
    return (w * scale, x * scale, y * scale, z * scale)


class Moving(NamedTuple, Generic[PointT]):
    """Where a point is and how it got there."""

    point: PointT
    velocity: Vector = ZERO
    accel: Vector = ZERO
    jerk: Vector = ZERO

    def to(
        self, point: PointT, space: Space[PointT], dt_s: float, period_s: float
    ) -> "Moving[PointT]":
        """The same `dt_s` later, having gone to `point`.

        A tick that comes early cannot have less time than a period for its change of acceleration:
        the way to rest was worked out for whole periods.
        """
        velocity = scaled(space.between(self.point, point), 1 / dt_s)
        accel = scaled(minus(velocity, self.velocity), 1 / dt_s)
        jerk = scaled(minus(accel, self.accel), 1 / max(dt_s, period_s))
        return Moving(point, velocity, accel, jerk)

    @property
    def rests(self) -> bool:
        return self.velocity == ZERO and self.accel == ZERO


def broken(moving: Moving, bounds: Bounds) -> tuple[bool, bool, bool]:
    """Whether the last step broke the speed, the acceleration, the jerk. NaN breaks all."""
    return (
        not norm(moving.velocity) <= bounds.speed * (1 + SLACK),
        not norm(moving.accel) <= bounds.accel * (1 + SLACK),
        not norm(moving.jerk) <= bounds.jerk * (1 + SLACK),
    )
