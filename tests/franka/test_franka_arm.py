"""The Franka driver against the test bench, over libfranka's own protocol on loopback."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from textwrap import dedent

import numpy as np
import pytest
from franka_parts import (
    CLOCK,
    ROBOT,
    arm_on,
    circle,
    forward,
    hold,
    run_chunks,
    wait_for,
)

from robot_io.clock import NS_PER_S
from robot_io.control.loop import Rung
from robot_io.devices.franka_faults import FrankaLinkError, FrankaStoppedError, import_sdk
from robot_io.errors import FeelforwardError
from robot_io.session.watchdog import NO_TARGET, REQUESTED
from scripts.checkpoints import REPOSITORY
from sim.franka_process import FrankaProcess, free_address

pytestmark = pytest.mark.slow

MAX_AGE_S = ROBOT.arm.max_target_age_s
COMMUNICATION_CONSTRAINTS_VIOLATION = 25
WALL_X_M = 0.50  # the hand touches it after 2 cm


@pytest.fixture(scope="module")
def shared() -> Iterator[FrankaProcess]:
    with FrankaProcess() as bench:
        yield bench


@pytest.fixture
def bench(shared: FrankaProcess) -> FrankaProcess:
    """The bench in good order: a person has recovered it from what the last test did."""
    if shared.newest().error is not None:
        recover(shared)
    return shared


def recover(bench: FrankaProcess) -> None:
    sdk = import_sdk()
    sdk.Robot(bench.address, realtime_config=sdk.RealtimeConfig.Ignore).recover_from_errors()
    wait_for(lambda: bench.newest().error is None, 1.0)


def test_chunks_through_buffer_loop_and_gate_move_the_arm(bench: FrankaProcess) -> None:
    with arm_on(bench) as arm:
        run = run_chunks(arm, circle, 3.0)
        assert arm.stopped_by is None
    assert sum(tick.rung is Rung.PLAN for tick in run.ticks) > 0.95 * len(run.ticks)
    assert np.ptp([state.row_D[1] for state in run.states]) > 0.02  # m: it went round
    assert run.error_m.max() < ROBOT.gate.leash_m
    assert np.percentile(run.age_s, 90) < ROBOT.loop.max_state_age_s
    assert bench.newest().error is None


def test_a_push_against_a_wall_keeps_the_force_and_is_no_reflex() -> None:
    with FrankaProcess(wall_x_m=WALL_X_M) as bench, arm_on(bench) as arm:
        run = run_chunks(arm, forward, 3.0)
        assert arm.stopped_by is None  # at once: without new targets its watchdog will stop it
        pushed_n = [truth.force_n for truth in bench.unseen()][-300:]
        assert bench.newest().error is None
    assert {tick.rung for tick in run.ticks[-50:]} == {Rung.PLAN}
    assert 0.9 * ROBOT.gate.force_max_n < np.median(pushed_n) <= 1.05 * ROBOT.gate.force_max_n


def test_the_spring_keeps_its_leash_even_without_a_gate() -> None:
    with FrankaProcess(wall_x_m=WALL_X_M) as bench, arm_on(bench, hand=None) as arm:
        run_chunks(arm, forward, 1.5)
        row_D = arm.read().row_D.copy()
        row_D[0] += 1.0
        bench.unseen()
        for _ in range(100):
            arm.command(row_D)
            CLOCK.sleep_until(CLOCK.now_ns() + 10_000_000)
        pushed_n = [truth.force_n for truth in bench.unseen()]
        assert bench.newest().error is None
    assert np.median(pushed_n[-300:]) <= 1.05 * ROBOT.gate.force_max_n
    assert max(pushed_n) <= 2.1 * ROBOT.gate.force_max_n  # a spring and a damper


def test_a_reflex_of_the_arm_is_told_and_latched_until_a_person_recovers_it() -> None:
    with FrankaProcess(wall_x_m=WALL_X_M) as bench:
        with arm_on(bench, reflex_force_n=8.0) as arm:
            with pytest.raises(FrankaStoppedError, match=r"cartesian_reflex.*--recover"):
                run_chunks(arm, forward, 3.0)
            with pytest.raises(FrankaStoppedError, match="cartesian_reflex"):
                arm.command(np.zeros(8))
        refused = arm_on(bench)
        with pytest.raises(FrankaStoppedError, match=r"Reflex.*--recover"):
            refused.__enter__()
        with pytest.raises(FeelforwardError, match="Enter it first"):
            refused.read()
        recover(bench)
        with arm_on(bench) as arm:
            hold(arm, 0.1)
            assert arm.stopped_by is None


def test_a_stop_brings_a_moving_arm_to_rest_and_ends_its_commands(bench: FrankaProcess) -> None:
    with arm_on(bench) as arm:
        run_chunks(arm, circle, 1.0)
        arm.stop()
        rest_s = wait_for(lambda: not bench.newest().in_motion, 1.5)
        assert rest_s < 0.5  # the loop in C++ alone would take longer
        hold(arm, 0.3)
        assert arm.stopped_by == REQUESTED
        assert not bench.newest().in_motion
        assert (CLOCK.now_ns() - arm.read().stamp_ns) / NS_PER_S < 0.1  # it is still told
        arm.__exit__()
        arm.__exit__()


def test_an_arm_that_nobody_commands_any_more_stops_by_itself(bench: FrankaProcess) -> None:
    with arm_on(bench) as arm:
        hold(arm, 0.2)
        tripped_s = wait_for(lambda: arm.stopped_by is not None, 1.0)
        assert arm.stopped_by == NO_TARGET
        assert 0.5 * MAX_AGE_S < tripped_s < MAX_AGE_S + 0.1
        wait_for(lambda: not bench.newest().in_motion, 1.0)


def test_the_loop_in_c_stops_the_arm_when_python_hangs(bench: FrankaProcess) -> None:
    with arm_on(bench) as arm:
        hold(arm, 0.2)
        bench.unseen()
        ctypes.PyDLL(None).usleep(900_000)  # with the interpreter's lock held: no thread runs
        truths = bench.unseen()
        assert truths[0].in_motion
        assert not truths[-1].in_motion
        wait_for(lambda: arm.stopped_by == NO_TARGET, 1.0)


def test_a_killed_driver_leaves_an_arm_that_has_stopped_itself(bench: FrankaProcess) -> None:
    code = f"""
        import sys
        sys.path.insert(0, "tests/franka")
        from franka_parts import FrankaProcess, arm_on, hold
        bench = FrankaProcess(address="{bench.address}")
        with arm_on(bench) as arm:
            hold(arm, 0.3)
            print("moving", flush=True)
            hold(arm, 60)
    """
    driver = subprocess.Popen(
        [sys.executable, "-c", dedent(code)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "moving\n"
    os.kill(driver.pid, signal.SIGSTOP)  # frozen first: the link falls silent, not closed
    wait_for(lambda: bench.newest().error == COMMUNICATION_CONSTRAINTS_VIOLATION, 0.5)
    driver.kill()
    driver.wait()
    driver.stdout.close()
    with pytest.raises(FrankaStoppedError, match="communication_constraints_violation"):
        arm_on(bench).__enter__()


def test_a_silent_arm_is_noticed_by_its_stamps_at_once_and_then_by_its_link() -> None:
    with FrankaProcess() as bench, arm_on(bench) as arm:
        hold(arm, 0.3)
        last = state = arm.read()
        bench.pause()
        for _ in range(30):
            begun_ns = CLOCK.now_ns()
            state = arm.read()
            arm.command(last.row_D)
            assert CLOCK.now_ns() - begun_ns < 0.05 * NS_PER_S
            CLOCK.sleep_until(begun_ns + 10_000_000)
        assert (CLOCK.now_ns() - state.stamp_ns) / NS_PER_S > 0.2  # the stamp did not advance
        with pytest.raises(FrankaLinkError, match="No link"):
            hold(arm, 3.0)
        bench.resume()


def test_after_a_killed_arm_comes_back_a_new_entering_connects() -> None:
    with FrankaProcess() as bench:
        arm = arm_on(bench)
        with arm:
            hold(arm, 0.2)
            bench.kill()
            with pytest.raises(FrankaLinkError, match="No link"):
                hold(arm, 3.0)
        with pytest.raises(FrankaLinkError):
            arm.__enter__()
        with FrankaProcess(address=bench.address), arm:
            hold(arm, 0.2)
            assert arm.stopped_by is None


def test_the_hand_follows_the_newest_width_and_no_command_waits_for_it(
    bench: FrankaProcess,
) -> None:
    with arm_on(bench) as arm:
        row_D = arm.read().row_D.copy()
        longest_s = 0.0
        for tick in range(200):
            row_D[7] = 0.06 if tick < 20 else 0.03 if tick < 40 else 0.02
            begun_ns = CLOCK.now_ns()
            arm.command(row_D)
            longest_s = max(longest_s, (CLOCK.now_ns() - begun_ns) / NS_PER_S)
            CLOCK.sleep_until(begun_ns + 10_000_000)
        assert arm.read().row_D[7] == pytest.approx(0.02, abs=0.003)
        assert longest_s < 0.1  # a movement of the hand takes 0.3 s and more


def test_a_first_command_far_from_the_tool_is_refused(bench: FrankaProcess) -> None:
    with arm_on(bench) as arm:
        row_D = arm.read().row_D.copy()
        row_D[0] += 50.0
        with pytest.raises(FeelforwardError, match="Begin where the arm is"):
            arm.command(row_D)
        assert not bench.newest().in_motion


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_refused(bench: FrankaProcess, bad: float) -> None:
    with arm_on(bench) as arm:
        row_D = arm.read().row_D.copy()
        row_D[1] = bad
        with pytest.raises(ValueError, match="finite"):
            arm.command(row_D)


def test_nobody_at_the_address_is_a_sentence_and_leaves_nothing_open() -> None:
    nobody = FrankaProcess(address=free_address())
    arm = arm_on(nobody)
    with pytest.raises(FrankaLinkError, match="FCI"):
        arm.__enter__()
    with pytest.raises(FeelforwardError, match="Enter it first"):
        arm.read()
    arm.__exit__()
