"""The pieces of the UR driver that need no controller."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robot_io.clock import NS_PER_MS, NS_PER_S, VirtualClock
from robot_io.devices.clock_map import WINDOW
from robot_io.devices.ur import pose_from_row, state_from
from robot_io.devices.ur_link import Fault, Link, LinkEndError, Measurement, Rest, Target
from robot_io.devices.ur_settings import URSettings
from robot_io.devices.ur_state import STOPS, URState
from robot_io.gate.limits import GateLimits
from robot_io.rows import quat_distance_rad
from scripts.config import read_toml

CONFIG = Path(__file__).parents[2] / "configs" / "robots" / "ur5e.toml"
SIX = (0.4, 0.1, 0.3, 0.0, 3.1, 0.0)
MEASUREMENT = Measurement(7, SIX, (1.0,) * 6, (2.0,) * 6)


class Controller:
    """What ur_rtde's reader knows: it gives what it has, as if all were well, for ever."""

    def __init__(self) -> None:
        self.timestamp_s = 1000.0
        self.connected = True
        self.safety_bits, self.robot_mode, self.robot_status = 1, 7, 3

    def getTimestamp(self) -> float:  # noqa: N802
        return self.timestamp_s

    def getActualTCPPose(self) -> list[float]:  # noqa: N802
        return list(SIX)

    def getActualQ(self) -> list[float]:  # noqa: N802
        return [0.0] * 6

    def getActualTCPForce(self) -> list[float]:  # noqa: N802
        return [0.0] * 6

    def isConnected(self) -> bool:  # noqa: N802
        return self.connected

    def getSafetyStatusBits(self) -> int:  # noqa: N802
        return self.safety_bits

    def getRobotMode(self) -> int:  # noqa: N802
        return self.robot_mode

    def getRobotStatus(self) -> int:  # noqa: N802
        return self.robot_status


def test_the_stamp_of_a_frozen_state_stands_however_often_it_is_read() -> None:
    controller, clock = Controller(), VirtualClock(5 * NS_PER_S)
    state = URState(controller, clock)
    first = state.read()
    for _ in range(2 * WINDOW):
        clock.sleep_until(clock.now_ns() + 10 * NS_PER_MS)
        assert state.read() is first


def test_stamps_follow_the_controllers_clock_not_the_time_of_reading() -> None:
    controller, clock = Controller(), VirtualClock(5 * NS_PER_S)
    state = URState(controller, clock)
    begin_ns = state.read().stamp_ns
    controller.timestamp_s += 0.008
    clock.sleep_until(clock.now_ns() + 30 * NS_PER_MS)  # read late
    assert state.read().stamp_ns == pytest.approx(begin_ns + 8 * NS_PER_MS, abs=1000)


@pytest.mark.parametrize("bit", STOPS)
def test_each_safety_bit_forbids_motion(bit: int) -> None:
    controller = Controller()
    state = URState(controller, VirtualClock())
    assert state.fault(program=True) is None
    controller.safety_bits |= 1 << bit
    assert state.fault(program=True) is not None
    assert state.fault(program=False) is not None


def test_a_lost_connection_a_wrong_mode_and_a_program_that_ended_forbid_motion() -> None:
    for name, value in (("connected", False), ("robot_mode", 5), ("robot_status", 1)):
        controller = Controller()
        setattr(controller, name, value)
        assert URState(controller, VirtualClock()).fault(program=True) is not None


@pytest.mark.parametrize("reads", range(4))
def test_the_cause_is_told_whenever_the_package_comes_that_has_it(reads: int) -> None:
    """A protective stop ends the program, too; the package comes after so many of three reads."""

    class Meanwhile(Controller):
        left = reads

        def __getattribute__(self, name: str) -> object:
            if name in ("getSafetyStatusBits", "getRobotMode", "getRobotStatus"):
                if self.left == 0:
                    self.safety_bits, self.robot_status = 1 << 2, 1
                self.left -= 1
            return super().__getattribute__(name)

    told = URState(Meanwhile(), VirtualClock()).fault(program=True)
    assert told is None if reads == 3 else told is not None and "protective stop" in told


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.lists(st.floats(-3.2, 3.2), min_size=3, max_size=3),
)
def test_a_pose_goes_to_a_row_and_back(position: list[float], rotvec: list[float]) -> None:
    there = state_from(Measurement(0, (*position, *rotvec), (0.0,) * 6, (0.0,) * 6)).row_D
    back = state_from(Measurement(0, pose_from_row(there), (0.0,) * 6, (0.0,) * 6)).row_D
    assert np.allclose(there[:3], position)
    assert quat_distance_rad(there[3:7], back[3:7]) < 1e-6
    assert np.linalg.norm(pose_from_row(there)[3:]) <= np.pi + 1e-9


def test_packets_arrive_as_they_were_sent() -> None:
    ours, theirs = Link.pair()
    for packet in (Target(5, SIX), Rest(), MEASUREMENT, Fault("The arm, häh?")):
        assert ours.send(packet)
        assert theirs.receive() == packet
    assert theirs.receive() is None


def test_a_link_never_waits_for_one_who_does_not_read() -> None:
    ours, theirs = Link.pair()
    sent = [ours.send(MEASUREMENT) for _ in range(5000)]
    assert sent[0]
    assert not sent[-1]
    assert theirs.receive() == MEASUREMENT


def test_the_end_of_one_side_is_told_to_the_other() -> None:
    ours, theirs = Link.pair()
    theirs.close()
    with pytest.raises(LinkEndError):
        ours.receive()
    with pytest.raises(LinkEndError):
        ours.send(Rest())


def test_what_was_said_before_the_end_is_still_heard() -> None:
    ours, theirs = Link.pair()
    ours.send(Rest())  # never read: the kernel reports that first
    theirs.send(Fault("why"))
    theirs.close()
    assert ours.receive() == Fault("why")
    with pytest.raises(LinkEndError):
        ours.receive()


@pytest.mark.parametrize("wrong", [{"lookahead_s": 0.3}, {"gain": float("nan")}, {"gian": 300}])
def test_settings_without_sense_are_refused(wrong: dict[str, float]) -> None:
    right = {"address": "192.168.1.10", "lookahead_s": 0.1, "gain": 300}
    URSettings.model_validate(right)
    with pytest.raises(ValidationError):
        URSettings.model_validate({**right, **wrong})


def test_the_shipped_config_gives_every_limit_and_the_arms_settings() -> None:
    table = read_toml(CONFIG)
    settings = URSettings.model_validate_json(json.dumps(table["ur"]), strict=True)
    gate = GateLimits.model_validate_json(json.dumps(table["gate"]), strict=True)
    assert gate.leash_m > settings.lookahead_s * gate.max_speed_m_per_s
    assert gate.leash_rad > settings.lookahead_s * gate.max_turn_rad_per_s
    assert gate.touch.measured_force == "required"
