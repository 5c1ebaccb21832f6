"""Near joint limits, itself, obstacles and singularities the arm slows down, and stops."""

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, gate_limits, moved
from fake_body import (
    COLUMN_X_M,
    GEOMETRY,
    JOINTS,
    SINGULAR_Y_M,
    TABLE_Z_M,
    FakeArm,
    fake_body,
)
from gate_toys import ACCEPTED, DT_S, HOLD, Run
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.errors import FeelforwardError
from robot_io.gate.body import Body
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.types import ArmState, MonoNs

WHOLE = {"joints": JOINTS, "geometry": GEOMETRY, "force_max_n": 1e3}


class Gantry(Run):
    """A run whose joints are where its tool is."""

    def __init__(self, **limits: object) -> None:
        super().__init__(body=fake_body(), **{**WHOLE, **limits})

    def state(self) -> ArmState:
        return ArmState(MonoNs(self.now_ns), self.measured, self.measured[:3].copy())


def approach(run: Run, goal_8: np.ndarray, ticks: int = 300) -> set[str]:
    reasons: set[str] = set()
    for _ in range(ticks):
        reasons.update(run.check(goal_8).reasons)
    return reasons


@pytest.mark.parametrize(
    ("by_m", "reason", "axis", "stop_m"),
    [
        ((0, 0, -0.2), Reason.OBSTACLE_DISTANCE, 2, TABLE_Z_M + GEOMETRY["obstacle_stop_m"]),
        ((-0.2, 0, 0), Reason.SELF_DISTANCE, 0, COLUMN_X_M + GEOMETRY["self_stop_m"]),
        (
            (0, 0.29, 0),
            Reason.SINGULARITY,
            1,
            SINGULAR_Y_M - GEOMETRY["singular_stop_m_per_rad"],
        ),
        ((0.2, 0, 0), Reason.JOINT_LIMIT, 0, JOINTS["high_rad"][0] - JOINTS["stop_rad"]),
        ((0, -0.29, 0), Reason.JOINT_LIMIT, 1, JOINTS["low_rad"][1] + JOINTS["stop_rad"]),
    ],
)
def test_a_motion_slows_down_in_the_margin_and_does_not_pass_its_end(by_m, reason, axis, stop_m):
    run, goal_8 = Gantry(), moved(by_m=by_m)
    assert reason in approach(run, goal_8)
    path_N, toward = run.path(axis), np.sign(goal_8[axis] - HOME[axis])
    left_N = (stop_m - path_N) * toward
    assert left_N.min() >= -1e-4 and left_N[-1] <= 2e-4, "up to the margin's end, not beyond"
    speed_N = np.abs(np.diff(path_N)) / DT_S
    assert speed_N[-1] < 0.02 and speed_N.max() > 0.2
    slowing_N = speed_N[speed_N.argmax() :]
    assert np.diff(slowing_N).max() < 0.01, "no stop and go"


def test_two_links_that_are_near_each_other_do_not_hide_an_obstacle():
    run = Gantry()
    run.measured = moved(by_m=(-0.07, 0, -0.14))  # 3 cm from its column, 6 cm above the table
    goal_8 = moved(by_m=(-0.05, 0, -0.2))  # away from the one, onto the other
    assert Reason.OBSTACLE_DISTANCE in approach(run, goal_8, ticks=20)
    speed_N = np.abs(np.diff(run.path(2))) / DT_S
    assert speed_N.max() < 0.2, "slow although two links are nearer"


def test_away_from_a_limit_anything_goes():
    run = Gantry()
    run.measured = moved(by_m=(0, 0, -0.17))  # within the table's margin
    goal_8 = moved(by_m=(0, 0, -0.05))
    assert Reason.OBSTACLE_DISTANCE not in approach(run, goal_8)
    assert np.array_equal(run.sent[-1], goal_8)


def test_a_fast_joint_makes_the_tool_slower():
    run = Gantry(joints=JOINTS | {"high_rad": (0.9, 0.3, 0.6)})
    reasons = approach(run, moved(by_m=(0.1, 0.0, 0.0)))
    assert Reason.JOINT_SPEED in reasons
    assert Reason.JOINT_LIMIT not in reasons, "which is far away"
    assert np.abs(np.diff(run.path(0))).max() / DT_S <= 0.4 * (1 + 1e-5)


@pytest.mark.parametrize(
    ("name", "most", "reason"),
    [
        ("max_accel_rad_per_s2", 1.0, Reason.JOINT_ACCELERATION),
        ("max_jerk_rad_per_s3", 50.0, Reason.JOINT_JERK),
    ],
)
def test_a_joint_that_may_do_less_than_the_tool_makes_it_start_more_softly(name, most, reason):
    run = Gantry(joints=JOINTS | {name: (most,) * 3})
    assert reason in approach(run, moved(by_m=(0.1, 0.0, 0.0)), ticks=50)
    speed_N = np.diff(run.path(0), prepend=HOME[0]) / DT_S
    accel_N = np.diff(speed_N, prepend=0.0) / DT_S
    if reason is Reason.JOINT_ACCELERATION:
        assert accel_N.max() <= most * (1 + 1e-5)
    else:  # which holds for speeding up, from rest on
        assert 0 < accel_N[accel_N > 0][0] <= most * DT_S * (1 + 1e-5)


def test_what_no_joint_angles_reach_is_not_gone_to():
    run = Gantry()
    assert Reason.UNREACHABLE in approach(run, moved(by_m=(0, 0, 0.24)))
    assert run.path(2).max() <= 0.55, "it stops where it first finds none"


class NoNumbers(FakeArm):
    """Finds joint angles, but none that are numbers."""

    def joints_for(self, pose_8, near_J):
        return np.full(3, np.nan)


@pytest.mark.parametrize("geometry", ["unchecked", GEOMETRY])
def test_joint_angles_that_are_no_numbers_are_not_gone_to(geometry):
    body = Body(NoNumbers(), NoNumbers())
    run = Run(body=body, joints=JOINTS, geometry=geometry, force_max_n=1e3)
    run.state = lambda: ArmState(MonoNs(run.now_ns), run.measured, run.measured[:3].copy())
    for k in range(1, 20):
        verdict = run.check(moved(by_m=(0.0002 * k, 0.0, 0.0)))
        assert np.array_equal(verdict.row_D, HOME)


def test_a_legal_motion_passes_bit_for_bit_with_all_checks():
    run = Gantry()
    for k in range(300):
        row_8 = moved(by_m=(0.03 * (1 - np.cos(0.02 * k)), 0, 0))
        verdict = run.check(row_8)
        assert verdict.kind is ACCEPTED and verdict.row_D is row_8


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_a_gate_with_a_body_gave_a_second_one_lets_pass(seed):
    rng, first, second = np.random.default_rng(seed), Gantry(), Gantry()
    for k in range(200):
        if k % 25 == 0:
            goal_8 = moved(by_m=rng.uniform(-0.25, 0.25, 3), yaw_rad=rng.uniform(-1, 1))
        second.measured = first.measured
        given_8 = first.check(goal_8).row_D
        assert np.array_equal(second.check(given_8).row_D, given_8)


NOT_JOINTS = [np.empty(0), np.full(3, np.nan), np.zeros(4), np.zeros(3, int), None]


@pytest.mark.parametrize("joint_J", NOT_JOINTS)
def test_joints_that_are_not_measured_are_not_armed_and_hold(joint_J):
    gate = CommandGate(gate_limits(joints=JOINTS))
    with pytest.raises(FeelforwardError, match="not armed"):
        gate.check(command(1, 0, HOME), ArmState(MonoNs(0), HOME, joint_J), 0)
    gate.check(command(1, 0, HOME), ArmState(MonoNs(0), HOME, np.full(3, 0.2)), 0)
    broken = ArmState(MonoNs(PERIOD_NS), HOME, joint_J)
    verdict = gate.check(command(2, PERIOD_NS, HOME), broken, PERIOD_NS)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.STATE_UNUSABLE,))


def test_the_joints_are_known_to_move_while_the_gate_brakes():
    """Else the first command after a hold would look like a leap of them."""
    run = Gantry()
    for _ in range(20):
        run.check(moved(by_m=(0.1, 0.0, 0.0)))
    for _ in range(5):
        run.check(np.full(8, np.nan))
    x_N = run.path(0)[-3:]
    speed, accel = (x_N[2] - x_N[1]) / DT_S, np.diff(x_N, 2)[0] / DT_S**2
    assert speed > 0.1 and accel < -2.5, "in the middle of it"
    goes_on_8 = run.sent[-1].copy()
    goes_on_8[0] += (speed + (accel + 1.5) * DT_S) * DT_S
    assert run.check(goes_on_8).kind is ACCEPTED


def test_a_tick_in_which_no_time_goes_by_makes_no_joint_fast():
    run = Gantry()
    for k in range(40):
        verdict = run.check(moved(by_m=(0.03 * (1 - np.cos(0.04 * k)), 0, 0)))
        again = command(1000, run.now_ns, verdict.row_D)
        with np.errstate(all="raise"):  # nothing may be divided by no time
            assert run.gate.check(again, run.state(), run.now_ns).kind is HOLD
        assert verdict.kind is ACCEPTED


def test_without_a_model_the_measured_joints_slow_the_tool_down():
    run = Run(joints=JOINTS, force_max_n=1e3)
    run.state = lambda: ArmState(MonoNs(run.now_ns), run.measured, run.measured[:3].copy())
    reasons = approach(run, moved(by_m=(0.2, 0, 0)))
    assert Reason.JOINT_LIMIT in reasons
    assert run.path(0).max() <= JOINTS["high_rad"][0]


@pytest.mark.parametrize(("creeps_rad", "slows"), [(5e-6, True), (5e-7, False)])
def test_a_joint_in_its_margin_slows_the_tool_if_it_moves_by_more_than_a_millionth(
    creeps_rad, slows
):
    run = Run(joints=JOINTS, force_max_n=1e3)
    run.state = lambda: ArmState(
        MonoNs(run.now_ns), run.measured, np.array([0.59 + creeps_rad * run.tick, 0.0, 0.3])
    )
    assert (Reason.JOINT_LIMIT in approach(run, moved(by_m=(-0.1, 0, 0)), ticks=20)) is slows


def test_a_model_of_an_arm_whose_geometry_is_unchecked_is_asked_for_joints_alone():
    run = Gantry(geometry="unchecked")
    reasons = approach(run, moved(by_m=(0.0, 0.0, -0.24)))
    assert run.sent[-1][2] < TABLE_Z_M and Reason.OBSTACLE_DISTANCE not in reasons
    assert Reason.JOINT_SPEED in approach(run, moved(by_m=(0.1, 0.0, -0.24)))


def test_a_reject_drops_the_rest_of_the_chunk_until_another_one_comes():
    on_violation = gate_limits().on_violation.model_dump() | {"geometry": "reject_chunk"}
    run = Gantry(on_violation=on_violation)
    down_8, seen = moved(by_m=(0, 0, -0.2)), []
    for _ in range(120):
        seen.append(run.check(down_8, chunk_id=3).reasons)
    assert any(Reason.OBSTACLE_DISTANCE in reasons for reasons in seen)
    assert seen[-1] == (Reason.CHUNK_REJECTED,)
    assert np.array_equal(run.sent[-1], run.sent[-2]), "at rest"
    assert run.path(2)[-1] > TABLE_Z_M + GEOMETRY["obstacle_stop_m"]
    assert run.check(run.sent[-1], chunk_id=4).kind is ACCEPTED
