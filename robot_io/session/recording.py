"""What a session keeps of its episodes: a record each, and what its recorder writes meanwhile.

Nothing here holds an episode up or ends it: the recorder is told and never waited for, and trouble
is one line for the operator.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

import zmq

from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.control.record import NO_RECORD, EpisodeRecord
from robot_io.errors import FeelforwardError
from robot_io.files import check_writable
from robot_io.machine import made_by
from robot_io.remote.report import LinkReport
from robot_io.session.directory import record_path
from robot_io.session.processes import Child, ChildSpec, SessionError
from robot_io.session.supervision import Tell

SILENT_NS = 5 * NS_PER_S  # a recorder says something every second
END_TIMEOUT_S = 3.0


class Recording:
    """A run's folder, `episode_SEED.npz` and `episode_SEED.mcap` in it; without one, nothing.

    Entering refuses a folder that holds something already, and starts the recorder.
    """

    def __init__(
        self,
        folder: Path | None,
        streams: Iterable[str],
        directory: Path,
        context: zmq.Context,
        *,
        tell: Tell,
    ) -> None:
        self._folder = folder
        self._streams = list(streams)
        self._directory = directory
        self._context = context
        self._tell = tell
        self._clock = MonotonicClock()
        self._recorder: Child | None = None
        self._path = Path()  # of the episode, without its suffix
        self._recording = False
        self._heard_ns = 0
        self._made_by: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._folder is not None:
            _check_new(self._folder)
            self._made_by = made_by()
            settings = {"streams": self._streams, "made_by": self._made_by}
            spec = ChildSpec("recorder", "recorder", str(self._directory), {}, settings)
            self._recorder = Child(spec, self._context)
        return self

    def __exit__(self, *exc: object) -> None:
        left = record_path(self._directory)
        if left.exists():  # the session was ended during an episode
            try:
                self._save(EpisodeRecord.load(left))
            except FeelforwardError as error:
                self._tell(str(error))
        if self._recorder is not None:
            self._recorder.end(timeout_s=END_TIMEOUT_S)

    @property
    def children(self) -> list[Child]:
        return [] if self._recorder is None else [self._recorder]

    def begin(self, *, seed: int, begin_ns: int) -> None:
        """A new episode. Nobody has to answer."""
        if self._folder is None:
            return
        self._path = self._folder.resolve() / f"episode_{seed}"
        self._recording, self._heard_ns = True, self._clock.now_ns()
        if self._recorder is not None:
            path = str(self._path.with_suffix(".mcap"))
            self._recorder.tell("begin", path=path, begin_ns=begin_ns)

    def look(self) -> None:
        """Hears the recorder and says when it is in trouble, once."""
        if self._recorder is None:
            return
        now_ns = self._clock.now_ns()
        try:
            note = self._recorder.heard()
        except SessionError as error:
            self._tell(f"{error} The arm goes on, without a recorder.")
            self._recorder.end(timeout_s=END_TIMEOUT_S)
            self._recorder = None
            return
        if note is not None:
            self._heard_ns = now_ns
            if note.kind == "trouble":
                self._tell(f"{note.values['sentence']} The arm goes on.")
        elif self._recording and now_ns > self._heard_ns + SILENT_NS:
            self._recording = False
            self._tell("The flight recorder does not answer; its file has gaps. The arm goes on.")

    def keep(self, record: EpisodeRecord | None, link: LinkReport | None = None) -> None:
        """The episode is over; None where the control process could not say what it did.

        `link` is how the line to a policy on another machine did meanwhile.
        """
        if self._folder is None:
            return
        self._recording = False
        last_ns = 0 if record is None or not len(record.stamp_ns_N) else record.stamp_ns_N[-1]
        if self._recorder is not None:
            about_link = {} if link is None else link.values()
            self._recorder.tell("end", last_ns=int(last_ns), **about_link)
        if record is not None:
            self._save(record)
        else:
            self._tell(f"{self._path.name}: {NO_RECORD}")

    def _save(self, record: EpisodeRecord) -> None:
        if self._folder is None:
            return
        try:
            made = replace(record, made_by=json.dumps(self._made_by))
            made.save(self._path.with_suffix(".npz"))
        except FeelforwardError as error:
            self._tell(f"{error} This episode cannot be replayed.")


def _check_new(folder: Path) -> None:
    """One run per folder: an old one is never overwritten or mixed up."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FeelforwardError(
            f"{folder} holds something already, allowed: a new or an empty folder. Choose another"
            " for this run."
        )
    check_writable(folder / "episode.npz")
