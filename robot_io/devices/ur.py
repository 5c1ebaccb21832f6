"""Universal Robots arms (e-Series, CB3) through ur_rtde: tool poses at the command rate.

Try it at the arm: `python -m robot_io.devices.ur --help`; the procedure, and what ur_rtde does when
something goes wrong, is in docs/hardware/ur.md.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Self

import numpy as np

from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.devices.try_arm import PERIOD_S, try_arm
from robot_io.devices.ur_driver import Following
from robot_io.devices.ur_link import Fault, Link, LinkEndError, Measurement, Rest, Six, Target
from robot_io.devices.ur_settings import URSettings
from robot_io.devices.ur_state import URError
from robot_io.rows import ToolRows, quat_from_rotvec, rotvec_from_quat
from robot_io.session.watchdog import REQUESTED
from robot_io.types import ArmState, MonoNs

CONNECT_TIMEOUT_S = 15.0
LEAVE_TIMEOUT_S = 1.0  # braking takes a third of it
NO_GRIPPER_WIDTH_M = 0.0
NOT_ENTERED = "The UR arm is not connected. Enter it first."


def make_arm(settings: Mapping[str, Any], **given: float) -> "URArm":
    """A `URArm` from plain data, for a process that is told what to make."""
    return URArm(URSettings.model_validate(settings), **given)


class URArm:
    """Implements `robot_io.interfaces.Arm`. Rows are the TCP that is set at the pendant, in base.

    The arm has no gripper of its own: the width of a command is ignored, the measured one is 0.

    `command`, `read` and `stop` never wait: a process of its own speaks to the controller
    (`robot_io.devices.ur_driver`). After a protective stop, a lost connection, a program that ended
    or targets that ceased for `max_target_age_s`, `command` raises URError, and goes on doing so;
    after `stop` it changes nothing. Leave, look, enter again. `read` goes on giving the last
    measurement: its stamp tells.
    """

    def __init__(self, settings: URSettings, *, period_s: float, max_target_age_s: float) -> None:
        self._address = settings.address
        self._following = Following(
            period_s=period_s,
            lookahead_s=settings.lookahead_s,
            gain=settings.gain,
            max_target_age_s=max_target_age_s,
        )
        self._clock = MonotonicClock()
        self._rows = ToolRows()
        self._link: Link | None = None
        self._driver: subprocess.Popen[bytes] | None = None
        self._newest: ArmState | None = None
        self._stopped = False
        self._fault: str | None = None

    def __enter__(self) -> Self:
        self._newest, self._stopped, self._fault = None, False, None
        self._link, theirs = Link.pair()
        try:
            with closing(theirs):
                self._driver = subprocess.Popen(
                    [sys.executable, "-m", "robot_io.devices.ur_driver", *self._arguments(theirs)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
            self._wait_for_measurement(self._link)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        link, self._link = self._link, None
        driver, self._driver = self._driver, None
        if link is not None:
            link.close()  # the driver brakes the arm, ends the program and itself
        if driver is not None:
            try:
                driver.wait(LEAVE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                driver.kill()  # now the controller's own watchdog stops the arm
                driver.wait()

    def read(self) -> ArmState:
        """The newest measurement. The same one again when no newer one has come."""
        self._hear(self._entered())
        assert self._newest is not None
        return self._newest

    def command(self, row_D: np.ndarray) -> None:
        """Raises URError after a fault, ValueError for a row that no controller must see."""
        link = self._entered()
        unusable = self._rows.fault(row_D)
        if unusable is not None:
            raise ValueError(f"A UR arm was given {unusable}.")
        self._hear(link)
        if self._fault is None and not self._stopped:
            self._send(link, Target(self._clock.now_ns(), pose_from_row(row_D)))
        if self._fault is not None:
            raise URError(self._fault)

    def stop(self) -> None:
        """The controller brakes the arm, and it stands until it is entered again."""
        self._send(self._entered(), Rest())
        self._stopped = True

    @property
    def stopped_by(self) -> str | None:
        return REQUESTED if self._stopped else None

    def _entered(self) -> Link:
        if self._link is None:
            raise URError(NOT_ENTERED)
        return self._link

    def _arguments(self, link: Link) -> list[str]:
        given = {name: getattr(self._following, name) for name in Following.__slots__}
        given |= {"link": link.fileno(), "address": self._address}
        return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]

    def _send(self, link: Link, packet: Target | Rest) -> None:
        try:
            taken = link.send(packet)
        except LinkEndError:
            self._hear(link)  # it may have said why
            return
        if not taken:
            self._fault = (
                "UR driver: its process takes no more targets. Look at the arm, then connect again."
            )

    def _hear(self, link: Link, timeout_s: float = 0.0) -> None:
        """Takes everything that the driver has said."""
        try:
            packet = link.receive(timeout_s)
            while packet is not None:
                if isinstance(packet, Measurement):
                    self._newest = state_from(packet)
                elif isinstance(packet, Fault):
                    self._fault = self._fault or packet.sentence
                packet = link.receive()
        except LinkEndError:
            self._fault = self._fault or (
                "UR driver: its process has ended without a word. The controller stops the arm by "
                "itself. Look at it, then connect again."
            )

    def _wait_for_measurement(self, link: Link) -> None:
        end_ns = self._clock.now_ns() + CONNECT_TIMEOUT_S * NS_PER_S
        while self._newest is None:
            self._hear(link, timeout_s=0.1)
            if self._fault is None and self._clock.now_ns() > end_ns:
                self._fault = (
                    f"UR controller at {self._address}: no connection within "
                    f"{CONNECT_TIMEOUT_S:g} s. Is it booting, or busy with other clients?"
                )
            if self._fault is not None:
                raise URError(self._fault)


def pose_from_row(row_8: np.ndarray) -> Six:
    """UR's x y z (m) and rotation vector (rad) of a row; the width has no meaning here."""
    return (*row_8[:3].tolist(), *rotvec_from_quat(row_8[3:7]).tolist())


def state_from(measurement: Measurement) -> ArmState:
    """In our terms: UR has rotation vectors, and no gripper."""
    x, y, z, *rotvec_3 = measurement.pose_6
    row_8 = np.array([x, y, z, *quat_from_rotvec(np.array(rotvec_3)), NO_GRIPPER_WIDTH_M])
    joint_rad_6, wrench_6 = np.array(measurement.joint_rad_6), np.array(measurement.wrench_6)
    for array in (row_8, joint_rad_6, wrench_6):
        array.flags.writeable = False  # several calls of `read` give the same state
    return ArmState(MonoNs(measurement.stamp_ns), row_8, joint_rad_6, wrench_6)


def main() -> None:
    """Shows what the arm measures and, if asked, moves its tool up and down again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--address", required=True, help="of the controller")
    parser.add_argument("--lookahead-s", type=float, default=0.1)
    parser.add_argument("--gain", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long it only reads")
    parser.add_argument("--up-mm", type=float, default=0.0, help="then the tool moves so far, once")
    given = vars(parser.parse_args())
    seconds, up_m = given.pop("seconds"), given.pop("up_mm") / 1000
    settings = URSettings(**given)
    try_arm(
        lambda: URArm(settings, period_s=PERIOD_S, max_target_age_s=0.2),
        seconds=seconds,
        up_m=up_m,
    )


if __name__ == "__main__":
    main()
