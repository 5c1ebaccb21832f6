"""What `feelforward bench stop` runs: real software stops of a moving simulated arm.

    pressed ── begun ── sent
           wait     tick        wait: terminal, thread, socket, and up to a period until the tick

Pressed is the stamp just before the key goes into a pseudo terminal, or before the message goes to
the socket. Sent is the stamp of the first stopped command in the ring from which the arm takes it.
"""

import os
import pty
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.control.loop import Rung
from robot_io.control.record import EpisodeRecord
from robot_io.errors import FeelforwardError
from robot_io.gate.reasons import Reason
from robot_io.ring import RingReader, Sample
from robot_io.session.processes import Factory
from robot_io.session.remote_arm import TARGET_FILE
from robot_io.session.session import Session
from robot_io.session.view import View
from robot_io.types import POLICY, Command
from scripts.live.operator_keys import STOP, Operator
from scripts.live.stage import session_around, tell_operator
from scripts.robot import load_robot
from scripts.tasks import cap

KEY, WIRE = "key press", "message"
WAYS = (KEY, WIRE)
BUDGET_MS = 20.0  # p99 from the event to the first decelerating command
STEADY_TICKS = 30  # of following plans before anybody presses
MOST_WAIT_S = 0.3  # after them, at random: every phase of a tick and of a plan
LIMIT_S = 30.0
MAX_TIMES = 10_000

# 0.16 m/s: at the gate's deceleration a stop takes five ticks and more
_PLANNER = Factory(
    "robot_io.devices.fake:CirclePlanner", {"rows": 16, "radius_m": 0.05, "turn_s": 2.0}
)


@dataclass(frozen=True, slots=True)
class StopTime:
    """One stop. Stamps: ns."""

    pressed_ns: int
    begun_ns: int  # the tick that took it
    sent_ns: int  # its command, slower than the one before, was handed to the arm


def measure(times: int, *, seed: int) -> dict[str, list[StopTime]]:
    """Stops the arm `times` times in each of `WAYS`, in turn, with the sensors of the demo."""
    history: dict[str, int] = dict.fromkeys((*cap.VECTORS, *cap.IMAGES), 1)
    spec = session_around(_PLANNER, load_robot(), history=history)
    random = np.random.default_rng(seed)
    stops: dict[str, list[StopTime]] = {way: [] for way in WAYS}
    with _terminal() as (keyboard, fd), Session(spec, tell=tell_operator) as session:
        press: dict[str, Callable[[], object]] = {
            KEY: lambda: os.write(keyboard, STOP),
            WIRE: lambda: session.stop(Reason.OPERATOR),
        }
        with Operator(session, fd=fd, tell=lambda line: None) as operator:
            for turn in range(times):
                for way in WAYS:
                    operator.begin()
                    stop = _stop(session, operator, press[way], seed + turn, random)
                    stops[way].append(stop)
    return stops


def _stop(
    session: Session,
    operator: Operator,
    press: Callable[[], object],
    seed: int,
    random: np.random.Generator,
) -> StopTime:
    """One episode that ends by a stop."""
    hand = _Hand(press, wait_s=MOST_WAIT_S * float(random.random()))
    with _Targets(session.directory / TARGET_FILE) as targets:

        def look(view: View) -> None:
            operator.look(view)
            hand.look(view)
            targets.look()

        hand.start()
        outcome = session.run_episode(seed=seed, limit_s=LIMIT_S, watch=look)
        targets.look()
    if hand.pressed_ns is None:
        raise FeelforwardError(f"The arm did not move within {LIMIT_S:g} s; nobody could stop it.")
    hand.join()
    return _timed(outcome.record, targets.samples, hand.pressed_ns)


def _timed(record: EpisodeRecord, samples: list[Sample], pressed_ns: int) -> StopTime:
    tick = int(np.argmax(record.rung_N == Rung.STOPPED))
    sent_D = record.sent_ND[tick]
    speed_N = np.linalg.norm(np.diff(record.sent_ND[:, :3], axis=0), axis=1)
    sent = [sample for sample in samples if np.array_equal(sample.values[1:], sent_D)]
    if record.rung_N[tick] != Rung.STOPPED or not sent or not speed_N[tick - 1] < speed_N[tick - 2]:
        raise FeelforwardError("A stop was asked for, and the arm was not sent a slower command.")
    begun_ns = int(record.stamp_ns_N[tick] + record.late_ns_N[tick])
    return StopTime(pressed_ns, begun_ns, sent[0].exposed_ns)


class _Hand(threading.Thread):
    """Presses once, `wait_s` after the arm has followed plans for a while."""

    def __init__(self, press: Callable[[], object], *, wait_s: float) -> None:
        super().__init__(daemon=True)
        self._press = press
        self._wait_ns = round(wait_s * NS_PER_S)
        self._steady = threading.Event()
        self._ticks = 0
        self.pressed_ns: int | None = None

    def look(self, view: View) -> None:
        for message in view.messages:
            self._ticks += isinstance(message, Command) and message.provenance.source == POLICY
        if self._ticks >= STEADY_TICKS:
            self._steady.set()

    def run(self) -> None:
        if not self._steady.wait(LIMIT_S):
            return
        clock = MonotonicClock()
        clock.sleep_until(clock.now_ns() + self._wait_ns)
        self.pressed_ns = clock.now_ns()
        self._press()


class _Targets:
    """Every command that the arm could take, with the stamp of its sending."""

    def __init__(self, path: Path) -> None:
        self._ring = RingReader(path)
        self.samples: list[Sample] = []

    def __enter__(self) -> "_Targets":
        self._ring.skip_to_now()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ring.close()

    def look(self) -> None:
        self.samples += self._ring.unseen()


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    """A pseudo terminal: the end of its keyboard, and the other one's."""
    keyboard, fd = pty.openpty()
    try:
        yield keyboard, fd
    finally:
        os.close(keyboard)
        os.close(fd)
