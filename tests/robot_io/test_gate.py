"""No limit is ever broken, whatever comes; and what keeps the limits passes untouched."""

import time

import numpy as np
import pytest
from control_toys import HOME, LIMITS, PERIOD_NS, command, gate_limits, moved, smooth_row, state
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_io.control.gate import CommandGate, GateLimits, Reason, VectorGate
from robot_io.errors import FeelforwardError
from robot_io.rows import ToolRows, quat_distance_rad, quat_from_rotvec, rotvec_between
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict, VerdictKind

LIM = gate_limits()
ACCEPTED, MODIFIED, HOLD, STOPPED = VerdictKind
DT_S = LIM.period_s


class Run:
    """A gate, its ticks, and an arm that goes where it is told unless a test says otherwise."""

    def __init__(self, **limits: object) -> None:
        self.gate = CommandGate(gate_limits(**limits))
        self.tick = 0
        self.sent: list[np.ndarray] = []
        self.measured = HOME

    @property
    def now_ns(self) -> int:
        return self.tick * PERIOD_NS

    def check(self, row_D: np.ndarray, *, blocked: bool = False) -> Verdict:
        self.tick += 1
        asked = command(self.tick, self.now_ns, row_D)
        verdict = self.gate.check(asked, state(self.now_ns, self.measured), self.now_ns)
        self.sent.append(verdict.row_D)
        if not blocked:
            self.measured = verdict.row_D
        return verdict

    def path(self, column: int) -> np.ndarray:
        return np.array([row[column] for row in self.sent])


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
    far_m, far_rad = ToolRows().distance(HOME, goal_D)
    along_m = (np.array(run.sent)[:, :3] - HOME[:3]) @ (goal_D - HOME)[:3] / far_m
    angle_rad = quat_distance_rad(HOME[3:7], np.array(run.sent)[:, 3:7])
    for way, far, speed, accel in [
        (along_m, far_m, LIM.max_speed_m_per_s, LIM.max_accel_m_per_s2),
        (angle_rad, far_rad, LIM.max_turn_rad_per_s, LIM.max_turn_accel_rad_per_s2),
    ]:
        way = np.concatenate([[0.0, 0.0], way])
        assert way.max() <= far + 1e-9
        assert np.diff(way).max() == pytest.approx(speed * DT_S, rel=1e-5), "limits are used up"
        assert np.abs(np.diff(way, 2)).max() <= accel * DT_S**2 * (1 + 1e-5)
    assert np.array_equal(run.sent[-1], goal_D)


@settings(deadline=None, max_examples=15)
@given(step_m=st.floats(-0.19, 0.19), speed=st.floats(0.02, 2.0), accel=st.floats(0.1, 30.0))
def test_no_step_however_small_or_large_overshoots(step_m, speed, accel):
    run = Run(max_speed_m_per_s=speed, max_accel_m_per_s2=accel, force_max_n=1e9)
    goal_D = moved(by_m=(step_m, 0, 0))
    for _ in range(150):
        run.check(goal_D)
    way = np.concatenate([[0.0], np.sign(step_m) * (run.path(0) - HOME[0])])
    assert way.max() <= abs(step_m) + 1e-12
    assert np.diff(way).min() >= -1e-12, "never back"


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


@pytest.mark.parametrize("name", [name for name in LIMITS if not name.startswith("workspace")])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, None, "fast"])
def test_a_limit_that_is_no_limit_refuses_to_arm(name, value):
    with pytest.raises(ValidationError, match=name):
        gate_limits(**{name: value})


@pytest.mark.parametrize("name", LIMITS)
def test_a_missing_limit_refuses_to_arm(name):
    with pytest.raises(ValidationError, match=name):
        GateLimits.model_validate({key: value for key, value in LIMITS.items() if key != name})


def test_unknown_limits_and_an_empty_workspace_are_refused():
    with pytest.raises(ValidationError, match="max_jerk"):
        gate_limits(max_jerk=1.0)
    with pytest.raises(ValidationError, match="workspace_low_m"):
        gate_limits(workspace_low_m=(0.7, -0.3, 0.05))
    with pytest.raises(ValidationError, match="workspace_high_m"):
        gate_limits(workspace_high_m=(0.7, float("nan"), 0.05))


class Hostile:
    """Ticks at random of everything that can go wrong, around an arm that does as it likes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.measured = HOME
        self.last = HOME

    def row(self) -> np.ndarray:
        rng = self.rng
        near = moved(self.last, by_m=rng.normal(0, 0.01, 3), yaw_rad=rng.normal(0, 0.05))
        far = np.concatenate(
            [rng.normal(0, 1, 3), quat_from_rotvec(rng.normal(0, 3, 3)), rng.normal(0, 1, 1)]
        )
        broken = far.copy()
        broken[rng.integers(8)] = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e300])
        choices = [near, far, self.last, HOME, broken, np.zeros(8), far[:5], np.full(8, np.nan)]
        return choices[rng.choice(len(choices), p=[0.3, 0.3, 0.1, 0.1, 0.08, 0.04, 0.04, 0.04])]

    def state(self, now_ns: int) -> ArmState:
        draw, rng = self.rng.random(), self.rng
        if draw < 0.7:
            self.measured = self.last
        elif draw < 0.72:
            place = rng.uniform(LIM.workspace_low_m, LIM.workspace_high_m)
            self.measured = np.concatenate([place, quat_from_rotvec(rng.normal(0, 3, 3)), [0.04]])
        elif draw < 0.75:
            return state(now_ns, np.full(8, np.nan))
        return state(now_ns, self.measured)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_limit_is_broken_by_any_stream(seed):
    hostile, gate = Hostile(seed), CommandGate(LIM)
    gate.check(command(0, 0, HOME), state(0), 0)
    steps = [(np.zeros(3), np.zeros(3), True)] * 2
    for k in range(1, 150):
        now_ns = k * PERIOD_NS
        measured = hostile.state(now_ns)
        draw = hostile.rng.random()
        if draw < 0.03:
            gate.stop("test")
        elif gate.stopped and draw < 0.2 and np.isfinite(measured.row_D).all():
            gate.release(measured)
            hostile.last = measured.row_D
            steps = [(np.zeros(3), np.zeros(3), True)] * 2
        asked = Command(k, MonoNs(now_ns), hostile.row(), Provenance("hostile"))
        verdict = (
            gate.hold("test", measured, now_ns)
            if draw > 0.95
            else gate.check(asked, measured, now_ns)
        )
        steps.append(_assert_limits(hostile.last, verdict, measured))
        _assert_acceleration(*steps[-2:])
        hostile.last = verdict.row_D


def _assert_limits(
    last_D: np.ndarray, verdict: Verdict, measured: ArmState
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Place, speed and force of one tick; returns its steps, and whether the leash made them."""
    row_D = verdict.row_D
    assert ToolRows().fault(row_D) is None
    assert np.all(row_D[:3] >= LIM.workspace_low_m) and np.all(row_D[:3] <= LIM.workspace_high_m)
    assert 0 <= row_D[7] <= LIM.max_width_m
    assert abs(row_D[7] - last_D[7]) <= LIM.max_width_speed_m_per_s * DT_S * (1 + 1e-5)
    if np.isfinite(measured.row_D).all():
        ahead_m, ahead_rad = ToolRows().distance(measured.row_D, row_D)
        assert ahead_m <= LIM.leash_m + 1e-9 and ahead_rad <= LIM.leash_rad + 1e-7
    step_3, turn_3 = row_D[:3] - last_D[:3], rotvec_between(last_D[3:7], row_D[3:7])
    leashed = bool({Reason.LEASH_FORCE, Reason.LEASH_TORQUE} & set(verdict.reasons))
    if not leashed:
        assert np.linalg.norm(step_3) <= LIM.max_speed_m_per_s * DT_S * (1 + 1e-5)
        assert np.linalg.norm(turn_3) <= LIM.max_turn_rad_per_s * DT_S * (1 + 1e-5)
    return step_3, turn_3, leashed


def _assert_acceleration(before: tuple, now: tuple) -> None:
    if before[2] or now[2]:
        return  # force comes first: the leash may pull harder than a limit on comfort
    accel, turn_accel = LIM.max_accel_m_per_s2, LIM.max_turn_accel_rad_per_s2
    assert np.linalg.norm(now[0] - before[0]) <= accel * DT_S**2 * (1 + 1e-5) + 1e-12
    assert np.linalg.norm(now[1] - before[1]) <= turn_accel * DT_S**2 * (1 + 1e-5) + 1e-9


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_speed_place_and_force_are_kept_when_ticks_come_irregularly(seed):
    hostile, gate, now_ns = Hostile(seed), CommandGate(LIM), 0
    gate.check(command(0, 0, HOME), state(0), 0)
    for k in range(1, 150):
        dt_ns = int(hostile.rng.choice([1, 5, 9, 10, 11, 20, 35, 400])) * 1_000_000
        now_ns += dt_ns
        measured = hostile.state(now_ns)
        verdict = gate.check(command(k, now_ns, hostile.row()), measured, now_ns)
        step_m, _ = ToolRows().distance(hostile.last, verdict.row_D)
        allowed_s = min(dt_ns * 1e-9, 2 * DT_S)
        if Reason.LEASH_FORCE not in verdict.reasons:
            assert step_m <= LIM.max_speed_m_per_s * allowed_s * (1 + 1e-5)
        assert np.all(verdict.row_D[:3] >= LIM.workspace_low_m)
        assert np.all(verdict.row_D[:3] <= LIM.workspace_high_m)
        hostile.last = verdict.row_D


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


def test_the_vector_gate_keeps_the_box_and_refuses_garbage():
    gate = VectorGate(np.zeros(2), np.full(2, 512.0))
    here = ArmState(MonoNs(0), np.array([100.0, 200.0]), np.empty(0))
    inside_D = np.array([0.0, 512.0])
    assert gate.check(command(1, 0, inside_D), here, 0).row_D is inside_D
    outside = gate.check(command(2, 0, np.array([-3.0, 600.0])), here, 0)
    assert outside.kind is MODIFIED and np.array_equal(outside.row_D, inside_D)
    assert outside.reasons == (Reason.WORKSPACE,)
    for row_D, reason in [
        (np.array([np.nan, 1.0]), Reason.NOT_FINITE),
        (np.zeros(3), Reason.SHAPE),
        (None, Reason.SHAPE),
    ]:
        verdict = gate.check(command(3, 0, row_D), here, 0)
        assert (verdict.kind, verdict.reasons) == (HOLD, (reason,))
        assert np.array_equal(verdict.row_D, inside_D)


def test_the_vector_gate_starts_where_it_is_measured_and_latches_its_stop():
    gate = VectorGate(np.zeros(2), np.full(2, 512.0))
    here = ArmState(MonoNs(0), np.array([100.0, 200.0]), np.empty(0))
    assert np.array_equal(gate.hold(Reason.NO_PLAN, here, 0).row_D, here.row_D)
    gate.stop(Reason.OPERATOR)
    verdict = gate.check(command(1, 0, np.zeros(2)), here, 0)
    assert (verdict.kind, verdict.reasons) == (STOPPED, (Reason.OPERATOR,))
    gate.release(here)
    assert gate.check(command(2, 0, np.zeros(2)), here, 0).kind is ACCEPTED
    with pytest.raises(ValueError, match="below"):
        VectorGate(np.zeros(2), np.zeros(2))
