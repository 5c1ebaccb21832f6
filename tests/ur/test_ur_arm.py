"""The UR driver with the real ur_rtde, against a peer that speaks the controller's protocol."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from ur_parts import MAX_TARGET_AGE_S, PERIOD_S, Peer, arm_at, until

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.devices.try_arm import reading
from robot_io.devices.ur import URArm
from robot_io.devices.ur_driver import LEAVE_LIMIT_S
from robot_io.devices.ur_state import URError
from robot_io.rows import quat_from_rotvec

pytestmark = pytest.mark.slow  # each starts a peer and a driver: half a second and more
START_ROW = np.array([0.4, 0.1, 0.3, *quat_from_rotvec(np.array([0.0, 3.1, 0.0])), 0.0])


def raised(arm: URArm) -> bool:
    """Commands once more; whether the driver has given up."""
    try:
        arm.command(START_ROW)
    except URError:
        return True
    time.sleep(PERIOD_S)
    return False


def sentence(arm: URArm) -> str:
    with pytest.raises(URError) as error:
        arm.command(START_ROW)
    return str(error.value)


def moved_to(arm: URArm, row_D: np.ndarray) -> bool:
    arm.command(row_D)
    return bool(np.allclose(arm.read().row_D[:3], row_D[:3], atol=1e-6))


def stands(arm: URArm) -> bool:
    """Whether no newer measurement comes."""
    state = arm.read()
    time.sleep(0.1)
    return arm.read() is state


def driver_of(pid: int | None = None) -> psutil.Process:
    """The driver that this process, or the one with this number, has started."""
    alive = [p for p in psutil.Process(pid).children() if p.status() != psutil.STATUS_ZOMBIE]
    (driver,) = [p for p in alive if "ur_driver" in " ".join(p.cmdline())]
    return driver


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_measurement_is_in_our_terms_and_bears_the_controllers_own_stamp(
    arm: URArm, peer: Peer
) -> None:
    clock = MonotonicClock()
    states = [arm.read()]
    while len(states) < 6:
        until(lambda: arm.read() is not states[-1])
        states.append(arm.read())
    assert np.allclose(states[-1].row_D, START_ROW)
    assert np.allclose(states[-1].joint_rad_J, [0.1, -1.2, 1.3, -1.4, -1.5, 0.6])
    wrench_6 = states[-1].wrench_6
    assert wrench_6 is not None
    assert np.allclose(wrench_6, [1.0, 2.0, -3.0, 0.1, 0.2, 0.3])
    stamps_ns = np.array([state.stamp_ns for state in states])
    assert (np.diff(stamps_ns) > 0).all()
    assert 0 <= clock.now_ns() - stamps_ns[-1] < 200 * NS_PER_MS  # 5 on a quiet machine
    assert "new " in reading(arm, 0.05)


def test_the_arm_follows_its_targets_and_stands_when_told_until_it_is_entered_again(
    arm: URArm, peer: Peer
) -> None:
    up = START_ROW + np.array([0, 0, 0.01, 0, 0, 0, 0, 0])
    assert until(lambda: moved_to(arm, up))
    arm.stop()
    until(lambda: peer.tell()["target"] is None)
    arm.command(START_ROW)
    time.sleep(1.5 * MAX_TARGET_AGE_S)  # standing still, it needs no targets
    told = peer.tell()
    assert (told["program_runs"], told["target"]) == (True, None)
    assert np.allclose(arm.read().row_D, up)
    arm.__exit__()
    with arm:
        assert until(lambda: moved_to(arm, START_ROW))


def test_the_newest_of_many_targets_wins(arm: URArm, peer: Peer) -> None:
    for z_m in np.linspace(0.3, 0.35, 200):
        arm.command(np.array([0.4, 0.1, z_m, *START_ROW[3:]]))
    assert until(lambda: (peer.tell()["target"] or [0, 0, 0])[2] == pytest.approx(0.35))
    assert peer.tell()["commands"]["24"] < 200


def test_no_controller_sees_a_row_that_is_none(arm: URArm, peer: Peer) -> None:
    for unusable in (
        START_ROW * np.nan,
        np.where(START_ROW == 0.4, np.inf, START_ROW),
        START_ROW * np.array([1, 1, 1, 2, 2, 2, 2, 1]),
        START_ROW[:7],
    ):
        with pytest.raises(ValueError, match="A UR arm was given"):
            arm.command(unusable)
    time.sleep(0.05)
    assert "24" not in peer.tell()["commands"]


def test_a_frozen_state_keeps_its_stamp(arm: URArm, peer: Peer) -> None:
    """The accident: packages go on coming, the library reports no error, the pose is old."""
    peer.order(freeze=True)
    until(lambda: stands(arm))
    stamp_ns = arm.read().stamp_ns
    deadline_s = time.monotonic() + 0.5
    while time.monotonic() < deadline_s:
        arm.command(START_ROW)
        assert arm.read().stamp_ns == stamp_ns
        time.sleep(PERIOD_S)
    assert MonotonicClock().now_ns() - arm.read().stamp_ns > 0.5 * NS_PER_S
    peer.order(freeze=False)
    assert until(lambda: arm.read().stamp_ns > stamp_ns + 0.4 * NS_PER_S)


def test_a_killed_peer_is_given_up_and_only_a_persons_act_connects_again(
    arm: URArm, peer: Peer
) -> None:
    arm.command(START_ROW)
    peer.kill()
    begin_s = time.monotonic()
    assert until(lambda: raised(arm))
    assert time.monotonic() - begin_s < 2.0  # 0.02 on a quiet machine
    assert "connection to the UR controller is lost" in sentence(arm)
    peer.start()
    time.sleep(0.1)
    assert raised(arm)
    assert peer.tell()["programs"] == 0
    arm.__exit__()
    with arm:
        assert until(lambda: moved_to(arm, START_ROW))


@pytest.mark.parametrize("which", ["all", "commanding", "cut"])
def test_a_lost_connection_is_not_made_again_behind_our_back(
    arm: URArm, peer: Peer, which: str
) -> None:
    """ur_rtde by itself would: program uploaded anew, no watchdog, and the target repeated."""
    until(lambda: moved_to(arm, START_ROW))
    connections = peer.tell()["connections"]
    peer.order(drop=which)
    assert until(lambda: raised(arm))
    assert until(lambda: not peer.tell()["program_runs"])
    time.sleep(0.3)  # it would take less
    told = peer.tell()
    assert (told["connections"], told["programs"]) == (connections, 1)
    assert (told["program_runs"], told["target"]) == (False, None)


def test_a_protective_stop_stays_one_until_a_person_connects_again(arm: URArm, peer: Peer) -> None:
    arm.command(START_ROW)
    peer.order(protective_stop=True)
    assert until(lambda: raised(arm))
    assert "protective stop" in sentence(arm)
    peer.order(protective_stop=False)
    time.sleep(0.05)
    assert raised(arm)
    assert peer.tell()["programs"] == 1
    arm.__exit__()
    with arm:
        assert until(lambda: moved_to(arm, START_ROW))


def test_a_program_that_ends_on_the_controller_is_noticed(arm: URArm, peer: Peer) -> None:
    arm.command(START_ROW)
    peer.order(program_runs=False)
    assert until(lambda: raised(arm))
    assert "program that follows our targets has ended" in sentence(arm)


def test_targets_that_cease_stop_the_arm(arm: URArm, peer: Peer) -> None:
    arm.command(START_ROW)
    begin_s = time.monotonic()
    until(lambda: not peer.tell()["program_runs"])
    assert MAX_TARGET_AGE_S <= time.monotonic() - begin_s < 2.0  # 0.5 on a quiet machine
    assert peer.tell()["commands"]["16"] == 1  # braked, not only cut off
    assert f"no target came for {MAX_TARGET_AGE_S:g} s" in sentence(arm)


def test_a_controller_that_takes_no_targets_delays_nobody_and_is_given_up(
    arm: URArm, peer: Peer
) -> None:
    """servoL turns in a circle for 4 s then."""
    arm.command(START_ROW)
    until(lambda: peer.tell()["target"])
    peer.order(deaf=True, watchdog_hz=0.0)
    slowest_s, begin_s, gave_up = 0.0, time.monotonic(), False
    while not gave_up:
        called_s = time.monotonic()
        gave_up = raised(arm)
        slowest_s = max(slowest_s, time.monotonic() - called_s)
    assert time.monotonic() - begin_s < 2.0  # 0.5 on a quiet machine
    assert slowest_s < 0.4  # a call takes 0.2 ms
    assert "not taken a command" in sentence(arm)


def test_a_driver_that_is_frozen_is_met_by_the_controllers_own_watchdog(
    arm: URArm, peer: Peer
) -> None:
    arm.command(START_ROW)
    until(lambda: peer.tell()["target"])
    driver = driver_of()
    driver.send_signal(signal.SIGSTOP)
    try:
        assert until(lambda: not peer.tell()["program_runs"])
        assert until(lambda: stands(arm))
        arm.command(START_ROW)
    finally:
        driver.send_signal(signal.SIGCONT)
    assert until(lambda: raised(arm))
    assert peer.tell()["target"] is None


def test_a_driver_that_dies_is_one_sentence_and_the_arm_stops(arm: URArm, peer: Peer) -> None:
    arm.command(START_ROW)
    driver_of().kill()
    assert until(lambda: raised(arm))
    assert "has ended without a word" in sentence(arm)
    assert until(lambda: not peer.tell()["program_runs"])
    arm.read()


COMMANDING = """
import sys, time
sys.path.insert(0, sys.argv[1])
from ur_parts import arm_at
with arm_at(sys.argv[2]) as arm:
    row = arm.read().row_D
    print("moving", flush=True)
    while True:
        arm.command(row)
        time.sleep(0.01)
"""


def start_commanding(address: str) -> subprocess.Popen[str]:
    """A process that moves the arm until it is ended."""
    commanding = subprocess.Popen(
        [sys.executable, "-c", COMMANDING, str(Path(__file__).parent), address],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C goes to the driver as well
    )
    assert commanding.stdout is not None
    assert commanding.stdout.readline() == "moving\n"
    return commanding


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_arm_stops_when_the_process_that_commands_ends(peer: Peer, how: signal.Signals) -> None:
    commanding = start_commanding(peer.address)
    until(lambda: peer.tell()["target"])
    if how == signal.SIGINT:
        os.killpg(commanding.pid, how)
    else:
        commanding.send_signal(how)
    commanding.wait()
    assert until(lambda: not peer.tell()["program_runs"])
    assert peer.tell()["commands"]["16"] == 1  # braked by the driver, before any watchdog


def test_a_driver_whose_both_sides_are_gone_ends(peer: Peer) -> None:
    commanding = start_commanding(peer.address)
    driver = driver_of(commanding.pid)
    peer.order(silent=True)
    peer.tell()
    commanding.kill()
    commanding.wait()
    assert until(lambda: ended(driver), within_s=LEAVE_LIMIT_S + 2)


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({"protective_stop": True}, "protective stop"),
        ({"robot_mode": 3}, "robot mode = power off"),
        ({"remote_control": False}, "remote control"),
        ({"freeze": True}, "measurements in 1 s"),
    ],
)
def test_an_arm_that_cannot_move_is_not_entered(
    peer: Peer, orders: dict[str, object], words: str
) -> None:
    peer.order(**orders)
    peer.tell()
    arm = arm_at(peer.address)
    with pytest.raises(URError, match=words):
        arm.__enter__()
    with pytest.raises(URError, match="not connected"):
        arm.read()
    assert peer.tell()["programs"] == 0


def test_nobody_at_the_address_is_one_sentence() -> None:
    pytest.importorskip("rtde_control", reason="needs the extra 'ur'")
    with pytest.raises(URError, match=r"UR controller at 127\.0\.0\.9: no RTDE connection"):
        arm_at("127.0.0.9").__enter__()


def test_leaving_brakes_ends_the_program_and_may_happen_twice(arm: URArm, peer: Peer) -> None:
    arm.command(START_ROW)
    until(lambda: peer.tell()["target"])
    arm.__exit__()
    arm.__exit__()
    told = peer.tell()
    assert told["commands"]["16"] == 1
    assert not told["program_runs"]


def test_a_controller_that_falls_silent_is_stale_at_once_and_given_up_after_seconds(
    arm: URArm, peer: Peer
) -> None:
    until(lambda: not raised(arm) and peer.tell()["target"])
    peer.order(silent=True)
    begin_s = time.monotonic()
    assert until(lambda: raised(arm), within_s=5.0)
    assert 2 < time.monotonic() - begin_s < 4
    assert "connection to the UR controller is lost" in sentence(arm)
    assert MonotonicClock().now_ns() - arm.read().stamp_ns > 2 * NS_PER_S
    assert peer.tell()["programs"] == 1


def try_out(address: str, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """What a person at the arm runs."""
    return subprocess.run(
        [sys.executable, "-m", "robot_io.devices.ur", "--address", address, *options],
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_try_out_only_reads_unless_a_person_says_yes(peer: Peer) -> None:
    tried = try_out(peer.address, "--seconds", "0.1", "--up-mm", "20", answer="no\n")
    assert tried.returncode == 0, tried.stderr
    assert "joints      0.100 -1.200" in tried.stdout
    assert "behind" not in tried.stdout
    assert "24" not in peer.tell()["commands"]


def test_the_try_out_says_in_one_sentence_that_nobody_is_there() -> None:
    pytest.importorskip("rtde_control", reason="needs the extra 'ur'")
    tried = try_out("127.0.0.9")
    assert tried.returncode == 1
    assert "UR controller at 127.0.0.9: no RTDE connection" in tried.stderr


def test_the_try_out_moves_up_and_down_once(peer: Peer) -> None:
    tried = try_out(peer.address, "--seconds", "0.1", "--up-mm", "20", answer="yes\n")
    assert tried.returncode == 0, tried.stderr
    assert "reached     20.0 mm of 20 mm" in tried.stdout
    assert peer.tell()["pose"][2] == pytest.approx(0.3, abs=1e-4)
