"""The operator's keys on a real pseudo terminal: they arrive, and the terminal is put right."""

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.session.view import View
from robot_io.types import TELEOP, ActionChunk, Command, MonoNs, Provenance
from scripts.live import operator_keys
from scripts.live.operator_keys import HELP, Operator, single_keys, split_keys, terminal_fd

HOME = np.array([0.45, 0.0, 0.30, 0.0, 1.0, 0.0, 0.0, 0.04])
SOON_S = 5.0  # of waiting for a thread on a busy machine; it is mostly a millisecond


@dataclass
class Robot:
    """Notes what it is asked for, and when."""

    asked: list[str] = field(default_factory=list)
    asked_ns: list[int] = field(default_factory=list)
    chunks: list[ActionChunk] = field(default_factory=list)
    news: threading.Event = field(default_factory=threading.Event)

    def stop(self, reason: str) -> None:
        self._note(f"stop {reason}")

    def take_over(self) -> None:
        self._note("take over")

    def hand_back(self) -> None:
        self._note("hand back")

    def teleoperate(self, chunk: ActionChunk) -> None:
        self.chunks.append(chunk)

    def heard(self) -> str:
        """What it is asked next, within `SOON_S`."""
        assert self.news.wait(SOON_S)
        self.news.clear()
        return self.asked[-1]

    def _note(self, what: str) -> None:
        self.asked_ns.append(MonotonicClock().now_ns())
        self.asked.append(what)
        self.news.set()


@dataclass
class Desk:
    """A person's side of a terminal, and the other one's file descriptor."""

    keyboard: int
    fd: int

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def mode(self) -> list:
        return termios.tcgetattr(self.fd)


@pytest.fixture
def desk() -> Iterator[Desk]:
    keyboard, fd = pty.openpty()
    desk = Desk(keyboard, fd)
    yield desk
    os.close(fd)
    if desk.keyboard >= 0:
        os.close(keyboard)


def view(*messages: wire.Message) -> View:
    return View([], list(messages), [])


def sent(due_ms: int) -> Command:
    return Command(1, MonoNs(due_ms * NS_PER_MS), HOME, Provenance("policy"))


# ---- what a terminal sends


@pytest.mark.parametrize(
    ("data", "keys", "rest"),
    [
        (b" ", [b" "], b""),
        (b"th", [b"t", b"h"], b""),
        (b"\x1b[A\x1b[5~r", [b"\x1b[A", b"\x1b[5~", b"r"], b""),
        (b"\x1bOA\x1bOD", [b"\x1b[A", b"\x1b[D"], b""),
        (b"xyz\xc3\xa4", [], b""),
        (b"x\n", [b"\n"], b""),
        (b"\x1b", [], b"\x1b"),
        (b"\x1b[5", [], b"\x1b[5"),
        (b"\x1b[?1;2c", [], b""),  # an answer of the terminal, not the hand
        (b"\x1b[1;5C", [], b""),
        (b"\x1b[200~t h\x1b[201~", [b"t", b" ", b"h"], b""),
        (b"\x1b" + b"t", [b"t"], b""),
    ],
)
def test_keys_are_told_from_everything_else(data: bytes, keys: list[bytes], rest: bytes) -> None:
    assert split_keys(data) == (keys, rest)


@pytest.mark.parametrize("before", [b"", b"\x1b", b"\x1b[", b"\x1b[1", b"\x1b[12345678", b"\x80q"])
def test_whatever_came_before_a_space_is_a_stop(before: bytes) -> None:
    assert b" " in split_keys(before + b" ")[0]
    assert b" " in split_keys(before + b" A")[0]


def test_an_arrow_that_comes_in_two_parts_is_one_key() -> None:
    keys, rest = split_keys(b"\x1b[")
    assert (keys, split_keys(rest + b"A")) == ([], ([b"\x1b[A"], b""))


# ---- the keys


def test_each_key_arrives_at_once_without_return(desk: Desk) -> None:
    robot, told = Robot(), []
    with Operator(robot, fd=desk.fd, tell=told.append):
        assert told == [HELP]
        for keys, asked in [(b"t", "take over"), (b"h", "hand back"), (b" ", "stop operator")]:
            begin_ns = MonotonicClock().now_ns()
            desk.type(keys)
            assert robot.heard() == asked
            assert robot.asked_ns[-1] - begin_ns < NS_PER_S
    assert robot.asked == ["take over", "hand back", "stop operator"]


def test_while_it_has_the_arm_keys_become_chunks(desk: Desk) -> None:
    robot, told = Robot(), []
    with Operator(robot, fd=desk.fd, tell=told.append) as operator:
        operator.begin()
        operator.look(view(sent(0), sent(10)))
        desk.type(b"t")
        assert robot.heard() == "take over"
        operator.look(view(sent(20)))
        assert robot.chunks == [], "the control process has not said so yet"
        operator.look(view(wire.TakeOver(MonoNs(1)), sent(30)))
        assert len(robot.chunks) == 1, "it has the arm before it moves it"
        chunk = robot.chunks[-1]
        assert chunk.source == TELEOP
        assert chunk.row_HD == pytest.approx(np.tile(HOME, (5, 1)))
        desk.type(b"\x1b[A\x1b[A ")
        assert robot.heard() == "stop operator"  # so the arrows have arrived as well
        now_ms = MonotonicClock().now_ns() // NS_PER_MS
        operator.look(view(sent(now_ms - 10), sent(now_ms)))
        assert robot.chunks[-1].row_HD[-1, 0] > HOME[0] + 1e-3
        operator.look(view(wire.HandBack(MonoNs(2))))
        operator.look(view(sent(now_ms + 10)))
        assert len(robot.chunks) == 2
    assert len(told) == 3


def test_an_arm_that_another_device_took_is_not_moved_by_the_keys(desk: Desk) -> None:
    robot = Robot()
    with Operator(robot, fd=desk.fd, tell=lambda line: None) as operator:
        operator.look(view(sent(0), sent(10), wire.TakeOver(MonoNs(1))))
        operator.look(view(sent(20)))
    assert robot.chunks == []


def test_a_real_arm_waits_for_enter_and_one_pressed_before_does_not_count(desk: Desk) -> None:
    robot, told, moves = Robot(), [], threading.Event()
    with Operator(robot, fd=desk.fd, tell=told.append) as operator:
        desk.type(b"\n ")
        robot.heard()
        waiting = threading.Thread(target=lambda: (operator.await_word(), moves.set()))
        waiting.start()
        assert not moves.wait(0.05)
        while operator_keys.WORD not in told:
            assert waiting.is_alive()
        desk.type(b"x\n")
        assert moves.wait(SOON_S)
        waiting.join()


def test_without_a_terminal_nobody_lets_a_real_arm_move(desk: Desk) -> None:
    with Operator(Robot(), fd=desk.fd, tell=lambda line: None) as operator:
        os.close(desk.keyboard)
        desk.keyboard = -1
        operator._keys._thread.join(SOON_S)
        with pytest.raises(FeelforwardError, match="terminal has gone away"):
            operator.await_word()


def test_a_new_episode_begins_with_the_policy(desk: Desk) -> None:
    robot = Robot()
    with Operator(robot, fd=desk.fd, tell=lambda line: None) as operator:
        desk.type(b"t")
        robot.heard()
        operator.look(view(sent(0), sent(10), wire.TakeOver(MonoNs(1))))
        operator.begin()
        operator.look(view(sent(20), sent(30)))
    assert len(robot.chunks) == 1


def test_a_terminal_that_goes_away_silences_the_person_and_not_the_run(desk: Desk) -> None:
    robot = Robot()
    with Operator(robot, fd=desk.fd, tell=lambda line: None) as operator:
        desk.type(b"t")
        robot.heard()
        operator.look(view(sent(0), sent(10), wire.TakeOver(MonoNs(1))))
        os.close(desk.keyboard)
        desk.keyboard = -1
        operator._keys._thread.join(SOON_S)
        operator.look(view(sent(20)))
    assert len(robot.chunks) == 1, "silence: the ladder follows"


# ---- the terminal


def assert_cbreak(desk: Desk) -> None:
    local = desk.mode()[3]
    assert not local & (termios.ECHO | termios.ICANON)
    assert local & termios.ISIG, "Ctrl-C interrupts as before"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_terminal_is_restored_whatever_happens(desk: Desk, error: type) -> None:
    before = desk.mode()
    with pytest.raises(error), Operator(Robot(), fd=desk.fd, tell=lambda line: None):
        assert_cbreak(desk)
        raise error
    assert desk.mode() == before
    assert not [thread for thread in threading.enumerate() if thread.name == "keys"]


def test_handlers_of_signals_are_put_back(desk: Desk) -> None:
    before = [signal.getsignal(number) for number in operator_keys.ENDING_SIGNALS]
    with single_keys(desk.fd):
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL
    assert [signal.getsignal(number) for number in operator_keys.ENDING_SIGNALS] == before


CHILD = """
import sys, time
from scripts.live.operator_keys import Operator, single_keys
with single_keys(0):
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, *operator_keys.ENDING_SIGNALS])
def test_the_terminal_is_restored_after_a_signal(desk: Desk, number: signal.Signals) -> None:
    before = desk.mode()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=desk.fd, stderr=pipe) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == b"ready\n"
        assert_cbreak(desk)
        child.send_signal(number)
        child.wait(SOON_S)
    assert desk.mode() == before


def test_where_no_terminal_is_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", nothing)
        assert terminal_fd() is None


def test_a_terminal_in_front_has_keys(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(os.dup(desk.fd)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert terminal_fd() == stdin.fileno()


def test_a_run_in_the_background_leaves_the_terminal_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with os.fdopen(os.dup(desk.fd)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
        assert terminal_fd() is None
