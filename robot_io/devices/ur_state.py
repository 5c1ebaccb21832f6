"""What a UR controller reports: measurements with their own stamps, and why it will not move.

ur_rtde's reader keeps the last package for ever when its connection ends, and gives it without an
error. So nothing here trusts a call that returned: a measurement is as old as the controller's own
time stamp says, and an unchanged stamp is the same measurement.
"""

import importlib
import socket
from typing import Any

from robot_io.clock import NS_PER_MS, NS_PER_S, Clock
from robot_io.devices.clock_map import ClockMap
from robot_io.devices.ur_link import Measurement, Six
from robot_io.errors import FeelforwardError

INSTALL = "ur_rtde does not load ({reason}). Run: pip install 'feelforward[ur]'"
RTDE_PORT = 30004
CONNECT_TIMEOUT_S = 3.0
STATE_RATE_HZ = 125.0  # what every series of controllers offers; a package is 174 bytes
NO_PRIORITY = -1  # else ur_rtde gives the thread that calls it SCHED_FIFO 90 on a real-time kernel
FIRST_SAMPLES = 10  # of the two clocks, before the first measurement is given out
FIRST_SAMPLES_NS = NS_PER_S
READS = 3  # more packages do not come while one is read

LOST = "The connection to the UR controller is lost. Look at the arm, then connect again."

VARIABLES = [
    "timestamp",
    "actual_q",
    "actual_TCP_pose",
    "actual_TCP_force",
    "robot_mode",
    "robot_status_bits",
    "safety_status_bits",
]
# Bits of safety_status_bits (RTDE guide) that forbid motion, the most telling first.
STOPS = {
    5: "the stop button of the system is pressed",
    6: "the stop button of the robot is pressed",
    9: "the safety system reports a fault",
    8: "the safety system reports a violation",
    2: "the arm is in protective stop",
    4: "the arm is in safeguard stop",
    3: "the arm is in recovery mode",
    10: "the arm is stopped by its safety system",
}
PROGRAM_RUNS = 1 << 1  # of robot_status_bits
RUNNING = 7  # of robot_mode: powered, brakes released
MODES = {
    -1: "no controller",
    0: "disconnected",
    1: "confirm safety",
    2: "booting",
    3: "power off",
    4: "power on",
    5: "idle",
    6: "backdrive",
    8: "updating firmware",
}


class URError(FeelforwardError):
    """The arm moves no more until a person has looked at it and connects again."""


def import_sdk(name: str) -> Any:
    """A module of ur_rtde; FeelforwardError with the install line when it does not load."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FeelforwardError(INSTALL.format(reason=error)) from None


class URState:
    """The connection that only listens, by `connect`. One thread reads, any asks for faults."""

    def __init__(self, interface: Any, clock: Clock) -> None:
        self._interface = interface
        self._clock = clock
        self._map = ClockMap()
        self._newest: tuple[float, Measurement] | None = None  # under the controller's stamp (s)

    @classmethod
    def connect(cls, address: str, clock: Clock) -> "URState":
        """Raises URError when nobody answers, or when the measurements do not advance."""
        sdk = import_sdk("rtde_receive")
        try:
            socket.create_connection((address, RTDE_PORT), CONNECT_TIMEOUT_S).close()
            interface = sdk.RTDEReceiveInterface(
                address, STATE_RATE_HZ, VARIABLES, rt_priority=NO_PRIORITY
            )
        except (OSError, RuntimeError) as error:
            raise URError(
                f"UR controller at {address}: no RTDE connection ({error}). Check the cable, the "
                "address, and that the controller's network and RTDE service are on."
            ) from None
        state = cls(interface, clock)
        state._compare_clocks(address)
        return state

    def read(self) -> Measurement:
        """The newest measurement; the very same one as long as the controller's stamp stands."""
        if self._newest is None or self._interface.getTimestamp() != self._newest[0]:
            self._newest = self._sample()
        return self._newest[1]

    def fault(self, *, program: bool) -> str | None:
        """Why the arm cannot be moved now, as a sentence; None when it can.

        `program` tells that ur_rtde's program has to be running as well.
        """
        interface = self._interface
        if not interface.isConnected():
            return LOST
        # The cause is read last: what a package that comes meanwhile tells, it tells as well.
        program_runs = interface.getRobotStatus() & PROGRAM_RUNS
        mode, safety_bits = interface.getRobotMode(), interface.getSafetyStatusBits()
        for bit, what in STOPS.items():
            if safety_bits & 1 << bit:
                return f"UR arm: {what}. Clear it at the pendant, then connect again."
        if mode != RUNNING:
            return (
                f"UR arm: robot mode = {MODES.get(mode, mode)}, allowed running. "
                "Switch it on and release the brakes at the pendant."
            )
        if program and not program_runs:
            return (
                "UR arm: the program that follows our targets has ended on the controller. "
                "See its log at the pendant, then connect again."
            )
        return None

    def _sample(self) -> tuple[float, Measurement]:
        device_s, *values = self._package()
        for _ in range(READS):
            if self._interface.getTimestamp() == device_s:
                break
            device_s, *values = self._package()
        stamp_ns = self._map.host_ns(round(device_s * NS_PER_S), self._clock.now_ns())
        return device_s, Measurement(stamp_ns, *values)

    def _package(self) -> tuple[float, Six, Six, Six]:
        """Stamp (s), pose, joints and wrench; of two packages when one came meanwhile."""
        interface = self._interface
        return (
            interface.getTimestamp(),
            tuple(interface.getActualTCPPose()),
            tuple(interface.getActualQ()),
            tuple(interface.getActualTCPForce()),
        )

    def _compare_clocks(self, address: str) -> None:
        """Waits for some fresh packages: they give the clocks' offset, and show that they come."""
        begin_ns = self._clock.now_ns()
        stamps_s = set()
        while len(stamps_s) < FIRST_SAMPLES:
            if self._clock.now_ns() - begin_ns > FIRST_SAMPLES_NS:
                raise URError(
                    f"UR controller at {address}: {len(stamps_s)} measurements in 1 s, needed "
                    f"{FIRST_SAMPLES}. Is another RTDE client (fieldbus) using it up? Restart it."
                )
            self.read()
            assert self._newest is not None
            stamps_s.add(self._newest[0])
            self._clock.sleep_until(self._clock.now_ns() + NS_PER_MS // 2)
