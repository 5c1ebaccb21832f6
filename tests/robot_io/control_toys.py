"""Rows, states and streams that the control tests share."""

import numpy as np

from robot_io.clock import NS_PER_MS
from robot_io.gate.limits import GateLimits, MeasuredLimits, OnViolation
from robot_io.rows import ToolRows, quat_from_rotvec, quat_multiply
from robot_io.types import ActionChunk, ArmState, Command, MonoNs, Provenance

PERIOD_NS = 10 * NS_PER_MS
STEP_NS = 100 * NS_PER_MS
DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # the tool points down
HOME = np.array([0.45, 0.0, 0.30, *DOWN, 0.04])

LIMITS = {
    "period_s": 0.01,
    "max_command_age_s": 0.05,
    "workspace_low_m": (0.25, -0.3, 0.05),
    "workspace_high_m": (0.7, 0.3, 0.55),
    "planes": (),
    "keep_out_boxes": (),
    "keep_out_spheres": (),
    "max_width_m": 0.08,
    "max_grip_force_n": 50.0,
    "max_speed_m_per_s": 0.5,
    "max_accel_m_per_s2": 3.0,
    "max_jerk_m_per_s3": 200.0,
    "max_turn_rad_per_s": 2.0,
    "max_turn_accel_rad_per_s2": 12.0,
    "max_turn_jerk_rad_per_s3": 800.0,
    "max_width_speed_m_per_s": 0.1,
    "force_max_n": 30.0,
    "stiffness_n_per_m": 600.0,
    "torque_max_nm": 3.0,
    "stiffness_nm_per_rad": 10.0,
    "joints": "none",
    "geometry": "unchecked",
    # tests push their arms about from one tick to the next; `test_measured` has an arm's own
    "measured": dict.fromkeys(MeasuredLimits.model_fields, 1e4),
    "touch": {"measured_force": "absent", "max_force_n": 50.0, "max_torque_nm": 5.0},
    "on_violation": dict.fromkeys(OnViolation.model_fields, "clip"),
}


def gate_limits(**changed: object) -> GateLimits:
    return GateLimits.model_validate({**LIMITS, **changed})


def moved(row_8: np.ndarray = HOME, *, by_m=(0.0, 0.0, 0.0), yaw_rad: float = 0.0) -> np.ndarray:
    """The row, moved in the base frame and turned about its vertical."""
    row_8 = row_8.copy()
    row_8[:3] += by_m
    row_8[3:7] = quat_multiply(quat_from_rotvec(np.array([0.0, 0.0, yaw_rad])), row_8[3:7])
    return row_8


def state(now_ns: int, row_D: np.ndarray = HOME) -> ArmState:
    return ArmState(MonoNs(now_ns), row_D, np.empty(0))


def command(sequence: int, now_ns: int, row_D: np.ndarray) -> Command:
    return Command(sequence, MonoNs(now_ns), row_D, Provenance("test"))


def chunk(
    rows_HD: np.ndarray, *, observed_ns: int, start_ns: int | None = None, chunk_id: int = 0
) -> ActionChunk:
    start_ns = observed_ns if start_ns is None else start_ns
    return ActionChunk(chunk_id, MonoNs(observed_ns), MonoNs(start_ns), STEP_NS, rows_HD)


def smooth_row(time_s: float) -> np.ndarray:
    """A motion that starts at rest and stays well within LIMITS."""
    wave = 1 - np.cos(np.array([1.0, 2.0, 3.0]) * time_s)
    row_8 = moved(by_m=wave * (0.05, 0.04, 0.02), yaw_rad=0.4 * (1 - np.cos(time_s)))
    row_8[7] = 0.04 + 0.02 * np.sin(time_s)
    return row_8


def smooth_plan(rows: int, *, begin_s: float = 0.0) -> np.ndarray:
    return np.stack([smooth_row(begin_s + 0.1 * h) for h in range(rows)])


def same(a_8: np.ndarray, b_8: np.ndarray) -> bool:
    """Whether two tool rows mean the same, up to rounding."""
    far_m, far_rad = ToolRows().distance(a_8, b_8)
    return far_m <= 1e-9 and far_rad <= 1e-7 and abs(a_8[7] - b_8[7]) <= 1e-9
