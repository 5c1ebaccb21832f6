"""What a target is taken for, and where a step after it begins."""

from math import inf

import pytest

from robot_io.gate import part as part_module
from robot_io.gate.follow import accel_at_tick
from robot_io.gate.motion import Bounds, Moving, Positions
from robot_io.gate.part import Codes, Part
from robot_io.gate.reasons import Reason
from robot_io.gate.track import Track
from robot_io.gate.vectors import ZERO

BOUNDS, PERIOD_S = Bounds(speed=0.5, accel=3.0, jerk=200.0), 0.01
PART = Part(
    Positions(),
    Codes(Reason.SPEED, Reason.ACCELERATION, Reason.JERK, Reason.LEASH_FORCE),
    BOUNDS,
    leash=inf,
    period_s=PERIOD_S,
)
THERE, FAR = (0.1, 0.2, 0.3), (0.5, 0.0, 0.0)


def along(speed: float, accel: float = 0.0, jerk: float = 0.0) -> Moving:
    return Moving(THERE, (speed, 0.0, 0.0), (accel, 0.0, 0.0), (jerk, 0.0, 0.0))


@pytest.mark.parametrize(
    ("target", "taken"),
    [
        (along(0.3, 2.0, 150.0), along(0.3, 2.0, 150.0)),  # legal: as it moves
        (along(0.6), along(0.0)),  # too fast: a jump that rests
        (along(0.3, 4.0, 100.0), along(0.0)),  # too sudden: likewise
        (along(0.3, 2.0, 250.0), along(0.28)),  # too abrupt: no faster than it was
        (along(0.3, -2.0, -250.0), along(0.3)),  # and no faster than it is
        (along(0.02885, 2.885, 288.5), along(0.0)),  # a step of 0.29 mm out of rest
    ],
)
def test_a_target_is_taken_for_moving_as_far_as_it_keeps_the_limits(target, taken):
    steady = PART.steady(target)
    assert steady.point == THERE
    assert steady.velocity == pytest.approx(taken.velocity, abs=1e-12)
    assert steady.accel == taken.accel


def test_the_acceleration_that_a_step_begins_with_is_within_half_a_period(monkeypatch):
    asked = []

    def noted(moving, wanted, bounds, period_s):
        asked.append((moving, bounds, period_s))
        return accel_at_tick(moving, wanted, bounds, period_s)

    monkeypatch.setattr(part_module, "accel_at_tick", noted)
    here = Moving(ZERO, (0.01, 0.0, 0.0), (1.0, 0.0, 0.0), (100.0, 0.0, 0.0))
    PART.choose(Track(here, here, None), FAR, ZERO, PERIOD_S)
    assert asked == [(here, BOUNDS, PERIOD_S)]


def test_where_ruckig_finds_no_way_the_tool_comes_to_rest(monkeypatch):
    monkeypatch.setattr(part_module, "follow", lambda *_: None)
    here = Moving(ZERO)
    chosen = PART.choose(Track(here, here, None), FAR, ZERO, PERIOD_S)
    assert chosen.point == ZERO and chosen.reasons
