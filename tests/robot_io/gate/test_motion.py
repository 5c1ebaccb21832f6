"""Differences of emitted rows are what is bounded."""

import numpy as np
import pytest
from control_toys import HOME, moved
from gate_toys import ACCEPTED, DT_S, Run, assert_kept

from robot_io.gate.motion import Bounds, Moving, Positions, broken, unit
from robot_io.gate.vectors import ZERO


@pytest.mark.parametrize(("dt_s", "jerk_s"), [(0.001, 0.01), (0.01, 0.01), (0.02, 0.02)])
def test_a_change_of_acceleration_has_a_period_at_least_and_all_of_a_longer_tick(dt_s, jerk_s):
    later = Moving(ZERO).to((1e-5, 0.0, 0.0), Positions(), dt_s, 0.01)
    assert later.velocity[0] == pytest.approx(1e-5 / dt_s)
    assert later.accel[0] == pytest.approx(1e-5 / dt_s**2)
    assert later.jerk[0] == pytest.approx(1e-5 / dt_s**2 / jerk_s)


@pytest.mark.parametrize(("share", "breaks"), [(1 + 5e-7, False), (1 + 5e-6, True)])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_limit_is_broken_by_more_than_a_millionth_of_it(order, share, breaks):
    bounds = Bounds(0.5, 3.0, 200.0)
    values = [(0.0, share * most * (i == order), 0.0) for i, most in enumerate(bounds)]
    expected = tuple(breaks and i == order for i in range(3))
    assert broken(Moving(ZERO, values[0], values[1], values[2]), bounds) == expected


@pytest.mark.parametrize(("off", "kept"), [(2e-15, True), (2.5e-14, False)])
def test_a_quaternion_stays_as_it_is_where_only_rounding_keeps_it_from_being_unit(off, kept):
    quat = (1.0 + off, 0.0, 0.0, 0.0)
    assert (unit(quat) == quat) is kept
    assert sum(q * q for q in unit(quat)) == pytest.approx(1.0, abs=1e-14)


def test_a_standstill_that_is_still_decelerating_is_no_rest():
    """From 2.9 m/s² to none in a tick is 290 m/s³, of 200: to stay there would break the jerk."""
    run, x_m = Run(), 0.0
    speeds = [0.0145, *np.arange(0.0435, 0.131, 0.029), 0.145, 0.1595, 0.1595, 0.145]
    speeds += [0.116, 0.087, 0.058, 0.029, 0.0]
    for speed in speeds:
        x_m += speed * DT_S
        assert run.check(moved(HOME, by_m=(x_m, 0.0, 0.0))).kind is ACCEPTED
    for _ in range(20):
        run.check(np.full(8, np.nan))
    assert_kept(np.array(run.sent), run.limits)
    assert np.array_equal(run.sent[-1], run.sent[-2])
