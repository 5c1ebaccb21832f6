"""What the arm says to be where no arm can have got to is not followed, and pulls nothing there."""

from dataclasses import replace

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, gate_limits, moved, state
from gate_toys import ACCEPTED, DT_S, HOLD, STOPPED, Run
from hostile import play
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.rows import ToolRows
from robot_io.types import ArmState, Command, MonoNs, Provenance

SPEED, TURN, JOINT = 3.0, 20.0, 15.0  # m/s, rad/s, rad/s
MEASURED = {"max_speed_m_per_s": SPEED, "max_turn_rad_per_s": TURN, "max_joint_rad_per_s": JOINT}
WAY_M = SPEED * DT_S  # of an arm in a period
JOINTS = {
    "low_rad": (-1.0, -1.0),
    "high_rad": (1.0, 1.0),
    "slow_down_rad": 0.2,
    "stop_rad": 0.05,
    "max_speed_rad_per_s": (1.0, 1.0),
    "max_accel_rad_per_s2": (10.0, 10.0),
    "max_jerk_rad_per_s3": (100.0, 100.0),
}


def armed(**limits: object) -> Run:
    """A gate that has seen two states, at HOME."""
    run = Run(measured=MEASURED, **limits)
    for _ in range(2):
        run.check(HOME)
    return run


@pytest.mark.parametrize(
    "lie_8", [moved(by_m=(-0.1, -0.9, 0.4)), moved(yaw_rad=3.0), moved(by_m=(WAY_M * 1.01, 0, 0))]
)
@pytest.mark.parametrize("held", [False, True])
def test_a_false_pose_within_reach_pulls_no_command_there(lie_8, held):
    """`bench gate`, seed 0, stretch 1982: the leash drew the command 1.1 m away, for one tick."""
    run = armed()
    run.tick += 1
    now_ns, told = run.now_ns, state(run.now_ns, lie_8)
    if held:
        verdict = run.gate.hold(Reason.NO_PLAN, told, now_ns)
    else:
        verdict = run.gate.check(command(run.tick, now_ns, HOME), told, now_ns)
        assert verdict.reasons == (Reason.STATE_JUMPED,)
    assert verdict.kind is HOLD
    assert np.array_equal(verdict.row_D, HOME)
    assert run.check(HOME).kind is ACCEPTED, "the next true one is followed again"


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_after_one_false_pose_the_next_true_one_is_believed_to_the_last_bit(seed):
    """There and back is a whole way each: rounding must not decide."""
    rng, run = np.random.default_rng(seed), armed()
    yaw_rad, far = rng.uniform(0.3, 3.0), rng.normal(size=3)
    run.measured = moved(by_m=tuple(0.2 * far / np.linalg.norm(far)), yaw_rad=yaw_rad)
    assert run.check(HOME).kind is HOLD
    run.measured = HOME
    assert run.check(HOME).kind is ACCEPTED


def test_what_an_arm_gets_in_a_period_is_believed_also_when_the_tick_comes_early():
    run = armed()
    run.measured = moved(by_m=(0.999 * WAY_M, 0.0, 0.0), yaw_rad=0.999 * TURN * DT_S)
    assert run.check(HOME, blocked=True).kind is not HOLD
    now_ns = run.now_ns + PERIOD_NS // 10
    back = run.gate.check(command(9, now_ns, HOME), state(now_ns, HOME), now_ns)
    assert back.kind is not HOLD


def test_an_arm_that_really_is_elsewhere_is_believed_after_its_way_at_full_speed():
    """A device that froze and wakes up; the leash goes there with what is believed."""
    run, far_m = armed(), 0.2
    run.measured = moved(by_m=(far_m, 0.0, 0.0))
    kinds = [run.check(HOME, blocked=True).kind for _ in range(10)]
    assert [kind is HOLD for kind in kinds] == [True] * 6 + [False] * 4
    ahead_m = run.measured[0] - run.path(0)
    believed_m = np.maximum(far_m - WAY_M * np.arange(1, 9), 0.0)
    assert np.all(np.diff(run.path(0)) <= WAY_M * (1 + 1e-9)), (
        "it pulls no faster than an arm moves"
    )
    assert np.all(ahead_m[2:10] <= run.limits.leash_m + believed_m + 1e-9)
    assert ahead_m[-1] == pytest.approx(run.limits.leash_m)


@pytest.mark.parametrize("late", [1, 40])
def test_a_false_pose_after_a_late_tick_is_forgotten_within_two_periods(late):
    """Later is further, but not as far as a lie may be: two periods are made up for."""
    run = armed()
    run.tick += late
    run.measured = moved(by_m=(0.0, 0.2, 0.0))
    assert run.check(HOME, blocked=True).kind is HOLD
    run.measured = HOME
    back = [run.check(HOME, blocked=True) for _ in range(2)]
    assert back[-1].kind is not HOLD
    assert ToolRows().distance(HOME, back[-1].row_D)[0] <= 2 * WAY_M


@pytest.mark.parametrize("lies", [0, 1])
def test_where_only_one_state_was_seen_the_next_takes_its_place(lies):
    """The first one may be the false one: then the leash must not stay there."""
    run, lie_8 = Run(measured=MEASURED), moved(by_m=(0.2, 0.0, 0.0))
    poses = [HOME, HOME, HOME, HOME]
    poses[lies] = lie_8
    for run.measured in poses[: lies + 2]:
        verdict = run.check(HOME, blocked=True)
    ahead_m, _ = ToolRows().distance(HOME, verdict.row_D)
    assert ahead_m <= run.limits.leash_m + 1e-9
    for run.measured in poses[lies + 2 :]:
        verdict = run.check(HOME, blocked=True)
    assert verdict.kind is not HOLD


def test_a_stop_is_not_released_at_a_pose_that_jumped():
    run = armed()
    run.gate.stop(Reason.OPERATOR)
    with pytest.raises(FeelforwardError, match="state_jumped"):
        run.gate.release(state(run.now_ns, moved(by_m=(0.2, 0.0, 0.0))))
    assert run.check(HOME).kind is STOPPED
    run.gate.release(state(run.now_ns, moved(by_m=(0.5 * WAY_M, 0.0, 0.0))))
    assert not run.gate.stopped


@pytest.mark.parametrize("row_D", [np.full(8, np.nan), HOME[:3], "row", None])
def test_a_stop_is_not_released_at_what_is_no_pose(row_D):
    run = armed()
    run.gate.stop(Reason.OPERATOR)
    with pytest.raises(FeelforwardError, match="state_unusable"):
        run.gate.release(state(run.now_ns, row_D))
    assert run.gate.stopped


def test_joints_that_jump_are_not_followed_where_the_arm_has_joints():
    run, joint_J = Run(measured=MEASURED, joints=JOINTS), np.zeros(2)
    run.state = lambda: ArmState(MonoNs(run.now_ns), run.measured, joint_J)
    for _ in range(2):
        assert run.check(HOME).kind is ACCEPTED
    joint_J = np.array([0.0, 0.9 * JOINT * DT_S])
    assert run.check(HOME).kind is ACCEPTED
    joint_J = np.array([0.0, 2.1 * JOINT * DT_S])
    assert run.check(HOME).reasons == (Reason.STATE_JUMPED,)
    assert run.check(HOME).kind is ACCEPTED, "believed: its way in two periods"


def test_joints_of_an_arm_without_are_not_looked_at():
    run, jumps = armed(), np.random.default_rng(0)
    run.state = lambda: replace(state(run.now_ns, HOME), joint_rad_J=jumps.normal(0, 9, 3))
    assert all(run.check(HOME).kind is ACCEPTED for _ in range(5))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), calm=st.booleans())
def test_what_a_gate_that_doubts_gave_a_second_one_lets_pass_bit_for_bit(seed, calm):
    """gate(gate(x)) = gate(x): what is believed follows from the measurements alone."""
    limits = gate_limits(measured=MEASURED)
    told, again = play(seed, limits, calm=calm, stops=False), CommandGate(limits)
    for k, tick in enumerate(told):
        asked = Command(k, MonoNs(tick.now_ns), tick.verdict.row_D, Provenance("again"))
        second = again.check(asked, tick.state, tick.now_ns)
        assert np.array_equal(second.row_D, tick.verdict.row_D)
        assert second.kind in (ACCEPTED, HOLD)
