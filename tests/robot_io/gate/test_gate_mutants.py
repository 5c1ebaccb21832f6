"""What `bench gate` and `bench mutants` found that no other test of the gate held."""

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, moved, state
from gate_toys import ACCEPTED, DT_S, HOLD, Run, assert_kept

from robot_io.errors import FeelforwardError
from robot_io.gate import gate as gate_module
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason


@pytest.mark.parametrize("x_m", [1e300, -1e300, 200.0, 2.01])
def test_a_measured_pose_that_no_arm_reaches_is_unusable_and_pulls_no_command_there(x_m):
    """`bench gate`, seed 0, stretch 0: the leash gave the arm a command at 1.7e308 m."""
    run, lie = Run(), HOME.copy()
    run.check(HOME)
    lie[0] = x_m
    run.measured = lie
    verdict = run.check(HOME, blocked=True)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.STATE_UNUSABLE,))
    assert np.array_equal(verdict.row_D, HOME)
    with pytest.raises(FeelforwardError, match="not armed"):
        CommandGate(run.limits).check(command(1, 0, HOME), state(0, lie), 0)


@pytest.mark.parametrize("held", [True, False])
def test_a_command_that_was_dragged_outside_does_not_jump_back_to_the_border(held):
    """`bench gate`, seed 0, stretch 123: a rest point outside was clipped to the border at once."""
    run, leash_m = Run(), Run().limits.leash_m
    for k in range(40):  # a hand pushes the arm out of the workspace, slower than the speed limit
        run.measured = moved(by_m=(0.20 + 0.004 * k, 0.0, 0.0))
        run.check(HOME, blocked=True)
    outside_m = run.sent[-1][0] - run.limits.workspace_high_m[0]
    assert outside_m > leash_m / 4
    here_D = run.sent[-1]
    run.measured = here_D
    for _ in range(20):
        before_D = run.sent[-1]
        run.check(np.full(8, np.nan) if held else HOME, blocked=True)
        step_m = np.linalg.norm(run.sent[-1][:3] - before_D[:3])
        assert step_m <= run.limits.max_speed_m_per_s * run.limits.period_s * (1 + 1e-5)
    assert run.now_ns == 60 * PERIOD_NS


def test_a_pull_that_ends_is_followed_by_braking_and_not_by_a_standstill():
    """`bench mutants`: nobody noticed when every pull ended at rest."""
    run, speed_m_per_s = Run(), 0.2
    for k in range(60):  # a hand leads the arm away, slower than the speed limit; then it rests
        by_m = Run().limits.leash_m + speed_m_per_s * DT_S * min(k, 30)
        run.measured = moved(by_m=(by_m, 0.0, 0.0))
        run.check(np.full(8, np.nan), blocked=True)
    steps_m = np.diff(run.path(0))
    assert steps_m[25] == pytest.approx(speed_m_per_s * DT_S)
    accel_N = np.diff(steps_m[25:]) / DT_S**2
    assert accel_N.min() >= -run.limits.max_accel_m_per_s2 * (1 + 1e-5)
    assert np.abs(np.diff(accel_N)).max() / DT_S <= run.limits.max_jerk_m_per_s3 * (1 + 1e-5)
    assert steps_m[-1] == 0


def test_the_leash_holds_also_when_no_time_went_by():
    run = Run()
    run.check(HOME)
    far = state(run.now_ns, moved(by_m=(0.15, 0.0, 0.0), yaw_rad=1.0))
    verdict = run.gate.check(command(9, run.now_ns, HOME), far, run.now_ns)
    assert verdict.kind is HOLD
    assert set(verdict.reasons) == {Reason.CLOCK, Reason.LEASH_FORCE, Reason.LEASH_TORQUE}
    assert far.row_D[0] - verdict.row_D[0] == pytest.approx(run.limits.leash_m)


@pytest.mark.parametrize(("later_ns", "kind"), [(5_000, HOLD), (50_000, ACCEPTED)])
def test_a_thousandth_of_a_period_is_the_shortest_tick(later_ns, kind):
    run = Run()
    run.check(HOME)
    now_ns = run.now_ns + later_ns
    assert run.gate.check(command(2, now_ns, HOME), state(now_ns), now_ns).kind is kind


def test_what_would_come_out_broken_is_held_instead(monkeypatch: pytest.MonkeyPatch):
    run, patched = Run(), gate_module.patched
    run.check(HOME)
    broken = [np.full(8, np.nan)]
    monkeypatch.setattr(
        gate_module, "patched", lambda *of: broken.pop() if broken else patched(*of)
    )
    verdict = run.check(HOME)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.NOT_FINITE,))
    assert np.array_equal(verdict.row_D, HOME)


def test_a_command_at_the_very_end_of_the_leash_is_no_reason_to_drop_its_chunk():
    on_violation = Run().limits.on_violation.model_dump() | {"leash": "reject_chunk"}
    clipping, rejecting = Run(), Run(on_violation=on_violation)
    for run in (clipping, rejecting):
        run.check(HOME)
        run.measured = moved(by_m=(0.2, 0.0, 0.0))
    pulled_8 = clipping.check(HOME, blocked=True).row_D
    assert rejecting.check(pulled_8, blocked=True, chunk_id=1).kind is ACCEPTED


def test_a_target_that_runs_away_is_followed_at_the_very_speed_limit():
    """Chased in its own frame, as if it could be caught, it makes the gate try steps in vain."""
    run = Run(force_max_n=1e3, workspace_high_m=(9.0, 9.0, 9.0))
    for k in range(75):
        run.check(moved(by_m=(1.5 * DT_S * k, 0.0, 0.0)))
    speeds_N = np.diff(run.path(0))[20:] / DT_S
    assert speeds_N == pytest.approx(run.limits.max_speed_m_per_s, rel=1e-3)


@pytest.mark.parametrize("share", [0.93, 0.99, 1.0])
def test_a_fast_command_near_the_end_of_the_leash_brakes_no_further_than_its_end(share):
    run = Run()
    for _ in range(25):
        run.check(moved(by_m=(0.25, 0.0, 0.0)))
    assert np.diff(run.path(0))[-1] > 0.9 * run.limits.max_speed_m_per_s * DT_S
    run.measured = moved(run.sent[-1], by_m=(-share * run.limits.leash_m, 0.0, 0.0))
    for row_D in (np.full(8, np.nan), moved(by_m=(0.25, 0.0, 0.0))):
        verdict = run.check(row_D, blocked=True)
        assert verdict.row_D[0] - run.measured[0] <= run.limits.leash_m * (1 + 1e-9)


def test_the_command_of_a_blocked_arm_comes_to_rest_at_the_end_of_the_leash_within_the_limits():
    """Stepped onto at once, the end would be left again by braking, or by the leash."""
    run = Run()
    for _ in range(60):
        run.check(moved(by_m=(0.2, 0.0, 0.0)), blocked=True)
    assert_kept(np.array(run.sent), run.limits)
    assert run.sent[-1][0] - HOME[0] == pytest.approx(run.limits.leash_m)


@pytest.mark.parametrize(("jerk", "seed"), [(200.0, 0), (200.0, 7), (400.0, 0), (400.0, 2)])
def test_a_target_that_was_caught_up_with_stays_caught(jerk, seed):
    """It jumps a little and goes on evenly. Who steps onto it must be able to go on with it."""
    rng, run, at_m = np.random.default_rng(seed), Run(max_jerk_m_per_s3=jerk, force_max_n=1e3), 0.0
    run.check(HOME)
    for _ in range(6):
        at_m += rng.choice([-1, 1]) * 10 ** rng.uniform(-4.3, -2)
        speed_m_per_s, kinds = rng.uniform(-0.1, 0.1), []
        for _ in range(40):
            at_m += speed_m_per_s * DT_S
            kinds.append(run.check(moved(by_m=(at_m, 0.0, 0.0))).kind)
        late = kinds[2:]  # who follows a jump of the first tick may have to let it go
        assert all(kind is ACCEPTED for kind in late[late.index(ACCEPTED) :])
        at_m = run.sent[-1][0] - HOME[0]


@pytest.mark.parametrize("braking_from", [72, 74])
def test_a_wall_that_ticks_come_too_early_for_stops_no_motion_along_it(braking_from):
    """What leads beyond the border between two periods is clipped to it, and goes on beside it."""
    run, tenth_ns = Run(force_max_n=1e3), PERIOD_NS // 10
    for _ in range(braking_from):
        row_8 = run.check(moved(by_m=(0.4, 0.25, 0))).row_D
    now_ns, rows = run.now_ns, []
    for _ in range(200):
        now_ns += tenth_ns
        rows.append(run.gate.hold("no_plan", state(now_ns, row_8), now_ns).row_D)
    path_N3 = np.array(rows)[:, :3]
    assert path_N3[:, 0].max() == pytest.approx(run.limits.workspace_high_m[0], abs=1e-9)
    speed_N = np.diff(path_N3[:, 1]) / (DT_S / 10)
    assert np.abs(np.diff(speed_N)).max() <= run.limits.max_accel_m_per_s2 * DT_S / 10 * (1 + 1e-4)


def test_a_tool_that_was_dragged_outside_brakes_there_within_the_limits():
    run, x_m = Run(), 0.2
    for k in range(100):  # out of the workspace, then along it and slowly back
        x_m += 0.004 if k < 40 else -0.0005
        run.measured = moved(by_m=(x_m, 0.003 * max(k - 40, 0), 0.0))
        run.check(np.full(8, np.nan), blocked=True)
    assert run.sent[-1][0] > run.limits.workspace_high_m[0] + 0.05
    for _ in range(40):
        run.check(np.full(8, np.nan), blocked=True)
    velocity_N3 = np.diff(np.array(run.sent)[97:, :3], axis=0) / DT_S
    accel_N = np.linalg.norm(np.diff(velocity_N3, axis=0), axis=1) / DT_S
    assert velocity_N3[0][1] == pytest.approx(0.3, rel=0.05)
    assert accel_N[1:].max() <= run.limits.max_accel_m_per_s2 * (1 + 1e-5)
    assert not velocity_N3[-1].any()
