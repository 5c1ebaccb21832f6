"""The process that speaks to a UR controller: the newest target wins, the first fault ends it.

A process of its own, because of what ur_rtde does when something goes wrong: `servoL`, 0.03 ms as a
rule, turns in a circle for 4 s when the controller's program is not ready; connecting and leaving
may wait for ever, with Python's lock held. The control process must see none of this. And a lost
connection is made again behind our back, the program uploaded anew and the command repeated: this
process takes from itself what that needs, for nobody may move an arm again but by a person's act.

The arm stops when targets cease, in one of three ways: this process brakes it when no target has
come for `max_target_age_s`, or when the process that gives the targets has ended; and the
controller ends the program when nothing has come from this process for that long.
"""

import argparse
import os
import resource
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from robot_io.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robot_io.devices.ur_link import Fault, Link, LinkEndError, Rest, Target
from robot_io.devices.ur_state import LOST, NO_PRIORITY, URError, URState, import_sdk
from robot_io.errors import FeelforwardError
from robot_io.session.watchdog import TargetWatchdog

STOP_DECEL_RAD_PER_S2 = 10.0  # ur_rtde's own
UNUSED = 0.1  # speed and acceleration: arguments of servoL without a meaning
KICKS_PER_AGE = 4  # so many signs of life in the time after which the controller stops the arm
MEASURE_PERIOD_NS = NS_PER_MS  # looks so often for a new package
REASON_WAIT_NS = 50 * NS_PER_MS
CONNECT_LIMIT_S = 20.0  # the other side waits for less, if it is there
LEAVE_LIMIT_S = 5.0  # braking takes a third of a second
STANDARD_STREAMS = 3
REFUSED = (
    "UR controller: it did not take a command. See its log at the pendant (a pose out of reach "
    "ends the program), then connect again."
)


@dataclass(frozen=True, slots=True)
class Following:
    """How the arm follows: arguments of servoL, and the age of a target that stops it."""

    period_s: float
    lookahead_s: float
    gain: float
    max_target_age_s: float


class Driver:
    """Does what the link asks until it ends, or until something is wrong.

    `control` is ur_rtde's RTDEControlInterface; only the thread of `run` calls it.
    """

    def __init__(
        self, link: Link, control: Any, state: URState, following: Following, *, clock: Clock
    ) -> None:
        self._link = link
        self._control = control
        self._state = state
        self._following = following
        self._watchdog = TargetWatchdog(following.max_target_age_s)
        self._clock = clock
        self._calling_ns: int | None = None  # since when a call to the controller has lasted
        self._giving_up = threading.Lock()
        self._fault: str | None = None

    def run(self) -> None:
        """Raises URError when the controller does not take its watchdog: then nothing moves."""
        if not self._control.setWatchdog(1 / self._following.max_target_age_s):
            raise URError(
                "UR controller: it did not take the watchdog that stops the arm when we fall "
                "silent. See the program's log at the pendant, then connect again."
            )
        threading.Thread(target=self._measure, daemon=True).start()
        with suppress(LinkEndError):
            while self._fault is None:
                self._step()

    def _measure(self) -> None:
        """The other thread: passes measurements on, and looks whether all is well."""
        newest = None
        with suppress(LinkEndError):
            while self._fault is None:
                measurement = self._state.read()
                if measurement is not newest:
                    newest = measurement
                    self._link.send(measurement)
                self._give_up(self._state.fault(program=True) or self._delay_fault())
                self._clock.sleep_until(self._clock.now_ns() + MEASURE_PERIOD_NS)

    def _step(self) -> None:
        packet = self._newest()
        fault = self._state.fault(program=True) or self._age_fault(packet)
        if fault is None and self._fault is None:
            fault = self._call(packet)
        self._give_up(fault)

    def _newest(self) -> Target | Rest | None:
        """What was asked for last; None when it is time for a sign of life."""
        newest = None
        packet = self._link.receive(self._following.max_target_age_s / KICKS_PER_AGE)
        while packet is not None:
            assert isinstance(packet, Target | Rest)
            newest = packet
            packet = self._link.receive()
        return newest

    def _age_fault(self, packet: Target | Rest | None) -> str | None:
        if isinstance(packet, Rest):
            self._watchdog.reset()
        if isinstance(packet, Target):
            self._watchdog.fed(packet.stamp_ns)
        if not self._watchdog.tripped(self._clock.now_ns()):
            return None
        return (
            f"UR arm: no target came for {self._following.max_target_age_s:g} s, so it has "
            "stopped. Find out what held the control process up, then connect again."
        )

    def _call(self, packet: Target | Rest | None) -> str | None:
        """One call to the controller; why it was the last one, if it was."""
        if not self._control.isConnected():
            return LOST
        # Braking takes its time: that is no delay.
        self._calling_ns = None if isinstance(packet, Rest) else self._clock.now_ns()
        try:
            taken = self._ask(packet)
        except RuntimeError:  # it has tried to connect again
            return LOST
        self._calling_ns = None
        return None if taken else self._why_refused()

    def _ask(self, packet: Target | Rest | None) -> bool:
        match packet:
            case Target():
                how = self._following
                return self._control.servoL(
                    packet.pose_6, UNUSED, UNUSED, how.period_s, how.lookahead_s, how.gain
                )
            case Rest():
                return self._control.servoStop(STOP_DECEL_RAD_PER_S2)
            case None:
                return self._control.kickWatchdog()

    def _why_refused(self) -> str:
        """The next packages tell, as a rule: ur_rtde's writer has a faster reader of its own."""
        end_ns = self._clock.now_ns() + REASON_WAIT_NS
        while self._clock.now_ns() < end_ns:
            fault = self._state.fault(program=True)
            if fault is not None:
                return fault
            self._clock.sleep_until(self._clock.now_ns() + MEASURE_PERIOD_NS)
        return REFUSED

    def _delay_fault(self) -> str | None:
        calling_ns, allowed_s = self._calling_ns, self._following.max_target_age_s
        if calling_ns is None or self._clock.now_ns() - calling_ns <= allowed_s * NS_PER_S:
            return None
        return (
            f"UR controller: it has not taken a command for more than {allowed_s:g} s. "
            "Look at the arm and the network, then connect again."
        )

    def _give_up(self, fault: str | None) -> None:
        """Only the first fault is told: the others follow from it. Told, and then acted upon."""
        with self._giving_up:
            if fault is not None and self._fault is None:
                self._link.send(Fault(fault))
                self._fault = fault

    def end_program(self) -> None:
        """Brakes and ends the program where the connection stands: else ur_rtde would mend it.

        Where it does not, the controller's own watchdog ends the program.
        """
        with suppress(RuntimeError):
            if self._control.isConnected():
                self._control.servoStop(STOP_DECEL_RAD_PER_S2)
                self._control.stopScript()


def serve(link: Link, address: str, following: Following) -> None:
    """Connects and drives. Raises URError when it cannot begin."""
    _end_in(CONNECT_LIMIT_S)
    clock = MonotonicClock()
    state = URState.connect(address, clock)
    fault = state.fault(program=False)
    if fault is not None:
        raise URError(fault)
    sdk = import_sdk("rtde_control")
    try:
        control = sdk.RTDEControlInterface(address, rt_priority=NO_PRIORITY)
    except (RuntimeError, ValueError) as error:
        raise URError(
            f"UR controller at {address}: the control program does not start ({error}). "
            "Switch the pendant to remote control, and see its log."
        ) from None
    _open_nothing_more()
    _end_in(None)
    driver = Driver(link, control, state, following, clock=clock)
    driver.run()
    _end_in(LEAVE_LIMIT_S)
    driver.end_program()
    _leave()  # here, where the interfaces still live


def _end_in(seconds: float | None) -> None:
    """The kernel ends this process then: ur_rtde may wait for ever, and hold Python's lock.

    The process that started us would do it, too, but may have ended itself.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds or 0.0)


def _open_nothing_more() -> None:
    """No file and no socket from now on: ur_rtde cannot connect again by itself."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (STANDARD_STREAMS, STANDARD_STREAMS))


def _leave() -> NoReturn:
    """Without ur_rtde's destructors: each waits for half a second, for lost threads for ever."""
    sys.stdout.flush()
    os._exit(0)


def _run_behind_the_loop() -> None:
    """One step below the process that started us, if that one is real-time.

    `servoL` may turn in a circle for seconds: at the loop's own priority, on the loop's own core,
    the loop would wait for it.
    """
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        priority = os.sched_getparam(0).sched_priority - 1
        if priority >= os.sched_get_priority_min(os.SCHED_FIFO):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def main() -> None:
    """Started by `robot_io.devices.ur.URArm`, not by a person."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--link", type=int, required=True)
    parser.add_argument("--address", required=True)
    for name in Following.__slots__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, required=True)
    given = vars(parser.parse_args())
    link, address = Link.inherited(given.pop("link")), given.pop("address")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side decides, and closes the link
    _run_behind_the_loop()
    try:
        serve(link, address, Following(**given))
    except Exception as error:
        if not isinstance(error, FeelforwardError):
            traceback.print_exc()
        with suppress(LinkEndError):
            link.send(Fault(str(error) or repr(error)))
        _leave()


if __name__ == "__main__":
    main()
