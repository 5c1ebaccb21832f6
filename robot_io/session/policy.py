"""The policy's process: observe, plan, send, and begin again at once.

camera rings ─┐
              ├─▶ Observer ─▶ ChunkSource.plan ─▶ ActionChunk ─▶ control
feedback ─────┘
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import zmq

from robot_io import wire
from robot_io.clock import NS_PER_MS, MonotonicClock
from robot_io.control.buffer import CommandBuffer
from robot_io.control.delay import PlanMirror
from robot_io.control.observer import Observer
from robot_io.interfaces import ChunkSource, DistantSource, NoPlanError
from robot_io.ring import RingReader, frame_of
from robot_io.rows import ToolRows
from robot_io.session.child import Line
from robot_io.session.directory import camera_path, feedback_path, inbox_path
from robot_io.session.processes import NEWS, ChildSpec
from robot_io.session.timing import PlanStamps, columns
from robot_io.types import POLICY, ActionChunk, ArmState, Command, Observation

FRAME_TIMEOUT_S = 10.0  # until the first frame of a camera
IDLE_NS = 2 * NS_PER_MS
ECHO_NS = 30 * NS_PER_MS  # in which the control process says that it took a chunk


def run(spec: ChildSpec, line: Line) -> None:
    source: ChunkSource = spec.make("policy")
    with ExitStack() as stack:
        if isinstance(source, AbstractContextManager):  # one that opens something: a remote policy
            stack.enter_context(source)
        senses = stack.enter_context(_Senses(spec, line.context))
        inbox = wire.connect(line.context, zmq.PUSH, inbox_path(spec.directory))
        line.say("ready")
        planner = _Planner(source, senses, inbox, step_ns=spec.settings["step_ns"])
        while not line.ending.is_set():
            note = line.wait(0.1)
            _pass_on(source, line)
            if note is not None and note.kind == "begin":
                _run_episode(planner, note, line)


def _run_episode(planner: "_Planner", note: wire.Note, line: Line) -> None:
    clock = MonotonicClock()
    planner.begin(seed=int(note.values["seed"]), begin_ns=int(note.values["begin_ns"]))
    line.say("begun")
    while not line.ending.is_set():
        heard = line.heard()
        if heard is not None and heard.kind == "end":
            line.say("ended", **columns(PlanStamps, planner.stamps), **planner.link_report())
            return
        _pass_on(planner.source, line)
        if not planner.plan_if_new():
            clock.sleep_until(clock.now_ns() + IDLE_NS)


def _pass_on(source: ChunkSource, line: Line) -> None:
    """What a source at the end of a line has noticed is the operator's to know."""
    if isinstance(source, DistantSource):
        for each in source.news():
            line.say(NEWS, line=each)


class _Senses:
    """Everything the policy sees: streams, gathered into one `Observer`, and what is planned."""

    def __init__(self, spec: ChildSpec, context: zmq.Context) -> None:
        settings = spec.settings
        self._directory = Path(spec.directory)
        self._feedback = wire.connect(context, zmq.SUB, feedback_path(spec.directory))
        self._streams: list[str] = list(settings["images"])
        self._rings: dict[str, RingReader] = {}
        self._files = ExitStack()
        self._begin_ns = 0
        self.accepted_id = 0  # of the policy's newest chunk that the control process took
        self._received_ns: dict[int, int] = {}  # exposure -> arrival of the last frame with it
        self._step_ns: int = settings["step_ns"]
        self._buffer: dict[str, int] = settings["buffer"]
        self._observer = Observer(
            ToolRows(),
            step_ns=self._step_ns,
            vectors=settings["vectors"],
            images=settings["images"],
        )

    def __enter__(self) -> "_Senses":
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.close()

    def begin(self, begin_ns: int) -> None:
        """Forgets the last episode; what happened before `begin_ns` is not looked at."""
        self._begin_ns = begin_ns
        self._received_ns.clear()
        self._observer.reset()
        self._mirror = PlanMirror(CommandBuffer(ToolRows(), **self._buffer))
        for stream in self._streams:
            if stream not in self._rings:
                path = camera_path(self._directory, stream)
                ring = RingReader.attach(path, timeout_s=FRAME_TIMEOUT_S)
                self._rings[stream] = self._files.enter_context(ring)

    def observe(self) -> Observation | None:
        """The newest observation and what is left of the plan; None when nothing is newer."""
        observation = self._observer.observe()
        if observation is None:
            return None
        leftover = self._mirror.leftover(observation.observed_ns, self._step_ns)
        return replace(observation, leftover=leftover)

    def gather(self) -> None:
        """Takes everything new."""
        while (message := wire.receive(self._feedback)) is not None:
            self._add(message)
        for stream, ring in self._rings.items():
            for sample in ring.unseen():
                if sample.exposed_ns >= self._begin_ns:
                    self._observer.add_frame(frame_of(stream, sample))
                    before_ns = self._received_ns.get(sample.exposed_ns, 0)
                    self._received_ns[sample.exposed_ns] = max(sample.received_ns, before_ns)

    def received_ns(self, observed_ns: int) -> int:
        """When the last frame exposed at this instant arrived; without cameras, that instant."""
        received_ns = self._received_ns.get(observed_ns, observed_ns)
        newer = {exposed: ns for exposed, ns in self._received_ns.items() if exposed > observed_ns}
        self._received_ns = newer
        return received_ns

    def _add(self, message: wire.Message) -> None:
        if isinstance(message, ArmState) and message.stamp_ns >= self._begin_ns:
            self._observer.add_state(message)
        elif isinstance(message, Command) and message.due_ns >= self._begin_ns:
            self._observer.add_sent(message.due_ns, message.row_D)
            self._mirror.sent(message.due_ns)
        elif isinstance(message, ActionChunk) and message.observed_ns >= self._begin_ns:
            self._mirror.accepted(message)
            if message.source == POLICY:
                self.accepted_id = message.chunk_id
        elif isinstance(message, wire.TakeOver | wire.HandBack):
            self._mirror.handed_over()


class _Planner:
    """Turns observations into chunks that are on their way to the control process."""

    def __init__(
        self, source: ChunkSource, senses: _Senses, inbox: zmq.Socket, *, step_ns: int
    ) -> None:
        self.source = source
        self._senses = senses
        self._inbox = inbox
        self._step_ns = step_ns
        self._clock = MonotonicClock()
        self._chunks = 0
        self._echo_by_ns = 0
        self.stamps: list[PlanStamps] = []

    def begin(self, *, seed: int, begin_ns: int) -> None:
        self._senses.begin(begin_ns)
        self.source.reset(seed)
        self.stamps.clear()

    def link_report(self) -> Mapping[str, int | float]:
        return self.source.link_report() if isinstance(self.source, DistantSource) else {}

    def plan_if_new(self) -> bool:
        """Plans from the newest observation; False when there is none since the last plan."""
        self._senses.gather()
        if self._senses.accepted_id != self._chunks and self._clock.now_ns() < self._echo_by_ns:
            return False  # a tick or two, and what is left of the plan is known
        observation = self._senses.observe()
        if observation is None:
            return False
        observed_ns = observation.observed_ns
        begun_ns = self._clock.now_ns()
        try:
            row_HD = self.source.plan(observation)
        except NoPlanError:  # the old plan goes on; after it, the control process has its ladder
            return False
        done_ns = self._clock.now_ns()
        self._chunks += 1
        received_ns = self._senses.received_ns(observed_ns)
        self.stamps.append(PlanStamps(self._chunks, observed_ns, received_ns, begun_ns, done_ns))
        leftover = observation.leftover
        estimated = leftover.delay_rows if leftover is not None else None
        step_ns = self._step_ns
        chunk = ActionChunk(self._chunks, observed_ns, observed_ns, step_ns, row_HD, estimated)
        wire.send(self._inbox, chunk)
        self._echo_by_ns = done_ns + ECHO_NS
        return True
