"""A session in real time: processes started, watched, stopped, and nothing left behind.

    session ──▶ world ◀──▶ control ◀── policy ◀── camera, camera, ...
       └────── notes: ready, begin/begun, watching, over, end/ended, recorded

A dead process ends the session with one sentence, after the arm has come to rest; only a recorder
costs no more than its file. A session that is suspended itself (Ctrl-Z) watches nothing: the
control process then takes no more plans.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import zmq

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.control.record import EpisodeRecord
from robot_io.remote.report import LinkReport
from robot_io.session import realtime
from robot_io.session.directory import inbox_path, record_path, session_directory
from robot_io.session.processes import NEWS, Child, ChildSpec, SessionError, is_suspended
from robot_io.session.recording import Recording
from robot_io.session.spec import SessionSpec
from robot_io.session.supervision import Supervisor, Tell
from robot_io.session.timing import Outcome, Plans
from robot_io.session.view import View, Viewer
from robot_io.types import ActionChunk

READY_TIMEOUT_S = 120.0  # a policy imports torch, a world compiles its model
ANSWER_TIMEOUT_S = 30.0
END_TIMEOUT_S = 3.0
SUSPENDED_TIMEOUT_S = 1.0  # a process that somebody has stopped will not answer
TO_REST_S = 0.7  # from any speed a gate allows, once an arm has stopped by itself
POLL_NS = 20 * NS_PER_MS

Watch = Callable[[View], None]


class EpisodeCutError(SessionError):
    """A process died during an episode. `record` is what the arm did until it was at rest."""

    def __init__(self, sentence: str, record: EpisodeRecord | None) -> None:
        super().__init__(sentence)
        self.record = record


class Session:
    """Processes around one arm.

    >>> with Session(spec) as session:
    ...     outcome = session.run_episode(seed=1, limit_s=60.0)
    """

    def __init__(self, spec: SessionSpec, *, tell: Tell = lambda line: None) -> None:
        """`tell` gets one line per fault of a stream, and one when it is over."""
        self._spec = spec
        self._tell = tell
        self._clock = MonotonicClock()
        self._stack = ExitStack()
        self._children: dict[str, Child] = {}
        self._inbox_lock = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = stack.enter_context(session_directory())
            self._share = stack.enter_context(realtime.off_the_control_core())
            self._context = zmq.Context()
            stack.callback(self._context.destroy)
            recording = Recording(
                self._spec.record,
                self._spec.cameras,
                self.directory,
                self._context,
                tell=self._tell,
            )
            self._recording = stack.enter_context(recording)  # ends last: it hears how we end
            stack.callback(self._end_children)
            for child_spec in self._child_specs():
                self._children[child_spec.name] = Child(child_spec, self._context)
            viewer = Viewer(self._spec.cameras, self.directory, self._context)
            self._viewer = stack.enter_context(viewer)
            self._inbox = wire.connect(self._context, zmq.PUSH, inbox_path(self.directory))
            started = [*self._children.values(), *self._recording.children]
            ready = {child.name: "ready" for child in started}
            said = self._await(ready, among=started, timeout_s=READY_TIMEOUT_S)
            self.real_time = str(said["control"].values["real_time"])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def run_episode(
        self, *, seed: int, limit_s: float, watch: Watch | None = None, released: bool = False
    ) -> Outcome:
        """Runs until the world says that it is over, the arm is stopped, or for `limit_s`.

        An arm without a world is stopped in the end; the next episode needs a person who has looked
        at it: `released`.

        `watch` is called every 20 ms with what is new. Raises `EpisodeCutError` when a process
        dies or is suspended: the arm has then come to rest first.
        """
        self._begin(seed, released=released)
        try:
            result = self._watch_episode(limit_s, watch)
            recorded = self._tell_and_await({"control": "recorded"}, "end")["control"]
        except SessionError as error:
            record = self._wind_down()
            self._recording.keep(record)
            raise EpisodeCutError(str(error), record) from None
        record, link = _load(recorded), None
        try:
            ended = self._tell_and_await({"policy": "ended"}, "end")["policy"]
            link = LinkReport.of(ended.values)
        except SessionError as error:
            raise EpisodeCutError(str(error), record) from None
        finally:
            self._recording.keep(record, link)
        plans = Plans.join(ended.values, recorded.values)
        return Outcome(result, record, plans, int(recorded.values["missed_ticks"]), link)

    # ---- a person's word: from any thread, at any moment of a session that has been entered

    def stop(self, reason: str) -> None:
        """A latched stop of the arm. It only asks; the gate decides on the way down.

        Without an episode it is kept and stops the next one.
        """
        self._ask(wire.Stop(reason))

    def take_over(self) -> None:
        """From now on the arm follows `teleoperate`, and the policy's plans are only recorded.

        The policy's plan goes on for 0.2 s at most: send the first chunk within that time. Chunks
        that stop coming mean what a silent policy means: slow down, hold, a latched stop.
        """
        self._ask(wire.TakeOver(self._clock.now_ns()))

    def hand_back(self) -> None:
        """From now on the arm follows what the policy plans from newer observations."""
        self._ask(wire.HandBack(self._clock.now_ns()))

    def teleoperate(self, chunk: ActionChunk) -> None:
        """A chunk with the source TELEOP, its `observed_ns` the stamp of the person's device."""
        self._ask(chunk)

    def _ask(self, message: wire.Message) -> None:
        with self._inbox_lock:  # a ZMQ socket is one thread's at a time
            wire.send(self._inbox, message)

    # ---- an episode

    def _begin(self, seed: int, *, released: bool) -> None:
        """World first, control last: nobody acts on what was before the episode."""
        begin_ns = int(self._clock.now_ns())
        if "world" in self._children:
            answer = self._tell_and_await({"world": "begun"}, "begin", seed=seed)["world"]
            begin_ns = int(answer.values["begin_ns"])
        self._recording.begin(seed=seed, begin_ns=begin_ns)
        cameras = {name: "begun" for name in self._children if name.startswith("camera_")}
        self._tell_and_await(cameras, "begin", seed=seed)
        self._tell_and_await({"policy": "begun"}, "begin", seed=seed, begin_ns=begin_ns)
        release = released or self._spec.world is not None  # a reset world: nothing to look at
        self._tell_and_await({"control": "begun"}, "begin", begin_ns=begin_ns, release=release)

    def _watch_episode(self, limit_s: float, watch: Watch | None) -> Mapping[str, wire.NoteValue]:
        self._viewer.look()  # forget what was before
        ids = {name: child.process.pid for name, child in self._children.items()}
        begin_ns = self._clock.now_ns()
        supervisor = Supervisor(self._spec, begin_ns, process_ids=ids, tell=self._tell)
        end_ns = begin_ns + int(limit_s * NS_PER_S)
        while (now_ns := self._clock.now_ns()) < end_ns:
            for child in self._children.values():
                note = self._heard(child)
                if note is not None and note.kind == "over":
                    return note.values
                if note is not None and note.kind == "stopped":
                    return {"success": False, "reason": f"stopped ({note.values['reason']})"}
            self._recording.look()
            view = self._viewer.look()
            supervisor.look(view, now_ns, self._clock.now_ns())
            self._children["control"].tell("watching")
            if watch is not None:
                watch(view)
            if supervisor.commands_have_ended(now_ns):
                raise SessionError("The control process sends no more commands. Start again.")
            self._clock.sleep_until(self._clock.now_ns() + POLL_NS)
        return {}

    def _wind_down(self) -> EpisodeRecord | None:
        """Lets the arm execute the rest of its plan and come to rest, if it still can."""
        control = self._children["control"]
        control.tell("wind_down")
        with suppress(SessionError):
            return _load(self._await({"control": "recorded"}, among=[control])["control"])
        # without it the arm stops by itself
        rest_s = self._spec.max_target_age_s + TO_REST_S
        self._clock.sleep_until(self._clock.now_ns() + round(rest_s * NS_PER_S))
        left = record_path(self.directory)  # of a control process whose arm has failed
        return _take(left) if left.exists() else None

    # ---- notes

    def _tell_and_await(
        self, answers: Mapping[str, str], kind: str, **values: wire.NoteValue
    ) -> dict[str, wire.Note]:
        """Tells each child in `answers` and waits for the kind of note that it answers with."""
        for name in answers:
            self._children[name].tell(kind, **values)
        return self._await(answers, among=self._children.values())

    def _await(
        self,
        expected: Mapping[str, str],
        *,
        among: Iterable[Child],
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> dict[str, wire.Note]:
        """The note of the expected kind from each; others are passed over. A death ends it."""
        got: dict[str, wire.Note] = {}
        begin_ns = self._clock.now_ns()
        end_ns = begin_ns + int(timeout_s * NS_PER_S)
        look_ns = begin_ns + int(SUSPENDED_TIMEOUT_S * NS_PER_S)
        while len(got) < len(expected):
            for child in among:
                note = self._heard(child)
                if note is not None and note.kind == expected.get(child.name):
                    got[child.name] = note
            if self._clock.now_ns() > look_ns:
                look_ns += NS_PER_S
                late = expected.keys() - got
                _refuse_to_wait_for_the_suspended(c for c in among if c.name in late)
            if self._clock.now_ns() > end_ns:
                late = ", ".join(f"{name!r}" for name in expected if name not in got)
                raise SessionError(f"Process {late} did not answer within {timeout_s:g} s.")
            self._clock.sleep_until(self._clock.now_ns() + NS_PER_MS)
        return got

    def _heard(self, child: Child) -> wire.Note | None:
        """Its next note, if any; what it wants the operator to read is read."""
        note = child.heard()
        if note is not None and note.kind == NEWS:
            self._tell(str(note.values["line"]))
            return None
        return note

    # ---- processes

    def _child_specs(self) -> Iterable[ChildSpec]:
        spec, directory = self._spec, str(self.directory)
        senses = {
            "step_ns": spec.step_ns,
            "vectors": dict(spec.vectors),
            "images": dict(spec.images),
            "buffer": {"max_age_ns": spec.control.max_age_ns, "seam_ns": spec.control.seam_ns},
        }
        if spec.world is not None:
            watchdog = {"max_target_age_s": spec.max_target_age_s}
            yield ChildSpec("world", "world", directory, {"world": spec.world}, watchdog)
        for stream, camera in spec.cameras.items():
            settings = {"stream": stream}
            yield ChildSpec(f"camera_{stream}", "camera", directory, {"camera": camera}, settings)
        control = {
            "control": spec.control.plain(),
            "core": self._share.control,
            "other_cores": sorted(self._share.others),
            "stop_at_end": self._spec.world is None,
        }
        yield ChildSpec("control", "control", directory, {"arm": spec.arm}, control)
        yield ChildSpec("policy", "policy", directory, {"policy": spec.policy}, senses)

    def _end_children(self) -> None:
        """Control first: it stops the arm while everything else still runs."""
        if (control := self._children.pop("control", None)) is not None:
            control.end(timeout_s=END_TIMEOUT_S)
        for child in self._children.values():
            child.ask_to_end()
        for child in self._children.values():
            child.end(timeout_s=END_TIMEOUT_S)
        self._children.clear()


def _refuse_to_wait_for_the_suspended(children: Iterable[Child]) -> None:
    for child in children:
        if is_suspended(child.process.pid):
            raise SessionError(
                f"Process {child.name!r} is suspended and does not answer. Find out who stopped it"
                " (SIGSTOP, a debugger), then start again."
            )


def _load(note: wire.Note) -> EpisodeRecord:
    return _take(Path(str(note.values["path"])))


def _take(path: Path) -> EpisodeRecord:
    record = EpisodeRecord.load(path)
    path.unlink()
    return record
