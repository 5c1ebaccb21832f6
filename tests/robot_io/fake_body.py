"""An arm whose three joints are where its tool is (1 rad = 1 m): all of it can be worked out."""

import numpy as np

from robot_io.gate.body import Body, Clearance, Nearest

TABLE_Z_M, COLUMN_X_M, SINGULAR_Y_M = 0.1, 0.35, 0.28
JOINTS = {
    "low_rad": (0.0, -0.3, 0.0),
    "high_rad": (0.6, 0.3, 0.6),
    "slow_down_rad": 0.1,
    "stop_rad": 0.02,
    "max_speed_rad_per_s": (0.4, 0.5, 0.5),
    "max_accel_rad_per_s2": (10.0, 10.0, 10.0),
    "max_jerk_rad_per_s3": (1000.0, 1000.0, 1000.0),
}
GEOMETRY = {
    "self_slow_down_m": 0.08,
    "self_stop_m": 0.02,
    "obstacle_slow_down_m": 0.1,
    "obstacle_stop_m": 0.03,
    "singular_slow_down_m_per_rad": 0.1,
    "singular_stop_m_per_rad": 0.02,
}


class FakeArm:
    """Its own column stands at `COLUMN_X_M`, a table at `TABLE_Z_M`; beyond z = 0.5 it ends."""

    def __init__(self) -> None:
        self.asked = 0

    def joints_for(self, pose_8: np.ndarray, near_J: np.ndarray) -> np.ndarray | None:
        self.asked += 1
        return None if pose_8[2] > 0.5 else pose_8[:3].copy()

    def manipulability(self, joint_J: np.ndarray) -> float:
        return SINGULAR_Y_M - float(joint_J[1])

    def nearest(self, joint_J: np.ndarray) -> Nearest:
        table = Clearance(float(joint_J[2]) - TABLE_Z_M, ("hand", "table"))
        column = Clearance(float(joint_J[0]) - COLUMN_X_M, ("hand", "column"))
        return Nearest(itself=column, obstacle=table)


def fake_body() -> Body:
    arm = FakeArm()
    return Body(arm, arm)
