"""The recorder's process: listens to everything, writes one MCAP file per episode.

It only reads: feedback that it does not fetch is dropped, rings overwrite what it has not seen.
So a recorder that is slow, stopped or dead, or whose disk is full, holds nobody up. The session
hears `alive` once a second while an episode is recorded, and `trouble` with one sentence.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.remote.report import LinkReport
from robot_io.session.child import Line
from robot_io.session.directory import feedback_path
from robot_io.session.flight_file import FlightFile
from robot_io.session.processes import ChildSpec
from robot_io.session.view import View, Viewer
from robot_io.types import Command

NICENESS = 10  # everybody else comes first
TURN_S = 0.05
FLUSH_NS = NS_PER_S
LATE_NS = NS_PER_S  # how long the last commands of an episode may be on their way


def run(spec: ChildSpec, line: Line) -> None:
    os.nice(NICENESS)
    directory = Path(spec.directory)
    while not feedback_path(directory).exists() and not line.ending.is_set():
        line.ending.wait(0.01)  # connected before it speaks, we miss nothing
    with Viewer(spec.settings["streams"], directory, line.context) as viewer:
        recorder = _Recorder(viewer, line, made_by=spec.settings["made_by"])
        line.say("ready")
        while not line.ending.is_set():
            note = line.wait(TURN_S)
            if note is not None and note.kind == "begin":
                recorder.begin(Path(str(note.values["path"])), int(note.values["begin_ns"]))
            elif note is not None and note.kind == "end":
                recorder.end_at(int(note.values["last_ns"]), link=LinkReport.of(note.values))
            recorder.turn()
        recorder.close()


class _Recorder:
    """One episode after the other."""

    def __init__(self, viewer: Viewer, line: Line, *, made_by: Mapping[str, str]) -> None:
        self._viewer = viewer
        self._made_by = made_by
        self._line = line
        self._clock = MonotonicClock()
        self._path = Path()
        self._file: FlightFile | None = None
        self._begin_ns = 0
        self._heard_ns = 0  # stamp of the newest command
        self._last_ns: int | None = None  # of the last command, once the episode is over
        self._give_up_ns = 0
        self._flush_ns = 0

    def begin(self, path: Path, begin_ns: int) -> None:
        """Frames from `begin_ns` on belong to this episode."""
        self.close()
        self._path, self._begin_ns, self._last_ns = path, begin_ns, None
        with self._forgiving():
            self._file = FlightFile(path)
            self._file.describe("episode", {"name": path.stem, "begin_ns": begin_ns})
            self._file.describe("made_by", self._made_by)
            self._file.flush()

    def end_at(self, last_ns: int, *, link: LinkReport | None = None) -> None:
        self._last_ns = last_ns
        self._give_up_ns = self._clock.now_ns() + LATE_NS
        with self._forgiving():
            if self._file is not None and link is not None:
                self._file.describe("policy_link", asdict(link))

    def turn(self) -> None:
        """Writes down what is new."""
        view = self._viewer.look()
        with self._forgiving():
            if self._file is not None:
                self._write(self._file, view)
        now_ns = self._clock.now_ns()
        if self._last_ns is None:
            return
        if self._heard_ns >= self._last_ns or now_ns > self._give_up_ns:
            self.close()

    def close(self) -> None:
        with self._forgiving():
            if self._file is not None:
                self._file.close()
            self._file = None

    def _write(self, file: FlightFile, view: View) -> None:
        for message in view.messages:
            file.add(message)
            if isinstance(message, Command):
                self._heard_ns = message.due_ns
        for frame in view.frames:
            if frame.exposed_ns >= self._begin_ns:
                file.add_frame(frame)
        now_ns = self._clock.now_ns()
        if now_ns >= self._flush_ns:
            self._flush_ns = now_ns + FLUSH_NS
            file.flush()
            self._line.say("alive")

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """A disk that refuses ends the file, not the process."""
        try:
            yield
        except OSError as error:
            if self._file is not None:
                self._file.abandon()
            self._file = None
            sentence = f"The flight recorder cannot write {self._path}: {error.strerror}."
            self._line.say("trouble", sentence=sentence)
