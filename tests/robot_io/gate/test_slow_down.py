"""Coming to rest along the path."""

import numpy as np
import pytest
from control_toys import HOME

from robot_io.gate.motion import Bounds
from robot_io.gate.slow_down import SlowDown
from robot_io.rows import quat_distance_rad

ACCEL, SPEED = 3.0, 0.3
TURN = Bounds(2.0, 12.0, 1e4)


@pytest.mark.parametrize(
    ("jerk", "ramp_s"),
    [
        (1e4, 0.05),  # the deceleration builds up softly, whatever the limit allows,
        (30.0, 0.1),  # and more so where that asks for it
    ],
)
def test_a_tool_comes_to_rest_straight_on_by_a_ramp_of_its_deceleration(jerk, ramp_s):
    velocity_7 = np.array([0.0, SPEED, 0.0, 0.0, 0.0, 0.2, 0.0])
    slow_down = SlowDown(HOME, velocity_7, travel=Bounds(0.5, ACCEL, jerk), turn=TURN)
    assert slow_down.duration_s == pytest.approx(SPEED / ACCEL + ramp_s)
    end_8, later_8 = slow_down.at(slow_down.duration_s), slow_down.at(9.0)
    assert np.array_equal(end_8, later_8)
    way_m = SPEED * slow_down.duration_s / 2  # of a symmetric ramp
    assert end_8[:3] - HOME[:3] == pytest.approx((0.0, way_m, 0.0))
    assert 0 < quat_distance_rad(HOME[3:7], end_8[3:7]) <= 0.2 * slow_down.duration_s
    assert end_8[7] == HOME[7]
    early_8 = slow_down.at(0.001)
    assert early_8[1] - HOME[1] == pytest.approx(SPEED * 0.001, rel=1e-3)
