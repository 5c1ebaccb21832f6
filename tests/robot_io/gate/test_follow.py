"""One step after a target: how the bounds are divided between the way and what goes across it."""

from math import sqrt

import pytest
from ruckig import Result

from robot_io.gate import follow as follow_module
from robot_io.gate.follow import accel_at_tick, follow
from robot_io.gate.motion import Bounds, Moving
from robot_io.gate.vectors import ZERO
from robot_io.so3 import Vector

BOUNDS, PERIOD_S = Bounds(speed=0.5, accel=3.0, jerk=200.0), 0.01
FAR: Vector = (1.0, 0.0, 0.0)
AHEAD = 0.45  # m/s, along the way


@pytest.mark.parametrize(
    ("velocity", "accel", "target_velocity", "target_accel", "share"),
    [
        ((0.0, 0.1, 0.0), ZERO, (AHEAD, 0.0, 0.0), ZERO, 0.4),  # of 0.5 m/s: twice 0.1
        (ZERO, ZERO, (AHEAD, 0.1, 0.0), ZERO, 0.4),
        (ZERO, (0.0, 0.6, 0.0), ZERO, ZERO, 0.4),  # of 3 m/s²: twice 0.6
        (ZERO, ZERO, (AHEAD, 0.006, 0.0), (0.0, 0.6, 0.0), 0.4),
        ((0.0, 0.05, 0.0), ZERO, ZERO, ZERO, 0.7),  # nothing but that: all that may be across
    ],
)
def test_what_goes_across_the_way_gets_twice_the_share_of_the_bounds_that_it_uses(
    velocity, accel, target_velocity, target_accel, share
):
    here, target = Moving(ZERO, velocity, accel), Moving(FAR, target_velocity, target_accel)
    step = follow(FAR, here, accel, target, BOUNDS, PERIOD_S)
    assert step is not None
    _, after = step
    change = abs(after[1] - accel[1])
    assert change == pytest.approx(BOUNDS.jerk * PERIOD_S * share / sqrt(2), rel=0.02)


def test_a_straight_way_gets_nearly_all_of_the_bounds():
    step = follow(FAR, Moving(ZERO), ZERO, Moving(FAR), BOUNDS, PERIOD_S)
    assert step is not None
    assert step[1][0] == pytest.approx(BOUNDS.jerk * PERIOD_S, rel=1e-3)


class _GivesUp:
    """A ruckig that finds no way and says so in its result."""

    def __init__(self, axes: int) -> None:
        pass

    def calculate(self, request: object, trajectory: object) -> Result:
        return Result.ErrorExecutionTimeCalculation


def test_where_ruckig_finds_no_way_there_is_no_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow_module, "Ruckig", _GivesUp)
    assert follow(FAR, Moving(ZERO), ZERO, Moving(FAR), BOUNDS, PERIOD_S) is None


@pytest.mark.parametrize(
    ("wanted", "jerk", "known"),
    [
        (0.7, 100.0, 0.7),
        (9.0, 100.0, 1.0),
        (-9.0, 100.0, 0.0),
        (-9.0, 900.0, -0.5),  # 200 m/s³ are legal
        (9.0, 0.0, 0.5),
    ],
)
def test_the_acceleration_at_the_tick_is_within_half_a_period_of_jerk_of_its_mean(
    wanted, jerk, known
):
    here = Moving(ZERO, ZERO, (0.5, 0.0, 0.0), (0.0, jerk, 0.0))
    accel = accel_at_tick(here, (wanted, 0.0, 0.0), BOUNDS, PERIOD_S)
    assert accel == pytest.approx((known, 0.0, 0.0))


def test_the_acceleration_at_the_tick_keeps_its_limit():
    here = Moving(ZERO, ZERO, (2.5, 0.0, 0.0), (150.0, 0.0, 0.0))
    accel = accel_at_tick(here, (9.0, 0.0, 0.0), BOUNDS, PERIOD_S)
    assert accel[0] == pytest.approx(BOUNDS.accel, rel=1e-4)
