"""The process that commands the arm. NumPy and sockets only: it starts fast and nothing wakes it.

Each tick: take what lies in the inbox, read the arm, decide, command, tell everybody (feedback is
dropped rather than waited for). A late tick is skipped and counted, never replayed.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import zmq

from robot_io import wire
from robot_io.buffer import CommandBuffer
from robot_io.child import Line
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.gate import CommandGate
from robot_io.interfaces import Arm
from robot_io.loop import ControlLoop, Rung, Tick
from robot_io.processes import ChildSpec, SessionError
from robot_io.record import EpisodeLog
from robot_io.rows import ToolRows
from robot_io.session_directory import feedback_path, inbox_path
from robot_io.session_spec import ControlSpec
from robot_io.types import ActionChunk, Command

FIFO_PRIORITY = 10  # above everything that is not real-time; only where the system allows it
WIND_DOWN_NS = 10 * NS_PER_S  # longer than any plan
AT_REST = (Rung.HOLD, Rung.STOPPED)


def run(spec: ChildSpec, line: Line) -> None:
    control = ControlSpec.from_plain(spec.settings["control"])
    inbox = wire.listen(line.context, zmq.PULL, inbox_path(spec.directory))
    feedback = wire.listen(line.context, zmq.PUB, feedback_path(spec.directory))
    _take_priority()
    stopped = False
    with spec.make("arm") as arm:
        line.say("ready")
        while not line.ending.is_set():
            note = line.wait(0.1)
            if note is None or note.kind != "begin":
                continue
            if stopped and not note.values["release"]:
                raise SessionError("The gate has stopped the arm. Look at it, then start again.")
            episode = _Episode(control, arm, inbox, feedback, int(note.values["begin_ns"]))
            with _no_garbage_collection():
                _run_episode(episode, line, control.period_ns)
            stopped = episode.stopped
            path = Path(spec.directory) / "episode.npz"
            episode.log.record().save(path)
            line.say("recorded", path=str(path), missed_ticks=episode.missed_ticks)


def _run_episode(episode: "_Episode", line: Line, period_ns: int) -> None:
    clock = MonotonicClock()
    line.say("begun")
    next_ns = clock.now_ns() + period_ns
    give_up_ns = None  # set while the arm comes to rest because the plans have ended
    stopped = False
    while not line.ending.is_set():
        clock.sleep_until(next_ns)
        tick = episode.tick(next_ns)
        if tick.rung is Rung.STOPPED and not stopped:
            stopped = True
            line.say("stopped", reason=", ".join(tick.verdict.reasons))
        note = line.heard()
        if note is not None and note.kind == "end":
            return
        if note is not None and note.kind == "wind_down":
            give_up_ns = next_ns + WIND_DOWN_NS
        if give_up_ns is not None and (tick.rung in AT_REST or next_ns > give_up_ns):
            return
        next_ns = episode.next_due_ns(next_ns, period_ns)


class _Episode:
    """A fresh loop, gate and buffer, and what they did."""

    def __init__(
        self,
        control: ControlSpec,
        arm: Arm,
        inbox: zmq.Socket,
        feedback: zmq.Socket,
        begin_ns: int,
    ) -> None:
        rows = ToolRows()
        self._arm = arm
        self._inbox = inbox
        self._feedback = feedback
        self._begin_ns = begin_ns
        self._clock = MonotonicClock()
        self._buffer = CommandBuffer(rows, max_age_ns=control.max_age_ns, seam_ns=control.seam_ns)
        self._gate = CommandGate(control.gate)
        self._loop = ControlLoop(self._buffer, self._gate, rows, control.loop)
        self.log = EpisodeLog()
        self.missed_ticks = 0

    @property
    def stopped(self) -> bool:
        return self._gate.stopped

    def tick(self, due_ns: int) -> Tick:
        late_ns = self._clock.now_ns() - due_ns
        self._take_inbox(due_ns)
        state = self._arm.read()
        tick = self._loop.tick(due_ns, state)
        self._arm.command(tick.verdict.row_D)
        wire.send(self._feedback, state)
        wire.send(self._feedback, _sent(tick))
        self.log.add(tick, state, late_ns=late_ns)
        return tick

    def next_due_ns(self, due_ns: int, period_ns: int) -> int:
        """The next tick that is not past; those skipped are counted."""
        next_ns = due_ns + period_ns
        late_ns = self._clock.now_ns() - next_ns
        if late_ns > 0:
            skip = -(-late_ns // period_ns)
            self.missed_ticks += skip
            next_ns += skip * period_ns
        return next_ns

    def _take_inbox(self, due_ns: int) -> None:
        """Everything that has arrived; garbage is dropped, for a bad sender must not stop us."""
        for _ in range(wire.QUEUE):
            with suppress(wire.WireError):
                message = wire.receive(self._inbox)
                if message is None:
                    return
                self._take(message, due_ns)

    def _take(self, message: wire.Message, due_ns: int) -> None:
        if isinstance(message, wire.Stop):
            self._loop.stop(message.reason)
        elif isinstance(message, ActionChunk) and message.observed_ns >= self._begin_ns:
            now_ns = max(due_ns, message.observed_ns)  # the tick's own time, as in lockstep
            if self._buffer.splice(message, now_ns).accepted:
                wire.send(self._feedback, message)


def _sent(tick: Tick) -> Command:
    """What went to the arm, which is not always what was proposed."""
    return replace(tick.command, due_ns=tick.stamp_ns, row_D=tick.verdict.row_D)


def _take_priority() -> None:
    """For every thread: a chunk must get through to the loop as well."""
    with suppress(PermissionError):
        for thread in Path("/proc/self/task").iterdir():
            priority = os.sched_param(FIFO_PRIORITY)
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, priority)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """No pause of the collector during an episode."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
