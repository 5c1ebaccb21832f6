"""A session in real time: processes started, watched, stopped, and nothing left behind.

    session ──▶ world ◀──▶ control ◀── policy ◀── camera, camera, ...
       └────── notes: ready, begin/begun, over, end/ended, recorded

A dead process ends the session with one sentence, after the arm has come to rest.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import numpy as np
import zmq

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.processes import Child, ChildSpec, SessionError
from robot_io.record import EpisodeRecord
from robot_io.session_directory import inbox_path, session_directory
from robot_io.session_spec import SessionSpec
from robot_io.session_timing import Outcome
from robot_io.session_view import View, Viewer

READY_TIMEOUT_S = 120.0  # a policy imports torch, a world compiles its model
ANSWER_TIMEOUT_S = 30.0
END_TIMEOUT_S = 3.0
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

    def __init__(self, spec: SessionSpec) -> None:
        self._spec = spec
        self._clock = MonotonicClock()
        self._stack = ExitStack()
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = stack.enter_context(session_directory())
            self._context = zmq.Context()
            stack.callback(self._context.destroy)
            stack.callback(self._end_children)
            for child_spec in self._child_specs():
                self._children[child_spec.name] = Child(child_spec, self._context)
            viewer = Viewer(self._spec.cameras, self.directory, self._context)
            self._viewer = stack.enter_context(viewer)
            self._inbox = wire.connect(self._context, zmq.PUSH, inbox_path(self.directory))
            ready = dict.fromkeys(self._children, "ready")
            self._await(ready, among=self._children.values(), timeout_s=READY_TIMEOUT_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def run_episode(self, *, seed: int, limit_s: float, watch: Watch | None = None) -> Outcome:
        """Runs until the world says that it is over, the arm is stopped, or for `limit_s`.

        `watch` is called every 20 ms with what is new. Raises `EpisodeCutError` when a process
        dies: the arm has then come to rest first.
        """
        self._begin(seed)
        try:
            result = self._watch_episode(limit_s, watch)
        except SessionError as error:
            raise EpisodeCutError(str(error), self._wind_down()) from None
        answers = self._tell_and_await({"control": "recorded", "policy": "ended"}, "end")
        inference_ns = answers["policy"].values["inference_ns"]
        assert isinstance(inference_ns, np.ndarray)
        missed_ticks = int(answers["control"].values["missed_ticks"])
        return Outcome(result, _load(answers["control"]), inference_ns, missed_ticks)

    def stop(self, reason: str) -> None:
        """A latched stop of the arm. It only asks; the gate decides on the way down."""
        wire.send(self._inbox, wire.Stop(reason))

    # ---- an episode

    def _begin(self, seed: int) -> None:
        """World first, control last: nobody acts on what was before the episode."""
        begin_ns = int(self._clock.now_ns())
        if "world" in self._children:
            answer = self._tell_and_await({"world": "begun"}, "begin", seed=seed)["world"]
            begin_ns = int(answer.values["begin_ns"])
        cameras = {name: "begun" for name in self._children if name.startswith("camera_")}
        self._tell_and_await(cameras, "begin", seed=seed)
        self._tell_and_await({"policy": "begun"}, "begin", seed=seed, begin_ns=begin_ns)
        release = self._spec.world is not None  # a reset world has no arm to be looked at
        self._tell_and_await({"control": "begun"}, "begin", begin_ns=begin_ns, release=release)

    def _watch_episode(self, limit_s: float, watch: Watch | None) -> Mapping[str, wire.NoteValue]:
        self._viewer.look()  # forget what was before
        end_ns = self._clock.now_ns() + int(limit_s * NS_PER_S)
        while self._clock.now_ns() < end_ns:
            for child in self._children.values():
                note = child.heard()
                if note is not None and note.kind == "over":
                    return note.values
                if note is not None and note.kind == "stopped":
                    return {"success": False, "reason": f"stopped ({note.values['reason']})"}
            if watch is not None:
                watch(self._viewer.look())
            self._clock.sleep_until(self._clock.now_ns() + POLL_NS)
        return {}

    def _wind_down(self) -> EpisodeRecord | None:
        """Lets the arm execute the rest of its plan and come to rest, if it still can."""
        control = self._children["control"]
        control.tell("wind_down")
        with suppress(SessionError):
            return _load(self._await({"control": "recorded"}, among=[control])["control"])
        return None

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
        end_ns = self._clock.now_ns() + int(timeout_s * NS_PER_S)
        while len(got) < len(expected):
            for child in among:
                note = child.heard()
                if note is not None and note.kind == expected.get(child.name):
                    got[child.name] = note
            if self._clock.now_ns() > end_ns:
                late = ", ".join(f"{name!r}" for name in expected if name not in got)
                raise SessionError(f"Process {late} did not answer within {timeout_s:g} s.")
            self._clock.sleep_until(self._clock.now_ns() + NS_PER_MS)
        return got

    # ---- processes

    def _child_specs(self) -> Iterable[ChildSpec]:
        spec, directory = self._spec, str(self.directory)
        senses = {
            "step_ns": spec.step_ns,
            "vectors": dict(spec.vectors),
            "images": dict(spec.images),
        }
        if spec.world is not None:
            yield ChildSpec("world", "world", directory, {"world": spec.world})
        for stream, camera in spec.cameras.items():
            settings = {"stream": stream}
            yield ChildSpec(f"camera_{stream}", "camera", directory, {"camera": camera}, settings)
        control = {"control": spec.control.plain()}
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


def _load(note: wire.Note) -> EpisodeRecord:
    path = Path(str(note.values["path"]))
    record = EpisodeRecord.load(path)
    path.unlink()
    return record
