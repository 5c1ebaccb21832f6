"""The process that commands the arm. NumPy and sockets only: it starts fast and nothing wakes it.

Each tick: take what lies in the inbox, read the arm, decide, command, tell everybody (feedback is
dropped rather than waited for). A late tick is skipped and counted, never replayed.
"""

from dataclasses import replace

import zmq

from robot_io import wire
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.control.buffer import SpliceRefusal
from robot_io.control.controller import Controller, Uptake
from robot_io.control.loop import Rung, Tick
from robot_io.control.record import EpisodeLog, usable_proposal
from robot_io.control.spec import ControlSpec
from robot_io.gate.look_ahead import Foreseen
from robot_io.interfaces import Arm
from robot_io.session import realtime
from robot_io.session.child import Line
from robot_io.session.directory import feedback_path, inbox_path, record_path
from robot_io.session.processes import NEWS, ChildSpec, SessionError
from robot_io.session.timing import ChunkUse, UseStamps, columns
from robot_io.types import POLICY, ActionChunk, Command

WIND_DOWN_NS = 10 * NS_PER_S  # longer than any plan
WATCHED_NS = NS_PER_S  # so long after its last word the session counts as watching
MAX_WHY = 200  # characters of a reason
AT_REST = (Rung.HOLD, Rung.STOPPED)


def run(spec: ChildSpec, line: Line) -> None:
    control = ControlSpec.from_plain(spec.settings["control"])
    inbox = wire.listen(line.context, zmq.PULL, inbox_path(spec.directory))
    feedback = wire.listen(line.context, zmq.PUB, feedback_path(spec.directory))
    share = realtime.CoreShare(spec.settings["core"], frozenset(spec.settings["other_cores"]))
    granted = realtime.ask(share, fifo=control.fifo)
    stopped, body = False, control.build_body()
    with spec.make("arm") as arm:
        line.say("ready", real_time=realtime.line(granted))
        while not line.ending.is_set():
            note = line.wait(0.1)
            if note is None or note.kind != "begin":
                continue
            if stopped and not note.values["release"]:
                raise SessionError("The gate has stopped the arm. Look at it, then start again.")
            controller = Controller(control, int(note.values["begin_ns"]), body=body)
            log = EpisodeLog(control, int(note.values["begin_ns"]))
            episode = _Episode(controller, log, arm, inbox, feedback)
            with realtime.no_garbage_collection():
                _run_episode(episode, line, control.period_ns)
            stopped = episode.stopped
            path = record_path(spec.directory)
            episode.log.record().save(path)
            use = columns(UseStamps, episode.use.stamps)
            line.say("recorded", path=str(path), missed_ticks=episode.missed_ticks, **use)


def _run_episode(episode: "_Episode", line: Line, period_ns: int) -> None:
    clock = MonotonicClock()
    line.say("begun")
    next_ns = clock.now_ns() + period_ns
    give_up_ns = None  # set while the arm comes to rest because the plans have ended
    stopped, told = False, set()
    while not line.ending.is_set():
        clock.sleep_until(next_ns)
        tick = episode.tick(next_ns)
        if tick.rung is Rung.STOPPED and not stopped:
            stopped = True
            line.say("stopped", reason=", ".join(tick.verdict.reasons))
        foreseen = episode.look_ahead(next_ns)
        if foreseen is not None and foreseen.reason not in told:
            told.add(foreseen.reason)
            line.say(NEWS, line=f"A plan leads to {foreseen.reason}: {foreseen.detail}.")
        note = line.heard()
        if note is not None and note.kind == "end":
            return
        if note is not None and note.kind == "watching":
            episode.watched_until_ns = next_ns + WATCHED_NS
        if note is not None and note.kind == "wind_down":
            give_up_ns = next_ns + WIND_DOWN_NS
            episode.winding_down = True
        if give_up_ns is not None and (tick.rung in AT_REST or next_ns > give_up_ns):
            return
        next_ns = episode.next_due_ns(next_ns, period_ns)


class _Episode:
    """One episode: a fresh controller between inbox, arm and everybody who listens."""

    def __init__(
        self,
        controller: Controller,
        log: EpisodeLog,
        arm: Arm,
        inbox: zmq.Socket,
        feedback: zmq.Socket,
    ) -> None:
        self._arm = arm
        self._inbox = inbox
        self._feedback = feedback
        self._clock = MonotonicClock()
        self._controller = controller
        self.log = log
        self.use = ChunkUse()
        self.missed_ticks = 0
        self.winding_down = False
        self.watched_until_ns = self._clock.now_ns() + WATCHED_NS

    @property
    def stopped(self) -> bool:
        return self._controller.stopped

    def tick(self, due_ns: int) -> Tick:
        late_ns = self._clock.now_ns() - due_ns
        self._take_inbox(due_ns)
        state = self._arm.read()
        tick = self._controller.tick(due_ns, state)
        self._arm.command(tick.verdict.row_D)
        origin = tick.command.provenance
        if tick.rung is Rung.PLAN and origin.source == POLICY:
            self.use.sent(origin.chunk_id, self._clock.now_ns())
        wire.send(self._feedback, state)
        wire.send(self._feedback, _judged(tick, late_ns))
        wire.send(self._feedback, _sent(tick))
        self.log.add(tick, state, late_ns=late_ns)
        return tick

    def look_ahead(self, due_ns: int) -> Foreseen | None:
        """What a new plan as a whole would break."""
        return self._controller.look_ahead(due_ns)

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
        """Everything that has arrived; garbage is counted, for a bad sender must not stop us."""
        garbage: list[str] = []
        for _ in range(wire.QUEUE):
            try:
                message = wire.receive(self._inbox)
            except wire.WireError as error:
                garbage.append(str(error)[:MAX_WHY])
                continue
            if message is None:
                break
            self._take(message, due_ns)
        if garbage:
            self.log.drop(garbage)
            values = {"why": garbage[-1], "count": len(garbage)}
            wire.send(self._feedback, wire.Note("garbage", values))

    def _take(self, message: wire.Message, due_ns: int) -> None:
        unwatched = self.winding_down or due_ns > self.watched_until_ns
        if unwatched and isinstance(message, ActionChunk):
            return  # the plan that is there is the last one: its tail, and then the ladder
        outcome = self._controller.take(message, due_ns)
        self.log.take(message, outcome)
        if isinstance(outcome, SpliceRefusal):
            wire.send(self._feedback, wire.Note("refused", {"why": outcome}))
        if outcome != Uptake.ACCEPTED:
            return
        if isinstance(message, ActionChunk) and message.source == POLICY:
            self.use.took(message.chunk_id, self._clock.now_ns())
        if isinstance(message, ActionChunk | wire.TakeOver | wire.HandBack):
            wire.send(self._feedback, message)  # all who plan must know


def _sent(tick: Tick) -> Command:
    """What went to the arm, which is not always what was proposed."""
    return replace(tick.command, due_ns=tick.stamp_ns, row_D=tick.verdict.row_D)


def _judged(tick: Tick, late_ns: int) -> wire.Note:
    """What was proposed and what the gate made of it; sent before the command it belongs to."""
    verdict = tick.verdict
    return wire.Note(
        "verdict",
        {
            "sequence": tick.command.sequence,
            "proposed": usable_proposal(tick),
            "rung": tick.rung.value,
            "verdict": verdict.kind.value,
            "reasons": " ".join(verdict.reasons),
            "moved_m": verdict.moved_m,
            "turned_rad": verdict.turned_rad,
            "late_ns": late_ns,
        },
    )
