"""Single rotations in plain floats, for code that runs at every tick.

For one quaternion (w, x, y, z) or rotation vector (rad), arithmetic on floats takes a tenth of
the time of NumPy. `robot_io.rows` has the same for arrays. Vectors and quaternions are tuples.
"""

from math import atan2, cos, sin, sqrt

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation b, then a."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def exponential(rotvec: Vector) -> Quaternion:
    """The unit quaternion of a rotation vector."""
    x, y, z = rotvec
    angle = sqrt(x * x + y * y + z * z)
    scale = sin(angle / 2) / angle if angle > 1e-9 else 0.5
    return (cos(angle / 2), x * scale, y * scale, z * scale)


def between(a: Quaternion, b: Quaternion) -> Vector:
    """The shortest rotation that takes a to b, as a rotation vector in the base frame."""
    w, x, y, z = multiply(b, (a[0], -a[1], -a[2], -a[3]))
    if w < 0:
        w, x, y, z = -w, -x, -y, -z
    sine = sqrt(x * x + y * y + z * z)
    scale = 2 * atan2(sine, w) / sine if sine > 1e-9 else 2.0
    return (x * scale, y * scale, z * scale)


def angular_velocity(rotvec: Vector, rate: Vector) -> Vector:
    """Angular velocity (base frame) of exp(r) from r and its rate: left Jacobian of SO(3).

    J(r) w = w + (1 - cos a)/a² r×w + (a - sin a)/a³ r×(r×w), a = |r|.
    (Solà et al. 2018, "A micro Lie theory for state estimation in robotics", eq. 145.)
    """
    x, y, z = rotvec
    angle = sqrt(x * x + y * y + z * z)
    if angle < 1e-4:
        first, second = 0.5, 1 / 6
    else:
        first = (1 - cos(angle)) / angle**2
        second = (angle - sin(angle)) / angle**3
    once = cross(rotvec, rate)
    twice = cross(rotvec, once)
    return (
        rate[0] + first * once[0] + second * twice[0],
        rate[1] + first * once[1] + second * twice[1],
        rate[2] + first * once[2] + second * twice[2],
    )
