"""Whether a sequence of commands kept the limits: an independent opinion, not the gate's code.

Legend: N ticks, rows `x y z qw qx qy qz width` (m, tool in base). Limits are read from the TOML
file as they stand there.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-3  # relative, for rounding of differences
TINY = 1e-6


def limits_of(robot: Path) -> dict[str, Any]:
    return tomllib.loads(robot.read_text())["gate"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What went to the arm, and what the arm had measured then."""

    stamp_ns_N: np.ndarray
    row_N8: np.ndarray
    measured_N8: np.ndarray
    pulled_N: np.ndarray  # bool: the leash pulled, which may be faster than other limits


def violations(sent: Sent, limits: dict[str, Any]) -> list[str]:
    """One line per limit that was broken, with the worst value and its tick; empty when none."""
    if not np.isfinite(sent.row_N8).all():
        return ["a command is not finite"]
    found = _leash(sent, limits) + _places(sent, limits)
    if len(sent.row_N8) > 1:
        found += _motion(sent, limits)
    return found


def _leash(sent: Sent, limits: dict[str, Any]) -> list[str]:
    ahead_N = np.linalg.norm(sent.row_N8[:, :3] - sent.measured_N8[:, :3], axis=1)
    twist_N = _angle(sent.measured_N8[:, 3:7], sent.row_N8[:, 3:7])
    return [
        *_above("leash_m", ahead_N, limits["force_max_n"] / limits["stiffness_n_per_m"]),
        *_above("leash_rad", twist_N, limits["torque_max_nm"] / limits["stiffness_nm_per_rad"]),
    ]


def _places(sent: Sent, limits: dict[str, Any]) -> list[str]:
    low, high = np.array(limits["workspace_low_m"]), np.array(limits["workspace_high_m"])
    place_N3 = sent.row_N8[~sent.pulled_N, :3]
    outside_N = np.maximum(low - place_N3, place_N3 - high).max(axis=1)
    unit_N = np.abs(np.linalg.norm(sent.row_N8[:, 3:7], axis=1) - 1)
    return [
        *_above("outside_workspace_m", outside_N, 0.0),
        *_above("quaternion_norm_off", unit_N, 1e-3),
        *_above("width_m", sent.row_N8[:, 7], limits["max_width_m"]),
    ]


def _motion(sent: Sent, limits: dict[str, Any]) -> list[str]:
    """Speeds and accelerations from tick to tick; after a stall two periods count, not more."""
    dt_M = np.minimum(np.diff(sent.stamp_ns_N) / 1e9, 2 * limits["period_s"])
    move_M3 = np.diff(sent.row_N8[:, :3], axis=0) / dt_M[:, None]
    turn_M3 = _rotvec(sent.row_N8[:-1, 3:7], sent.row_N8[1:, 3:7]) / dt_M[:, None]
    width_M = np.abs(np.diff(sent.row_N8[:, 7])) / dt_M
    free_M = ~sent.pulled_N[1:]
    calm_M = free_M & np.concatenate([[True], free_M[:-1]])
    return [
        *_above("speed_m_per_s", _norm(move_M3)[free_M], limits["max_speed_m_per_s"]),
        *_above("turn_rad_per_s", _norm(turn_M3)[free_M], limits["max_turn_rad_per_s"]),
        *_above("width_m_per_s", width_M[free_M], limits["max_width_speed_m_per_s"]),
        *_above("accel_m_per_s2", _change(move_M3, dt_M)[calm_M], limits["max_accel_m_per_s2"]),
        *_above(
            "turn_accel_rad_per_s2",
            _change(turn_M3, dt_M)[calm_M],
            limits["max_turn_accel_rad_per_s2"],
        ),
    ]


def _change(velocity_M3: np.ndarray, dt_M: np.ndarray) -> np.ndarray:
    """Accelerations, the first one from rest."""
    return _norm(np.diff(velocity_M3, axis=0, prepend=0.0)) / dt_M


def _norm(vector_M3: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vector_M3, axis=1)


def _angle(from_N4: np.ndarray, to_N4: np.ndarray) -> np.ndarray:
    return _norm(_rotvec(from_N4, to_N4))


def _rotvec(from_N4: np.ndarray, to_N4: np.ndarray) -> np.ndarray:
    """Rotation vectors (N, 3) in base that lead from one orientation (wxyz) to the other."""
    inverse_N4 = from_N4 * np.array([1.0, -1.0, -1.0, -1.0])
    w, x, y, z = (_left(to_N4) @ inverse_N4[..., None])[..., 0].T
    sine = np.sqrt(x * x + y * y + z * z)
    angle = 2 * np.arctan2(sine, np.abs(w))
    factor = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0) * np.where(w < 0, -1, 1)
    return np.stack([x, y, z], axis=1) * factor[:, None]


def _left(quat_N4: np.ndarray) -> np.ndarray:
    """The matrices (N, 4, 4) that multiply a quaternion from the left."""
    w, x, y, z = quat_N4.T
    rows = [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _above(name: str, value_N: np.ndarray, limit: float) -> list[str]:
    if value_N.size == 0 or value_N.max() <= limit * (1 + TOLERANCE) + TINY:
        return []
    at = int(value_N.argmax())
    return [f"{name} = {value_N[at]:.6g} at tick {at}, allowed {limit:.6g}"]
