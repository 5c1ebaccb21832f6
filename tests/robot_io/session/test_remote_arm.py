"""The arm in another process: what one side writes, the other reads, and nobody waits."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robot_io.clock import NS_PER_S, VirtualClock
from robot_io.errors import FeelforwardError
from robot_io.session.remote_arm import ArmServer, RemoteArm
from robot_io.session.watchdog import NO_TARGET, REQUESTED
from robot_io.types import ArmState, MonoNs

ROW = np.array([0.4, 0.1, 0.3, 1.0, 0.0, 0.0, 0.0, 0.05])
JOINTS = np.linspace(-1, 1, 7)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(tmp_path: Path, clock: VirtualClock) -> Iterator[ArmServer]:
    with ArmServer(tmp_path, max_target_age_s=0.2, clock=clock) as server:
        server.publish(ArmState(MonoNs(5), ROW, JOINTS))
        yield server


@pytest.fixture
def arm(tmp_path: Path, server: ArmServer, clock: VirtualClock) -> Iterator[RemoteArm]:
    with RemoteArm(str(tmp_path), clock=clock) as arm:
        yield arm


def test_the_newest_measurement_arrives_with_its_own_stamp(
    arm: RemoteArm, server: ArmServer
) -> None:
    state = arm.read()
    assert state.stamp_ns == 5
    assert (state.row_D == ROW).all()
    assert (state.joint_rad_J == JOINTS).all()
    assert arm.read().stamp_ns == 5  # a frozen world shows: its stamp does not advance
    server.publish(ArmState(MonoNs(6), ROW + 1, JOINTS))
    assert arm.read().stamp_ns == 6


def test_what_the_arm_feels_arrives_and_that_it_does_not_measure_does_too(
    arm: RemoteArm, server: ArmServer
) -> None:
    assert arm.read().wrench_6 is None
    felt_6 = np.array([1.0, 2.0, 3.0, 0.1, 0.2, np.nan])  # part of it broken: not the same as none
    server.publish(ArmState(MonoNs(6), ROW, JOINTS, felt_6))
    state = arm.read()
    assert state.wrench_6 is not None
    assert np.array_equal(state.wrench_6, felt_6, equal_nan=True)
    assert (state.joint_rad_J == JOINTS).all()


def test_the_newest_command_is_taken_once(arm: RemoteArm, server: ArmServer) -> None:
    assert server.latest_command() is None
    for x_m in (0.1, 0.2):
        arm.command(np.array([x_m, *ROW[1:]]))
    row_D = server.latest_command()
    assert row_D is not None
    assert row_D[0] == 0.2
    assert server.latest_command() is None


def test_a_stop_is_kept_until_the_next_episode(arm: RemoteArm, server: ArmServer) -> None:
    arm.command(ROW)
    arm.stop()
    assert server.latest_command() is None
    assert server.stopped_by == REQUESTED
    assert arm.stopped_by is None  # it has not been told yet
    server.publish(ArmState(MonoNs(6), ROW, JOINTS))
    assert arm.stopped_by == REQUESTED
    arm.command(ROW)
    server.clear()
    assert server.stopped_by is None
    server.publish(ArmState(MonoNs(7), ROW, JOINTS))
    assert arm.stopped_by is None
    assert server.latest_command() is None  # a command of the last episode


def test_an_arm_that_hears_nothing_stops_by_itself_until_the_next_episode(
    arm: RemoteArm, server: ArmServer, clock: VirtualClock
) -> None:
    clock.sleep_until(NS_PER_S)
    assert server.latest_command() is None
    assert server.stopped_by is None  # nobody has told it anything yet
    arm.command(ROW)
    clock.sleep_until(clock.now_ns() + NS_PER_S // 5)
    assert server.latest_command() is not None
    assert server.stopped_by is None
    clock.sleep_until(clock.now_ns() + 1)
    assert server.latest_command() is None
    assert server.stopped_by == NO_TARGET
    arm.command(ROW)  # control woke up again: too late
    assert server.latest_command() is None
    server.clear()
    arm.command(ROW)
    assert server.latest_command() is not None


def test_a_target_that_was_sent_long_ago_stops_the_arm_instead_of_moving_it(
    arm: RemoteArm, server: ArmServer, clock: VirtualClock
) -> None:
    arm.command(ROW)
    clock.sleep_until(NS_PER_S)
    assert server.latest_command() is None
    assert server.stopped_by == NO_TARGET


def test_leaving_the_arm_stops_it_and_may_happen_twice(tmp_path: Path, server: ArmServer) -> None:
    arm = RemoteArm(tmp_path, clock=VirtualClock())
    with arm:
        pass
    arm.__exit__()
    server.latest_command()
    assert server.stopped_by == REQUESTED
    with pytest.raises(FeelforwardError, match="not connected"):
        arm.read()
    with pytest.raises(FeelforwardError, match="not connected"):
        arm.command(ROW)


def test_a_row_of_another_size_is_refused(arm: RemoteArm) -> None:
    with pytest.raises(ValueError, match=r"allowed \(8,\)"):
        arm.command(ROW[:7])


def test_without_a_world_entering_fails_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robot_io.session.remote_arm.ATTACH_TIMEOUT_S", 0.01)
    for _ in range(2):  # the second would find the ring locked if the first had kept it
        with pytest.raises(FeelforwardError, match="did not appear"):
            RemoteArm(tmp_path).__enter__()
