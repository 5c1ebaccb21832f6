"""The policy's process: observe, plan, send, and begin again at once.

camera rings ─┐
              ├─▶ Observer ─▶ ChunkSource.plan ─▶ ActionChunk ─▶ control
feedback ─────┘
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import zmq

from robot_io import wire
from robot_io.child import Line
from robot_io.clock import NS_PER_MS, MonotonicClock
from robot_io.interfaces import ChunkSource
from robot_io.observer import Observer
from robot_io.processes import ChildSpec
from robot_io.ring import RingReader, frame_of
from robot_io.rows import ToolRows
from robot_io.session_directory import camera_path, feedback_path, inbox_path
from robot_io.types import ActionChunk, ArmState, Command

FRAME_TIMEOUT_S = 10.0  # until the first frame of a camera
IDLE_NS = 2 * NS_PER_MS


def run(spec: ChildSpec, line: Line) -> None:
    source: ChunkSource = spec.make("policy")
    with ExitStack() as stack:
        senses = stack.enter_context(_Senses(spec, line.context))
        inbox = wire.connect(line.context, zmq.PUSH, inbox_path(spec.directory))
        line.say("ready")
        planner = _Planner(source, senses, inbox, step_ns=spec.settings["step_ns"])
        while not line.ending.is_set():
            note = line.wait(0.1)
            if note is not None and note.kind == "begin":
                _run_episode(planner, note, line)


def _run_episode(planner: "_Planner", note: wire.Note, line: Line) -> None:
    clock = MonotonicClock()
    planner.begin(seed=int(note.values["seed"]), begin_ns=int(note.values["begin_ns"]))
    line.say("begun")
    while not line.ending.is_set():
        heard = line.heard()
        if heard is not None and heard.kind == "end":
            line.say("ended", inference_ns=np.array(planner.inference_ns, np.float64))
            return
        if not planner.plan_if_new():
            clock.sleep_until(clock.now_ns() + IDLE_NS)


class _Senses:
    """Everything the policy sees, gathered into one `Observer`."""

    def __init__(self, spec: ChildSpec, context: zmq.Context) -> None:
        settings = spec.settings
        self._directory = Path(spec.directory)
        self._feedback = wire.connect(context, zmq.SUB, feedback_path(spec.directory))
        self._streams: list[str] = list(settings["images"])
        self._rings: dict[str, RingReader] = {}
        self._files = ExitStack()
        self._begin_ns = 0
        self.observer = Observer(
            ToolRows(),
            step_ns=settings["step_ns"],
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
        self.observer.reset()
        for stream in self._streams:
            if stream not in self._rings:
                path = camera_path(self._directory, stream)
                ring = RingReader.attach(path, timeout_s=FRAME_TIMEOUT_S)
                self._rings[stream] = self._files.enter_context(ring)

    def gather(self) -> None:
        """Hands everything new to the observer."""
        while (message := wire.receive(self._feedback)) is not None:
            self._add(message)
        for stream, ring in self._rings.items():
            for sample in ring.unseen():
                if sample.exposed_ns >= self._begin_ns:
                    self.observer.add_frame(frame_of(stream, sample))

    def _add(self, message: wire.Message) -> None:
        if isinstance(message, ArmState) and message.stamp_ns >= self._begin_ns:
            self.observer.add_state(message)
        elif isinstance(message, Command) and message.due_ns >= self._begin_ns:
            self.observer.add_sent(message.due_ns, message.row_D)


class _Planner:
    """Turns observations into chunks that are on their way to the control process."""

    def __init__(
        self, source: ChunkSource, senses: _Senses, inbox: zmq.Socket, *, step_ns: int
    ) -> None:
        self._source = source
        self._senses = senses
        self._inbox = inbox
        self._step_ns = step_ns
        self._clock = MonotonicClock()
        self._chunks = 0
        self.inference_ns: list[int] = []

    def begin(self, *, seed: int, begin_ns: int) -> None:
        self._senses.begin(begin_ns)
        self._source.reset(seed)
        self.inference_ns.clear()

    def plan_if_new(self) -> bool:
        """Plans from the newest observation; False when there is none since the last plan."""
        self._senses.gather()
        observation = self._senses.observer.observe()
        if observation is None:
            return False
        begin_ns = self._clock.now_ns()
        row_HD = self._source.plan(observation)
        self.inference_ns.append(self._clock.now_ns() - begin_ns)
        self._chunks += 1
        observed_ns = observation.observed_ns
        chunk = ActionChunk(self._chunks, observed_ns, observed_ns, self._step_ns, row_HD)
        wire.send(self._inbox, chunk)
        return True
