"""Where the tool may be: a box, in front of planes, outside of keep-out volumes.

Units: m, base frame. Each rule says how deep a position lies on its wrong side (negative: how far
it is from it). A tool that is found on the wrong side, because the arm was pushed there or armed
there, may move, but not deeper.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

from robot_io.gate.reasons import Reason
from robot_io.gate.vectors import TINY, dot, minus, norm, plus, scaled
from robot_io.so3 import Vector

INSIDE_M = 1e-9  # so far inside of a curved or slanted border lies what is clipped to it


class Rule(Protocol):
    @property
    def reason(self) -> Reason: ...

    def depth_m(self, position: Vector) -> float:
        """How far the position lies on the wrong side; below 0: its distance from there."""
        ...

    def clipped(self, position: Vector) -> Vector:
        """The nearest position that is allowed."""
        ...


@dataclass(frozen=True, slots=True)
class InsideBox:
    low_m: Vector
    high_m: Vector
    reason: Reason = Reason.WORKSPACE

    def depth_m(self, position: Vector) -> float:
        return max(minus(self.low_m, position) + minus(position, self.high_m))

    def clipped(self, position: Vector) -> Vector:
        return _boxed(position, self.low_m, self.high_m)


@dataclass(frozen=True, slots=True)
class BeforePlane:
    """On the side of the plane to which its unit normal points."""

    point_m: Vector
    normal: Vector
    reason: Reason = Reason.PLANE

    def depth_m(self, position: Vector) -> float:
        return -dot(minus(position, self.point_m), self.normal)

    def clipped(self, position: Vector) -> Vector:
        depth = self.depth_m(position)
        return position if depth <= 0 else plus(position, scaled(self.normal, depth + INSIDE_M))


@dataclass(frozen=True, slots=True)
class OutsideSphere:
    centre_m: Vector
    radius_m: float
    reason: Reason = Reason.KEEP_OUT

    def depth_m(self, position: Vector) -> float:
        return self.radius_m - norm(minus(position, self.centre_m))

    def clipped(self, position: Vector) -> Vector:
        if self.depth_m(position) <= 0:
            return position
        out = minus(position, self.centre_m)
        out = out if norm(out) > TINY else (0.0, 0.0, 1.0)
        return plus(self.centre_m, scaled(out, (self.radius_m + INSIDE_M) / norm(out)))


@dataclass(frozen=True, slots=True)
class OutsideBox:
    low_m: Vector
    high_m: Vector
    reason: Reason = Reason.KEEP_OUT

    def depth_m(self, position: Vector) -> float:
        (x, y, z), (lx, ly, lz), (hx, hy, hz) = position, self.low_m, self.high_m
        sides = max(lx - x, x - hx), max(ly - y, y - hy), max(lz - z, z - hz)
        nearest = max(sides)
        if nearest <= 0:
            return -nearest
        return -sqrt(sum(max(side, 0.0) ** 2 for side in sides))

    def clipped(self, position: Vector) -> Vector:
        if self.depth_m(position) <= 0:
            return position
        faces = [
            (abs(position[axis] - face), axis, face)
            for axis in range(3)
            for face in (self.low_m[axis], self.high_m[axis])
        ]
        _, axis, face = min(faces)
        x, y, z = (face if i == axis else p for i, p in enumerate(position))
        return (x, y, z)


class Region:
    """All rules together."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)

    def distance_m(self, point: Vector) -> float:
        """To the nearest place that is not allowed; below 0 in there."""
        return -max([rule.depth_m(point) for rule in self._rules])

    def broken(self, point: Vector, *, before: Vector) -> list[Reason]:
        """What a tool breaks that goes from `before` to `point`."""
        found = []
        for rule in self._rules:
            depth_m = rule.depth_m(point)
            if not depth_m <= 0 and not depth_m <= rule.depth_m(before):
                found.append(rule.reason)
        return found

    def aim(self, point: Vector) -> tuple[Vector, list[Reason]]:
        """The point, or a near one that is allowed, and what it would have broken."""
        reasons = []
        for rule in self._rules:
            if not rule.depth_m(point) <= 0:
                reasons.append(rule.reason)
                point = rule.clipped(point)
        if reasons:  # what one rule made of it another may have to mend
            for rule in self._rules:
                point = rule.clipped(point)
        return point, reasons


def _boxed(position: Vector, low: Vector, high: Vector) -> Vector:
    x, y, z = (min(max(p, lo), hi) for p, lo, hi in zip(position, low, high, strict=True))
    return (x, y, z)
