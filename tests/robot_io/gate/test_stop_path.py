"""From every motion that may pass there is a way to rest within the bounds, and not a long one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.gate.motion import Bounds, Moving
from robot_io.gate.stop_path import MAX_ACROSS, stopping
from robot_io.gate.vectors import ZERO
from robot_io.so3 import Vector

BOUNDS, PERIOD_S = Bounds(speed=0.5, accel=3.0, jerk=200.0), 0.01
LONGEST_S = 4 * BOUNDS.speed / BOUNDS.accel


def vector(rng: np.random.Generator, longest: float) -> Vector:
    x, y, z = rng.normal(size=3)
    scale = longest * rng.random() / np.linalg.norm((x, y, z))
    return (x * scale, y * scale, z * scale)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), quiet=st.sampled_from([1.0, 1e-3, 1e-9, 0.0]))
def test_the_way_to_rest_keeps_the_bounds_from_the_first_tick_on(seed, quiet):
    rng = np.random.default_rng(seed)
    velocity, accel = vector(rng, BOUNDS.speed), vector(rng, BOUNDS.accel * quiet)
    stop = stopping(Moving(ZERO, velocity, accel), BOUNDS, PERIOD_S)
    if stop is None or stop.peak > BOUNDS.speed:
        return
    way, velocities = stop.way(), [velocity]
    while velocities[-1] != ZERO:
        velocities.append(way.velocity(len(velocities) * PERIOD_S))
    velocity_N3 = np.array([*velocities, ZERO, ZERO])
    accel_N3 = np.concatenate([[accel], np.diff(velocity_N3, axis=0) / PERIOD_S])
    jerk_N3 = np.diff(accel_N3, axis=0) / PERIOD_S
    for value_N3, most in [
        (velocity_N3, stop.peak),
        (accel_N3, BOUNDS.accel),
        (jerk_N3, BOUNDS.jerk),
    ]:
        assert np.linalg.norm(value_N3, axis=1).max() <= most * (1 + 1e-6) + 1e-9
    assert len(velocities) * PERIOD_S <= LONGEST_S
    way_N3 = np.cumsum(velocity_N3[1:], axis=0) * PERIOD_S
    assert np.linalg.norm(way_N3, axis=1).max() <= stop.reach(PERIOD_S) * (1 + 1e-6)


@pytest.mark.parametrize(("share", "possible"), [(0.99, True), (1.01, False)])
def test_a_curve_that_leaves_nothing_to_brake_with_is_no_motion_to_pass(share, possible):
    accel = (0.0, MAX_ACROSS * share * BOUNDS.accel, 0.0)
    turning = Moving(
        ZERO, (BOUNDS.speed * 1e3, 0.0, 0.0), accel
    )  # so fast that it goes straight on
    assert (stopping(turning, BOUNDS, PERIOD_S) is not None) is possible


def test_a_straight_stop_may_use_nearly_all_of_the_acceleration():
    stop = stopping(Moving(ZERO, (0.4, 0.0, 0.0)), BOUNDS, PERIOD_S)
    assert stop is not None
    assert (1 - 2e-5) * BOUNDS.accel <= stop.axes[0].max_accel <= BOUNDS.accel


@pytest.mark.parametrize(("accel", "share"), [((2.0, 0.0, 0.0), 0.05), ((0.0, 2.0, 0.0), 0.7)])
def test_the_jerk_goes_where_the_acceleration_is(accel, share):
    stop = stopping(Moving(ZERO, (0.4, 0.0, 0.0), accel), BOUNDS, PERIOD_S)
    assert stop is not None
    assert stop.axes[1].max_jerk == pytest.approx(share * BOUNDS.jerk, rel=1e-3)
