"""What the gate makes of motions, of broken commands and states, and of a stop."""

import time

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, gate_limits, moved, smooth_row, state
from gate_toys import ACCEPTED, DT_S, HOLD, MODIFIED, STOPPED, Run, assert_kept, motion_of
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.rows import ToolRows, quat_distance_rad

LIM = gate_limits()
PAST_M = 1e-5  # so far may a planned step miss: positions are sums, ruckig's are integrals


def test_a_legal_stream_passes_bit_for_bit():
    run = Run()
    for k in range(700):
        row_D = smooth_row(k * DT_S)
        verdict = run.check(row_D)
        assert verdict.kind is ACCEPTED and verdict.row_D is row_D and not verdict.reasons


def test_the_sign_of_a_quaternion_does_not_matter():
    run = Run()
    run.check(HOME)
    flipped = HOME * np.where(np.arange(8) // 4 == 1, -1, 1)
    flipped[3:7] = -HOME[3:7]
    flipped[7] = HOME[7]
    verdict = run.check(flipped)
    assert verdict.kind is ACCEPTED and np.array_equal(verdict.row_D, flipped)


def test_a_step_is_approached_within_all_limits_and_without_overshoot():
    run, goal_D = Run(), moved(by_m=(0.2, 0.05, -0.1), yaw_rad=1.0)
    for _ in range(150):
        run.check(goal_D)
    sent_N8 = np.array(run.sent)
    assert_kept(sent_N8, LIM)
    far_m, far_rad = ToolRows().distance(HOME, goal_D)
    along_m = (sent_N8[:, :3] - HOME[:3]) @ (goal_D - HOME)[:3] / far_m
    assert along_m.max() <= far_m + PAST_M
    assert quat_distance_rad(HOME[3:7], sent_N8[:, 3:7]).max() <= far_rad + PAST_M
    used = motion_of(sent_N8)
    assert used["speed"].max() > 0.99 * LIM.max_speed_m_per_s, "limits are used up"
    assert used["turn_accel"].max() > 0.99 * LIM.max_turn_accel_rad_per_s2
    assert np.array_equal(run.sent[-1], goal_D)


STEPS_M = st.floats(1e-6, 0.19) | st.floats(1e-6, 1e-3)  # the small ones take a few ticks only


@settings(deadline=None, max_examples=30)
@given(STEPS_M, st.sampled_from([-1, 1]), st.floats(0.02, 2.0), st.floats(0.1, 30.0))
def test_no_step_however_small_or_large_overshoots(step_m, way, speed, accel):
    """One that is as small as the first row of a legal motion may be passes at once. Nobody knows
    then that it was all: what follows leads no further past it than the row itself led."""
    run = Run(max_speed_m_per_s=speed, max_accel_m_per_s2=accel, force_max_n=1e9)
    goal_D = moved(by_m=(way * step_m, 0, 0))
    verdicts = [run.check(goal_D) for _ in range(150)]
    past_m = step_m if verdicts[0].kind is ACCEPTED else PAST_M
    way_m = np.concatenate([[0.0], way * (run.path(0) - HOME[0])])
    assert way_m.max() <= step_m + past_m
    assert np.diff(way_m).min() >= -past_m, "never back"


@pytest.mark.parametrize("step_mm", [0.11, 0.19, 0.21, 0.2885, 0.37])
def test_a_step_of_a_few_ticks_is_no_motion_that_goes_on(step_mm):
    """0.2 mm in a tick is as much as the jerk allows; what is less passes, what is more is a jump
    though its speed and acceleration are legal."""
    run, goal_D = Run(), moved(by_m=(step_mm / 1e3, 0, 0))
    for _ in range(20):
        verdict = run.check(goal_D)
    assert verdict.kind is ACCEPTED and np.array_equal(verdict.row_D, goal_D)
    past_m = (run.path(0) - HOME[0]).max() - step_mm / 1e3
    assert past_m <= (step_mm / 1e3 if step_mm < 0.2 else PAST_M)


def test_a_stream_that_was_cut_short_is_caught_up_with_and_then_followed_without_lag():
    run = Run()
    for k in range(300):
        run.check(smooth_row(k * DT_S + (0.05 if k > 50 else 0.0)))
    verdict = run.check(smooth_row(300 * DT_S + 0.05))
    assert verdict.kind is ACCEPTED


def test_a_target_that_jumps_about_is_not_made_worse():
    run, noise_m = Run(), np.random.default_rng(0).normal(0, 0.01, 400)
    for jump_m in noise_m:
        run.check(moved(by_m=(jump_m, 0, 0)))
    assert run.path(0).std() < noise_m.std()


def test_a_legal_motion_towards_a_corner_brakes_before_both_walls():
    """Without braking ahead the last tick before the wall would be as fast as the first."""
    run, corner_m = Run(), np.array([0.25, 0.30, 0.0])
    for k in range(250):
        time_s = k * DT_S  # 2 m/s² up to 0.4 m/s
        along_m = time_s**2 if time_s < 0.2 else 0.04 + 0.4 * (time_s - 0.2)
        run.check(moved(by_m=corner_m / np.linalg.norm(corner_m) * along_m))
    path_N3 = np.array([HOME[:3], HOME[:3], *np.array(run.sent)[:, :3]])
    assert np.allclose(path_N3[-1, :2], LIM.workspace_high_m[:2], rtol=0, atol=1e-9)
    assert np.all(path_N3 <= LIM.workspace_high_m)
    accel_N = np.linalg.norm(np.diff(path_N3, 2, axis=0), axis=1) / DT_S**2
    assert accel_N.max() <= LIM.max_accel_m_per_s2 * (1 + 1e-5)


@pytest.mark.parametrize("braking_from", range(40, 60, 2))
def test_ticks_that_come_early_lead_no_braking_tool_through_a_wall(braking_from):
    """The way to rest is judged at whole periods; between them it may lead a bit further."""
    run = Run(force_max_n=1e3)
    for _ in range(braking_from):
        row_8 = run.check(moved(by_m=(0.4, 0, 0))).row_D
    now_ns = run.now_ns
    for _ in range(200):
        now_ns += PERIOD_NS // 10
        verdict = run.gate.hold("no_plan", state(now_ns, row_8), now_ns)
        assert verdict.row_D[0] <= LIM.workspace_high_m[0]


def test_a_motion_still_accelerating_at_the_speed_limit_is_softened_before():
    """Each step up to the limit is legal; but then the acceleration could not run out in time."""
    run, speed, place, accel = Run(max_jerk_m_per_s3=50.0), 0.0, 0.0, 0.0
    for _ in range(60):
        accel = min(accel + 50.0 * DT_S, LIM.max_accel_m_per_s2)
        speed = min(speed + accel * DT_S, LIM.max_speed_m_per_s)
        place += speed * DT_S
        run.check(moved(by_m=(place, 0, 0)) if place < 0.08 else np.full(8, np.nan))
    assert_kept(np.array(run.sent), run.limits)
    assert motion_of(np.array(run.sent))["speed"].max() > 0.9 * LIM.max_speed_m_per_s


def test_a_jump_is_changed_for_all_the_reasons_it_has():
    verdict = Run().check(moved(by_m=(0.04, 0, 0), yaw_rad=0.2))
    halves = {Reason.SPEED, Reason.ACCELERATION, Reason.JERK}
    turning = {Reason.TURN_SPEED, Reason.TURN_ACCELERATION, Reason.TURN_JERK}
    assert set(verdict.reasons) == halves | turning


@pytest.mark.parametrize(("asked_m", "given_m"), [(1.0, LIM.max_width_m), (-1.0, 0.0)])
def test_the_gripper_opens_and_closes_no_further_and_no_faster_than_it_can(asked_m, given_m):
    run, asked_D = Run(), HOME.copy()
    asked_D[7] = asked_m
    for _ in range(60):
        verdict = run.check(asked_D)
    assert Reason.WIDTH in verdict.reasons and verdict.row_D[7] == given_m
    step_m = LIM.max_width_speed_m_per_s * DT_S
    assert np.abs(np.diff(run.path(7))).max() == pytest.approx(step_m)


def test_a_blocked_arm_is_pushed_with_no_more_than_the_force_allowed():
    """A rate-limited command walked away from a blocked arm: 250 N with all checks green."""
    run = Run()
    for k in range(300):
        verdict = run.check(moved(by_m=(0, 0, -0.001 * k), yaw_rad=0.01 * k), blocked=True)
    ahead_m, ahead_rad = ToolRows().distance(HOME, verdict.row_D)
    assert ahead_m * LIM.stiffness_n_per_m == pytest.approx(LIM.force_max_n)
    assert ahead_rad * LIM.stiffness_nm_per_rad == pytest.approx(LIM.torque_max_nm)
    assert set(verdict.reasons) >= {Reason.LEASH_FORCE, Reason.LEASH_TORQUE}
    assert verdict.moved_m > 0.2 and verdict.turned_rad > 1


def test_a_pushed_arm_takes_its_command_along():
    run = Run()
    run.check(HOME)
    run.measured = moved(by_m=(0.2, 0, 0))
    verdict = run.check(HOME, blocked=True)
    assert ToolRows().distance(verdict.row_D, run.measured)[0] == pytest.approx(LIM.leash_m)


@pytest.mark.parametrize(
    ("row_D", "reason"),
    [
        (np.full(8, np.nan), Reason.NOT_FINITE),
        (np.where(np.arange(8) == 7, np.inf, HOME), Reason.NOT_FINITE),
        (np.where(np.arange(8) == 0, -np.inf, HOME), Reason.NOT_FINITE),
        (np.where(np.arange(8) == 5, np.nan, HOME), Reason.NOT_FINITE),
        (np.zeros(8), Reason.NOT_UNIT),
        (HOME * 1.01, Reason.NOT_UNIT),
        (HOME[:7], Reason.SHAPE),
        (HOME[None], Reason.SHAPE),
        (HOME.astype(int), Reason.SHAPE),
        (HOME.astype(object), Reason.SHAPE),
        (HOME.astype(np.longdouble), Reason.SHAPE),  # its numbers are no floats of Python
        (None, Reason.SHAPE),
        (list(HOME), Reason.SHAPE),
    ],
)
def test_an_unusable_command_is_held_with_its_reason(row_D, reason):
    run = Run()
    run.check(HOME)
    verdict = run.check(row_D)
    assert (verdict.kind, verdict.reasons) == (HOLD, (reason,))
    assert np.array_equal(verdict.row_D, HOME)


def test_a_hold_in_the_middle_of_a_motion_brakes_within_the_limits():
    run = Run()
    for k in range(60):
        run.check(smooth_row(k * DT_S))
    for _ in range(60):
        verdict = run.check(np.full(8, np.nan))
    assert verdict.kind is HOLD
    steps_N3 = np.diff(np.array(run.sent)[:, :3], axis=0)
    accel_N = np.linalg.norm(np.diff(steps_N3, axis=0), axis=1) / DT_S**2
    assert accel_N.max() <= LIM.max_accel_m_per_s2 * (1 + 1e-5)
    assert np.array_equal(run.sent[-1], run.sent[-2]), "at rest, bit for bit"


@pytest.mark.parametrize("row_D", [np.full(8, np.nan), np.zeros(8), HOME[:3], None])
def test_an_arm_whose_first_pose_is_unusable_is_not_armed(row_D):
    gate = CommandGate(LIM)
    with pytest.raises(FeelforwardError, match="not armed"):
        gate.check(command(1, 0, HOME), state(0, row_D), 0)
    with pytest.raises(FeelforwardError, match="not armed"):
        gate.hold(Reason.NO_PLAN, state(0, row_D), 0)


@pytest.mark.parametrize("row_D", [np.full(8, np.nan), np.zeros(8), HOME[:3]])
def test_an_unusable_measured_pose_holds(row_D):
    run = Run()
    run.check(HOME)
    run.measured = row_D
    verdict = run.check(smooth_row(DT_S), blocked=True)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.STATE_UNUSABLE,))
    assert np.array_equal(verdict.row_D, HOME)


def test_the_first_command_of_a_session_starts_at_the_measured_pose():
    run = Run()
    run.measured = moved(by_m=(0.1, 0.1, 0.0))
    verdict = run.check(HOME)
    assert ToolRows().distance(verdict.row_D, moved(by_m=(0.1, 0.1, 0.0)))[0] < 1e-3
    assert verdict.kind is MODIFIED


@pytest.mark.parametrize(
    ("sequence", "due_ms", "reason"),
    [
        (1, 20, Reason.SEQUENCE),
        (0, 20, Reason.SEQUENCE),
        (2, -31, Reason.EXPIRED),
        (2, 71, Reason.CLOCK),
    ],
)
def test_old_repeated_and_future_commands_are_held(sequence, due_ms, reason):
    gate = CommandGate(LIM)
    gate.check(command(1, 10_000_000, HOME), state(10_000_000), 10_000_000)
    late = command(sequence, due_ms * 1_000_000, HOME)
    verdict = gate.check(late, state(20_000_000), 20_000_000)
    assert (verdict.kind, verdict.reasons) == (HOLD, (reason,))


@pytest.mark.parametrize("now_ns", [PERIOD_NS, PERIOD_NS // 2, -PERIOD_NS])
def test_a_clock_that_does_not_advance_holds(now_ns):
    gate = CommandGate(LIM)
    gate.check(command(1, PERIOD_NS, HOME), state(PERIOD_NS), PERIOD_NS)
    verdict = gate.check(command(2, now_ns, moved(by_m=(1e-4, 0, 0))), state(now_ns), now_ns)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.CLOCK,))


def test_a_stall_is_not_made_up_for_with_a_leap():
    run = Run()
    for k in range(60):
        run.check(smooth_row(k * DT_S))
    run.tick += 50
    before_D = run.sent[-1]
    verdict = run.check(smooth_row(110 * DT_S))
    step_m, _ = ToolRows().distance(before_D, verdict.row_D)
    assert step_m <= 2 * DT_S * LIM.max_speed_m_per_s * (1 + 1e-5)


def test_a_stop_is_latched_until_a_person_releases_it_at_the_measured_pose():
    """Polymetis recovers after each reflex, for ever."""
    run = Run()
    for k in range(60):
        run.check(smooth_row(k * DT_S))
    run.gate.stop(Reason.OPERATOR)
    run.gate.stop("something else")
    for k in range(60, 120):
        verdict = run.check(smooth_row(k * DT_S))
        assert (verdict.kind, verdict.reasons) == (STOPPED, (Reason.OPERATOR,))
    assert np.array_equal(run.sent[-1], run.sent[-2])
    run.tick += 1
    held = run.gate.hold(Reason.NO_PLAN, state(run.now_ns, run.measured), run.now_ns)
    assert held.kind is STOPPED
    elsewhere_D = moved(by_m=(-0.1, 0, 0.1))
    with pytest.raises(FeelforwardError):
        run.gate.release(state(run.now_ns, np.full(8, np.nan)))
    assert run.gate.stopped
    run.gate.release(state(run.now_ns, elsewhere_D))
    run.measured = elsewhere_D
    verdict = run.check(elsewhere_D)
    assert verdict.kind is ACCEPTED and verdict.row_D is elsewhere_D


def test_a_check_takes_a_small_part_of_a_tick():
    costs_s = []
    for row_of in (lambda k: smooth_row(k * DT_S), lambda k: moved(by_m=(0.2, 0.1, 0.1))):
        run = Run()
        for k in range(300):
            row_D = row_of(k)
            begin_s = time.thread_time()
            run.check(row_D)
            costs_s.append(time.thread_time() - begin_s)
    assert np.median(costs_s) < 200e-6
