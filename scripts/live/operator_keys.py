"""One person at the terminal of a running session: stop, take over, move, hand back.

    keyboard ─▶ thread: stop, take over, hand back at once ─▶ session ─▶ gate
                  └── motions ─▶ `look`, every 20 ms ─▶ chunks ──┘

The keys live in the process of the command line; nothing waits for them. A stop does not wait for
the session's turn of 20 ms either. Where no terminal is, there are no keys.
"""

import os
import re
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Protocol, Self

from robot_io import wire
from robot_io.clock import Clock, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.gate.reasons import Reason
from robot_io.session.supervision import Tell
from robot_io.session.view import View
from robot_io.types import ActionChunk, Command
from scripts.live.jog import Jog

STOP, TAKE_OVER, HAND_BACK, BEGIN = b" ", b"t", b"h", b"\n"
MOTION_OF = {  # as from a chair before the robot's base, looking along x
    b"\x1b[A": "x+",
    b"\x1b[B": "x-",
    b"\x1b[D": "y+",
    b"\x1b[C": "y-",
    b"\x1b[5~": "z+",
    b"\x1b[6~": "z-",
    b"r": "z+",
    b"f": "z-",
    b"q": "yaw+",
    b"e": "yaw-",
    b"o": "hand+",
    b"c": "hand-",
}
KEYS = (STOP, TAKE_OVER, HAND_BACK, BEGIN, *MOTION_OF)
_TOKEN = re.compile(rb"\x1b[\[O][0-9;?]{0,8}[A-Za-z~]|.", re.DOTALL)  # no sequence hides a space
_UNFINISHED = re.compile(rb"\x1b([\[O][0-9;?]{0,8})?\Z")
HELP = (
    "Keys: space software stop, t take over, h hand back; having taken over: arrows x and y,"
    " r f or page up/down z, q e turn, o c hand. Ctrl-C ends the run."
)
WORD = "Look at the arm and all around it. Enter: it moves. Ctrl-C: it does not."
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Robot(Protocol):
    """What an operator asks of a session. Every method may be called from any thread."""

    def stop(self, reason: str) -> None: ...
    def take_over(self) -> None: ...
    def hand_back(self) -> None: ...
    def teleoperate(self, chunk: ActionChunk) -> None: ...


class Operator:
    """The keys of the terminal at file descriptor `fd`, from entering until leaving.

    Call `begin` before each episode and `look` for each view of it.
    """

    def __init__(
        self, robot: Robot, *, fd: int, tell: Tell = print, clock: Clock | None = None
    ) -> None:
        self._robot = robot
        self._fd = fd
        self._tell = tell
        self._clock = clock if clock is not None else MonotonicClock()
        self._jog = Jog()
        self._motions: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._word = threading.Event()  # that an episode may begin
        self._has_arm = False  # by what the control process says
        self._wants_arm = False  # by the last key; else another device has taken over
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(single_keys(self._fd))
            self._keys = stack.enter_context(KeyThread(self._fd, self._pressed))
            self._tell(HELP)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def await_word(self) -> None:
        """Returns when the operator, who was told to look at the arm, lets the episode begin."""
        self._tell(WORD)
        self._word.clear()
        while not self._word.wait(0.1):
            if not self._keys.alive:
                raise FeelforwardError("The terminal has gone away: nobody lets the arm move.")

    def begin(self) -> None:
        """A new episode: the arm is the policy's."""
        self._jog, self._has_arm = Jog(), False

    def look(self, view: View) -> None:
        """Hears who has the arm, and moves it while that is the operator."""
        for message in view.messages:
            if isinstance(message, Command):
                self._jog.sent(message)
            elif isinstance(message, wire.TakeOver):
                self._has_arm = True
                self._tell("The policy's plans wait: the arm is taken over.")
            elif isinstance(message, wire.HandBack):
                self._has_arm = False
                self._tell("The policy has the arm again.")
        for motion, stamp_ns in self._new_motions():
            self._jog.press(motion, stamp_ns)
        leads = self._has_arm and self._wants_arm
        if leads and self._keys.alive:  # without a keyboard the ladder shall follow
            chunk = self._jog.chunk(self._clock.now_ns())
            if chunk is not None:
                self._robot.teleoperate(chunk)

    def _new_motions(self) -> Iterator[tuple[str, int]]:
        while True:
            try:
                yield self._motions.get_nowait()
            except Empty:
                return

    def _pressed(self, key: bytes) -> None:
        """In the thread of the keys."""
        if key == STOP:
            self._robot.stop(Reason.OPERATOR)
        elif key == BEGIN:
            self._word.set()
        elif key == TAKE_OVER:
            self._wants_arm = True
            self._robot.take_over()
        elif key == HAND_BACK:
            self._wants_arm = False
            self._robot.hand_back()
        else:
            self._motions.put((MOTION_OF[key], self._clock.now_ns()))


class KeyThread:
    """Calls `pressed` for each of `KEYS` the moment it is typed; leaving ends it."""

    def __init__(self, fd: int, pressed: Callable[[bytes], None]) -> None:
        self._fd = fd
        self._pressed = pressed
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)

    def __enter__(self) -> Self:
        self._ended, self._end = os.pipe()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        os.write(self._end, b".")
        self._thread.join()
        os.close(self._end)
        os.close(self._ended)

    @property
    def alive(self) -> bool:
        """Whether keys still arrive; not when the terminal has gone away."""
        return self._thread.is_alive()

    def _run(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._fd, self._ended], [], [])
            if self._ended in ready:
                return
            try:
                data = os.read(self._fd, 1024)
            except OSError:  # the terminal has gone away
                return
            if not data:
                return
            keys, rest = split_keys(rest + data)
            for key in keys:
                self._pressed(key)


def split_keys(data: bytes) -> tuple[list[bytes], bytes]:
    """The `KEYS` in what a terminal sent, and the beginning of one that is not complete yet.

    Everything else is passed over, unknown sequences as a whole. Arrows may come as ESC O, too.
    """
    unfinished = _UNFINISHED.search(data)
    end = len(data) if unfinished is None else unfinished.start()
    tokens = [token.replace(b"\x1bO", b"\x1b[") for token in _TOKEN.findall(data[:end])]
    return [token for token in tokens if token in KEYS], data[end:]


def terminal_fd() -> int | None:
    """The terminal in which this process runs in the foreground; None where there is none."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    fd = sys.stdin.fileno()
    try:
        in_front = os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # not the terminal that controls us: it cannot suspend us
        in_front = True
    return fd if in_front else None


@contextmanager
def single_keys(fd: int) -> Iterator[None]:
    """Keys arrive one by one and are not shown, until the end of the block, however it ends.

    Ctrl-C still interrupts. Signals that would end the process on the spot let it clean up.
    """
    before = termios.tcgetattr(fd)
    with _cleaning_up_when_ended():
        try:
            tty.setcbreak(fd, termios.TCSANOW)
            yield
        finally:
            with suppress(termios.error):  # the terminal has gone away
                termios.tcsetattr(fd, termios.TCSANOW, before)


@contextmanager
def _cleaning_up_when_ended() -> Iterator[None]:
    """Inside, a signal that nobody handles raises SystemExit in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread handle signals
        return
    mine = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
