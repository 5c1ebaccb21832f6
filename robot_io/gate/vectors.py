"""Vectors of three floats. Arithmetic on tuples takes a tenth of the time of NumPy."""

from math import sqrt

from robot_io.so3 import Vector, cross

ZERO: Vector = (0.0, 0.0, 0.0)
TINY = 1e-12  # shorter than this a vector has no direction


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


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


def direction(a: Vector) -> Vector | None:
    length = norm(a)
    return scaled(a, 1 / length) if length > TINY else None


def frame_along(*wanted: Vector) -> tuple[Vector, Vector, Vector]:
    """Three axes at right angles: the first along the first vector that has a direction, the
    second towards the next one that points elsewhere."""
    first: Vector | None = None
    for vector in (*wanted, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        if first is None:
            first = direction(vector)
            continue
        across = minus(vector, scaled(first, dot(first, vector)))
        if norm(across) > 1e-9 * norm(vector) and norm(across) > TINY:
            second = scaled(across, 1 / norm(across))
            return first, second, cross(first, second)
    raise AssertionError("two of the unit vectors always span a plane")
