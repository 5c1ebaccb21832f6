"""Where a child process of a session begins: `python -m robot_io.session.child SPEC`."""

import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import zmq

from robot_io import wire
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.session.directory import line_path
from robot_io.session.processes import QUIT, ChildSpec

ORPHAN_GRACE_S = 2.0  # to stop the arm; then the process ends, whatever it is doing
LAST_NOTE_MS = 1000

ROLES = {
    "control": "robot_io.session.control",
    "camera": "robot_io.session.camera",
    "policy": "robot_io.session.policy",
    "recorder": "robot_io.session.recorder",
    "world": "robot_io.session.world",
}


class Line:
    """A child's line to its session. `ending` is set when the child must come to an end."""

    def __init__(self, spec: ChildSpec, context: zmq.Context) -> None:
        self.context = context
        self.ending = threading.Event()
        self.orphaned = False
        self._directory = spec.directory
        self._socket = wire.connect(context, zmq.PAIR, line_path(spec.directory, spec.name))
        self._socket.setsockopt(zmq.LINGER, LAST_NOTE_MS)
        signal.signal(signal.SIGTERM, lambda *_: self.ending.set())
        threading.Thread(target=self._hold_lifeline, daemon=True).start()

    def say(self, kind: str, **values: wire.NoteValue) -> None:
        wire.send(self._socket, wire.Note(kind, values))

    def heard(self) -> wire.Note | None:
        """The session's next note, if any."""
        note = wire.receive(self._socket)
        if note is not None and not isinstance(note, wire.Note):
            raise wire.WireError(f"The session sent {type(note).__name__}, allowed Note.")
        return note

    def wait(self, timeout_s: float) -> wire.Note | None:
        """`heard()`, waiting for it up to `timeout_s`."""
        self._socket.poll(int(timeout_s * 1000))
        return self.heard()

    def fail(self, sentence: str) -> None:
        sentence = " ".join(sentence.split())  # one line, whatever a library has put into it
        print(sentence, file=sys.stderr)
        self.say("failed", sentence=sentence[: wire.MAX_TEXT])

    def clean_up(self) -> None:
        """Removes what a killed session left behind. Several children may do it at once."""
        if self.orphaned:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _hold_lifeline(self) -> None:
        self.orphaned = os.read(sys.stdin.fileno(), 1) != QUIT
        self.ending.set()
        clock = MonotonicClock()
        clock.sleep_until(clock.now_ns() + int(ORPHAN_GRACE_S * NS_PER_S))
        self.clean_up()
        os._exit(1)


def main(spec_path: str) -> int:
    spec = ChildSpec.load(Path(spec_path))
    context = zmq.Context()
    line = Line(spec, context)
    try:
        run: Callable[[ChildSpec, Line], None] = import_module(ROLES[spec.role]).run
        run(spec, line)
    except FeelforwardError as error:
        line.fail(f"Process {spec.name!r}: {error}")
        return 1
    except Exception as error:  # the top of the process: the arm has been stopped on the way here
        traceback.print_exc()
        line.fail(f"Process {spec.name!r} failed: {type(error).__name__}: {error}")
        return 1
    finally:
        context.destroy()
        line.clean_up()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
