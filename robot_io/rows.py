"""The algebra of rows: check, interpolate, compare, and move a little.

Units: m, rad, s; stamps and durations in ns. Quaternions are wxyz, rotations tool in base.
Legend: D width of a row, V size of its velocity, H rows of a plan, N samples, T instants.

Rotations are handled as rotations: on SO(3), through rotation vectors in the base frame. A
quaternion and its negative are the same rotation everywhere in this file.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_io import so3
from robot_io.clock import NS_PER_S

UNIT_TOLERANCE = 1e-3  # how far the norm of a usable quaternion may be from 1
_MEAN_ROUNDS = 4  # of the mean on SO(3): it converges fast, angles of a chunk being small


def quat_multiply(a_4: np.ndarray, b_4: np.ndarray) -> np.ndarray:
    """The rotation b, then a. Shapes (..., 4) broadcast."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a_4, dtype=np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b_4, dtype=np.float64), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conjugate(q_4: np.ndarray) -> np.ndarray:
    """The inverse of a unit quaternion (..., 4)."""
    return np.asarray(q_4, dtype=np.float64) * (1.0, -1.0, -1.0, -1.0)


def quat_normalise(q_4: np.ndarray) -> np.ndarray:
    """The unit quaternion (..., 4) of the same direction."""
    q_4 = np.asarray(q_4, dtype=np.float64)
    return q_4 / np.linalg.norm(q_4, axis=-1, keepdims=True)


def quat_from_rotvec(rotvec_3: np.ndarray) -> np.ndarray:
    """Exponential map: axis times angle (..., 3) in rad to unit quaternion (..., 4)."""
    rotvec_3 = np.asarray(rotvec_3, dtype=np.float64)
    angle = np.linalg.norm(rotvec_3, axis=-1, keepdims=True)
    # sin(angle/2)/angle, finite at 0: np.sinc(x) = sin(pi x)/(pi x)
    scale = 0.5 * np.sinc(angle / (2 * np.pi))
    return np.concatenate([np.cos(angle / 2), rotvec_3 * scale], axis=-1)


def rotvec_from_quat(q_4: np.ndarray) -> np.ndarray:
    """Logarithm: the shortest rotation as axis times angle (..., 3), angle in [0, pi] rad."""
    q_4 = np.asarray(q_4, dtype=np.float64)
    q_4 = np.where(q_4[..., :1] < 0, -q_4, q_4)
    sine = np.linalg.norm(q_4[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q_4[..., :1])
    small = sine < 1e-9
    scale = np.where(small, 2.0, angle / np.where(small, 1.0, sine))
    return q_4[..., 1:] * scale


def quat_distance_rad(a_4: np.ndarray, b_4: np.ndarray) -> np.ndarray:
    """Angle (...) of the shortest rotation from a to b, in [0, pi] rad."""
    return np.linalg.norm(rotvec_between(a_4, b_4), axis=-1)


def rotvec_between(a_4: np.ndarray, b_4: np.ndarray) -> np.ndarray:
    """The shortest rotation (..., 3) that takes a to b, as a rotation vector in the base frame."""
    return rotvec_from_quat(quat_multiply(b_4, quat_conjugate(a_4)))


def slerp(a_4: np.ndarray, b_4: np.ndarray, fraction: np.ndarray | float) -> np.ndarray:
    """From a (fraction 0) to b (fraction 1) along the shortest rotation. Shapes (..., 4), (...)."""
    part = rotvec_between(a_4, b_4) * np.asarray(fraction)[..., None]
    return quat_multiply(quat_from_rotvec(part), a_4)


def mean_quat(q_N4: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
    """The rotation (4,) with the least weighted sum of squared angles to all; weights sum to 1.

    Found from the last one on: there the mean of the rotation vectors to all others vanishes.
    """
    mean_4 = q_N4[-1]
    for _ in range(_MEAN_ROUNDS):
        to_all_N3 = rotvec_between(np.broadcast_to(mean_4, q_N4.shape), q_N4)
        mean_4 = quat_multiply(quat_from_rotvec(weight_N @ to_all_N3), mean_4)
    return quat_normalise(mean_4)


def rotate(q_4: np.ndarray, vector_3: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) rotated by quaternions (..., 4)."""
    q_4 = np.asarray(q_4, dtype=np.float64)
    twice = 2 * np.cross(q_4[..., 1:], vector_3)
    return vector_3 + q_4[..., :1] * twice + np.cross(q_4[..., 1:], twice)


def matrix_from_quat(q_4: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4); columns are the turned axes."""
    q_4 = np.asarray(q_4, dtype=np.float64)[..., None, :]
    return np.swapaxes(rotate(q_4, np.eye(3)), -1, -2)


def quat_from_matrix(matrix_33: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3), with w >= 0.

    Shepperd 1978: divide by the largest of w, x, y, z, so that no case is ill-conditioned.
    """
    m = np.asarray(matrix_33, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    # Row i is 4 q_i q: each row is the quaternion up to scale. Take the longest.
    candidate = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        axis=-2,
    )
    longest = np.argmax(np.linalg.norm(candidate, axis=-1), axis=-1)
    q_4 = np.take_along_axis(candidate, longest[..., None, None], axis=-2)[..., 0, :]
    q_4 = quat_normalise(q_4)
    return np.where(q_4[..., :1] < 0, -q_4, q_4)


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve through rows at equal intervals, continuous in value and velocity.

    Segment h is a cubic in the time s since knot h, in a chart around that knot. Legend: C size
    of the chart (a tool row has a rotation vector where it has a quaternion: C = V).
    """

    step_ns: int
    coefficient_H4C: np.ndarray  # powers s^0 .. s^3; the last segment is the last row alone
    anchor_quat_H4: np.ndarray | None  # chart centres of the rotations; None: plain vectors

    def at(self, elapsed_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Row (D,) and velocity (V,) at `elapsed_ns` after the first row, clipped to the ends."""
        last_ns = (len(self.coefficient_H4C) - 1) * self.step_ns
        h, rest_ns = divmod(min(max(elapsed_ns, 0), last_ns), self.step_ns)
        s = rest_ns / NS_PER_S
        c0, c1, c2, c3 = self.coefficient_H4C[h]
        value = c0 + s * (c1 + s * (c2 + s * c3))
        rate = c1 + s * (2 * c2 + s * (3 * c3))
        if self.anchor_quat_H4 is None:
            return value, rate
        return _tool_from_chart(self.anchor_quat_H4[h], value, rate)


class RowSpace(Protocol):
    """What the buffer, the loop and the observer must know about rows of one kind."""

    @property
    def size(self) -> int:
        """D"""
        ...

    @property
    def motion_size(self) -> int:
        """V"""
        ...

    def fault(self, row_ND: np.ndarray) -> str | None:
        """Why these rows (..., D) cannot be used; None when they can."""
        ...

    def curve(
        self, row_HD: np.ndarray, step_ns: int, velocity_HV: np.ndarray | None = None
    ) -> Curve:
        """The curve through the rows; without velocities, through central differences."""
        ...

    def distance(self, a_D: np.ndarray, b_D: np.ndarray) -> tuple[float, float]:
        """How far apart two rows are: translation (m) and rotation (rad)."""
        ...

    def limit_step(
        self, a_D: np.ndarray, b_D: np.ndarray, max_m: float, max_rad: float
    ) -> np.ndarray:
        """The row from a toward b by at most `max_m` and `max_rad`; b itself when within both."""
        ...

    def interpolate(
        self, stamp_ns_N: np.ndarray, row_ND: np.ndarray, at_ns_T: np.ndarray
    ) -> np.ndarray:
        """Rows (T, D) at the given instants between samples; beyond the ends, the end sample."""
        ...

    def mean(self, row_ND: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
        """The mean row (D,) with weights above 0, whatever their sum."""
        ...


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Rows that are plain vectors of `size` numbers."""

    size: int

    @property
    def motion_size(self) -> int:
        return self.size

    def fault(self, row_ND: np.ndarray) -> str | None:
        return _shape_fault(row_ND, self.size)

    def curve(
        self, row_HD: np.ndarray, step_ns: int, velocity_HV: np.ndarray | None = None
    ) -> Curve:
        delta_GD = np.diff(row_HD, axis=0)
        if velocity_HV is None:
            velocity_HV = _central_velocity(delta_GD, step_ns)
        coefficient_H4D = _cubic(row_HD, delta_GD, velocity_HV, velocity_HV[1:], step_ns)
        return Curve(step_ns, coefficient_H4D, None)

    def distance(self, a_D: np.ndarray, b_D: np.ndarray) -> tuple[float, float]:
        return float(np.linalg.norm(b_D - a_D)), 0.0

    def limit_step(
        self, a_D: np.ndarray, b_D: np.ndarray, max_m: float, max_rad: float
    ) -> np.ndarray:
        far, _ = self.distance(a_D, b_D)
        return b_D if far <= max_m else a_D + (b_D - a_D) * (max_m / far)

    def interpolate(
        self, stamp_ns_N: np.ndarray, row_ND: np.ndarray, at_ns_T: np.ndarray
    ) -> np.ndarray:
        before_T, after_T, fraction_T = _brackets(stamp_ns_N, at_ns_T)
        return _lerp(row_ND[before_T], row_ND[after_T], fraction_T)

    def mean(self, row_ND: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
        return weight_N @ row_ND / weight_N.sum()


@dataclass(frozen=True, slots=True)
class ToolRows:
    """Tool rows `x y z qw qx qy qz width`: pose of the tool in the base frame, gripper opening.

    Their velocity is `vx vy vz` (m/s), `wx wy wz` (rad/s, base frame), opening speed (m/s).
    The opening is interpolated linearly: a cubic would overshoot closed fingers.
    """

    @property
    def size(self) -> int:
        return 8

    @property
    def motion_size(self) -> int:
        return 7

    def fault(self, row_ND: np.ndarray) -> str | None:
        fault = _shape_fault(row_ND, self.size)
        if fault is not None:
            return fault
        norm_N = np.linalg.norm(row_ND[..., 3:7], axis=-1)
        if not np.all(np.abs(norm_N - 1) <= UNIT_TOLERANCE):
            return (
                f"a quaternion of norm {np.ravel(norm_N).min():.4g} to "
                f"{np.ravel(norm_N).max():.4g} where 1 is needed"
            )
        return None

    def curve(
        self, row_HD: np.ndarray, step_ns: int, velocity_HV: np.ndarray | None = None
    ) -> Curve:
        quat_H4 = quat_normalise(row_HD[:, 3:7])
        centre_HV = np.zeros((len(row_HD), self.motion_size))
        centre_HV[:, :3], centre_HV[:, 6] = row_HD[:, :3], row_HD[:, 7]
        delta_GV = np.diff(centre_HV, axis=0)
        delta_GV[:, 3:6] = rotvec_between(quat_H4[:-1], quat_H4[1:])
        if velocity_HV is None:
            velocity_HV = _central_velocity(delta_GV, step_ns)
        # At the end of a segment the chart is off-centre there: angular velocity to chart rate.
        end_GV = velocity_HV[1:].copy()
        end_GV[:, 3:6] = _chart_rate(delta_GV[:, 3:6], end_GV[:, 3:6])
        coefficient_H4V = _cubic(centre_HV, delta_GV, velocity_HV, end_GV, step_ns)
        coefficient_H4V[:-1, 1, 6] = delta_GV[:, 6] * (NS_PER_S / step_ns)
        coefficient_H4V[:, 2:, 6] = 0.0
        return Curve(step_ns, coefficient_H4V, quat_H4)

    def distance(self, a_D: np.ndarray, b_D: np.ndarray) -> tuple[float, float]:
        return (
            float(np.linalg.norm(b_D[:3] - a_D[:3])),
            float(quat_distance_rad(a_D[3:7], b_D[3:7])),
        )

    def limit_step(
        self, a_D: np.ndarray, b_D: np.ndarray, max_m: float, max_rad: float
    ) -> np.ndarray:
        far_m, far_rad = self.distance(a_D, b_D)
        if far_m <= max_m and far_rad <= max_rad:
            return b_D
        row_D = b_D.copy()
        if far_m > max_m:
            row_D[:3] = a_D[:3] + (b_D[:3] - a_D[:3]) * (max_m / far_m)
        if far_rad > max_rad:
            row_D[3:7] = slerp(a_D[3:7], b_D[3:7], max_rad / far_rad)
        return row_D

    def interpolate(
        self, stamp_ns_N: np.ndarray, row_ND: np.ndarray, at_ns_T: np.ndarray
    ) -> np.ndarray:
        before_T, after_T, fraction_T = _brackets(stamp_ns_N, at_ns_T)
        a_TD, b_TD = row_ND[before_T], row_ND[after_T]
        row_TD = _lerp(a_TD, b_TD, fraction_T)
        row_TD[:, 3:7] = quat_normalise(slerp(a_TD[:, 3:7], b_TD[:, 3:7], fraction_T))
        return row_TD

    def mean(self, row_ND: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
        share_N = weight_N / weight_N.sum()
        row_D = share_N @ row_ND
        row_D[3:7] = mean_quat(row_ND[:, 3:7], share_N)
        return row_D


def _shape_fault(row_ND: np.ndarray, size: int) -> str | None:
    if not isinstance(row_ND, np.ndarray) or row_ND.dtype.kind != "f":
        return f"{type(row_ND).__name__} where an array of floats is needed"
    if row_ND.ndim == 0 or row_ND.shape[-1] != size:
        return f"shape {row_ND.shape} where rows of {size} are needed"
    if not np.isfinite(row_ND).all():
        return "a number that is not finite"
    return None


def _central_velocity(delta_GV: np.ndarray, step_ns: int) -> np.ndarray:
    """Velocities (G + 1, V) at the knots: mean of both neighbours, one-sided at the ends."""
    if len(delta_GV) == 0:
        return np.zeros((1, delta_GV.shape[1]))
    velocity_HV = np.empty((len(delta_GV) + 1, delta_GV.shape[1]))
    velocity_HV[0], velocity_HV[-1] = delta_GV[0], delta_GV[-1]
    velocity_HV[1:-1] = (delta_GV[:-1] + delta_GV[1:]) / 2
    return velocity_HV * (NS_PER_S / step_ns)


def _cubic(
    centre_HC: np.ndarray,
    delta_GC: np.ndarray,
    start_HC: np.ndarray,
    end_GC: np.ndarray,
    step_ns: int,
) -> np.ndarray:
    """Hermite coefficients (H, 4, C): each knot leaves at rate `start`, moves by `delta` and
    arrives at the next at rate `end`. The last one has nothing to go to and keeps its rate."""
    step_s = step_ns / NS_PER_S
    mean_GC, start_GC = delta_GC / step_s, start_HC[:-1]
    coefficient_H4C = np.zeros((len(centre_HC), 4, centre_HC.shape[1]))
    coefficient_H4C[:, 0] = centre_HC
    coefficient_H4C[:, 1] = start_HC
    coefficient_H4C[:-1, 2] = (3 * mean_GC - 2 * start_GC - end_GC) / step_s
    coefficient_H4C[:-1, 3] = (start_GC + end_GC - 2 * mean_GC) / step_s**2
    return coefficient_H4C


def _chart_rate(rotvec_N3: np.ndarray, omega_N3: np.ndarray) -> np.ndarray:
    """Rate of the rotation vector from the angular velocity: inverse left Jacobian of SO(3).

    J^-1(r) w = w - r×w/2 + k r×(r×w), k = (1 - (a/2) cot(a/2)) / a², a = |r|.
    (Solà et al. 2018, "A micro Lie theory", eq. 146.)
    """
    angle_N1 = np.linalg.norm(rotvec_N3, axis=-1, keepdims=True)
    small = angle_N1 < 1e-4
    safe = np.where(small, 1.0, angle_N1)
    k = np.where(small, 1 / 12, (1 - (safe / 2) / np.tan(safe / 2)) / safe**2)
    cross_N3 = np.cross(rotvec_N3, omega_N3)
    return omega_N3 - cross_N3 / 2 + k * np.cross(rotvec_N3, cross_N3)


def _tool_from_chart(
    anchor_4: np.ndarray, value_7: np.ndarray, rate_7: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x, y, z, rx, ry, rz, width = value_7.tolist()
    vx, vy, vz, sx, sy, sz, opening = rate_7.tolist()
    quat = so3.multiply(so3.exponential((rx, ry, rz)), tuple(anchor_4.tolist()))
    omega = so3.angular_velocity((rx, ry, rz), (sx, sy, sz))
    return np.array([x, y, z, *quat, width]), np.array([vx, vy, vz, *omega, opening])


def _brackets(
    stamp_ns_N: np.ndarray, at_ns_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the samples before and after each instant, and the fraction between them."""
    stamp_ns_N, at_ns_T = np.asarray(stamp_ns_N), np.asarray(at_ns_T)
    last = len(stamp_ns_N) - 1
    after_T = np.clip(np.searchsorted(stamp_ns_N, at_ns_T), 0, last)
    before_T = np.clip(after_T - 1, 0, last)
    gap_T = np.maximum(stamp_ns_N[after_T] - stamp_ns_N[before_T], 1)
    fraction_T = np.clip((at_ns_T - stamp_ns_N[before_T]) / gap_T, 0.0, 1.0)
    return before_T, np.where(fraction_T > 0, after_T, before_T), fraction_T


def _lerp(a_TD: np.ndarray, b_TD: np.ndarray, fraction_T: np.ndarray) -> np.ndarray:
    return a_TD + (b_TD - a_TD) * fraction_T[:, None]
