"""The arm in another process: what one side writes, the other reads, and nobody waits."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robot_io.clock import VirtualClock
from robot_io.errors import FeelforwardError
from robot_io.remote_arm import ArmServer, RemoteArm
from robot_io.types import ArmState, MonoNs

ROW = np.array([0.4, 0.1, 0.3, 1.0, 0.0, 0.0, 0.0, 0.05])
JOINTS = np.linspace(-1, 1, 7)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArmServer]:
    with ArmServer(tmp_path, clock=VirtualClock()) as server:
        server.publish(ArmState(MonoNs(5), ROW, JOINTS))
        yield server


@pytest.fixture
def arm(tmp_path: Path, server: ArmServer) -> Iterator[RemoteArm]:
    with RemoteArm(str(tmp_path), clock=VirtualClock()) as arm:
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
    assert server.stop_requested
    arm.command(ROW)
    server.clear()
    assert not server.stop_requested
    assert server.latest_command() is None  # a command of the last episode


def test_leaving_the_arm_stops_it_and_may_happen_twice(tmp_path: Path, server: ArmServer) -> None:
    arm = RemoteArm(tmp_path)
    with arm:
        pass
    arm.__exit__()
    server.latest_command()
    assert server.stop_requested
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
    monkeypatch.setattr("robot_io.remote_arm.ATTACH_TIMEOUT_S", 0.01)
    for _ in range(2):  # the second would find the ring locked if the first had kept it
        with pytest.raises(FeelforwardError, match="did not appear"):
            RemoteArm(tmp_path).__enter__()
