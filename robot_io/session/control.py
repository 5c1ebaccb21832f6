"""The process that commands the arm. NumPy and sockets only: it starts fast and nothing wakes it.

Each tick: take what lies in the inbox, read the arm, decide, command, tell everybody (feedback is
dropped rather than waited for). A late tick is skipped and counted, never replayed.

A latched stop is the arm's own stop as well, as soon as the gate has braked it to rest; an arm that
stops by itself latches ours.
"""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import zmq

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.control.buffer import SpliceRefusal
from robot_io.control.controller import Controller, Uptake
from robot_io.control.loop import Rung, Tick
from robot_io.control.record import EpisodeLog, usable_proposal
from robot_io.control.spec import ControlSpec
from robot_io.errors import FeelforwardError
from robot_io.gate.look_ahead import Foreseen
from robot_io.interfaces import Arm
from robot_io.session import realtime
from robot_io.session.child import Line
from robot_io.session.directory import feedback_path, inbox_path, record_path
from robot_io.session.processes import NEWS, ChildSpec, SessionError
from robot_io.session.timing import ChunkUse, UseStamps, columns
from robot_io.types import POLICY, ActionChunk, Command

WIND_DOWN_NS = 10 * NS_PER_S  # longer than any plan
BRAKE_NS = 700 * NS_PER_MS  # from any speed a gate allows to rest
END_NS = NS_PER_S  # to rest, and for the arm to say that it has stopped
EPISODE_OVER = "episode_over"  # why an arm without a world to begin anew is stopped
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
            if arm.stopped_by is not None:  # it is a person's word that begins an episode
                arm.__exit__(None, None, None)
                arm.__enter__()
            controller = Controller(control, int(note.values["begin_ns"]), body=body)
            log = EpisodeLog(control, int(note.values["begin_ns"]))
            episode = _Episode(controller, log, arm, inbox, feedback)
            path = record_path(spec.directory)
            try:
                with realtime.no_garbage_collection():
                    stop = spec.settings["stop_at_end"]
                    _run_episode(episode, line, control.period_ns, stop=stop)
            except FeelforwardError:  # of the arm: what led to it is worth most
                with suppress(FeelforwardError):
                    arm.stop()
                log.record().save(path)
                raise
            stopped, log.arm_stopped_by = episode.stopped, arm.stopped_by
            log.record().save(path)
            use = columns(UseStamps, episode.use.stamps)
            line.say("recorded", path=str(path), missed_ticks=episode.missed_ticks, **use)


def _run_episode(episode: "_Episode", line: Line, period_ns: int, *, stop: bool) -> None:
    """Until the session says that it is over; `stop` tells whether the arm is stopped then."""
    clock = MonotonicClock()
    line.say("begun")
    next_ns = clock.now_ns() + period_ns
    give_up_ns = None  # set while the arm comes to rest because plans or episode have ended
    stopped, told, by_itself = False, set(), None
    while not line.ending.is_set():
        clock.sleep_until(next_ns)
        tick = episode.tick(next_ns)
        if tick.rung is Rung.STOPPED and not stopped:
            stopped = True
            line.say("stopped", reason=", ".join(tick.verdict.reasons))
        if episode.arm_stopped_by != by_itself:
            by_itself = episode.arm_stopped_by
            line.say(NEWS, line=f"The arm stands still by its own stop: {by_itself}.")
        foreseen = episode.look_ahead(next_ns)
        if foreseen is not None and foreseen.reason not in told:
            told.add(foreseen.reason)
            line.say(NEWS, line=f"A plan leads to {foreseen.reason}: {foreseen.detail}.")
        note = line.heard()
        if note is not None and note.kind == "end":
            if stop:
                episode.stop(EPISODE_OVER, next_ns)
            if not episode.stopped:
                return
            give_up_ns = next_ns + END_NS
        if note is not None and note.kind == "watching":
            episode.watched_until_ns = next_ns + WATCHED_NS
        if note is not None and note.kind == "wind_down":
            give_up_ns = next_ns + WIND_DOWN_NS
            episode.winding_down = True
        if give_up_ns is not None and (episode.at_rest or next_ns > give_up_ns):
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
        self._last: Tick | None = None
        self._still = False  # whether the last two rows were the same
        self._stopping_ns: int | None = None  # since when a stop has been latched
        self.arm_stopped_by: str | None = None
        self.winding_down = False
        self.watched_until_ns = self._clock.now_ns() + WATCHED_NS

    @property
    def stopped(self) -> bool:
        return self._controller.stopped

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves any more, and the arm has made a latched stop its own."""
        if self.stopped:
            return self.arm_stopped_by is not None
        return self._still and self._last is not None and self._last.rung in AT_REST

    def stop(self, reason: str, due_ns: int) -> None:
        """Latches a stop from the next tick on, as a message would."""
        self._take(wire.Stop(reason), due_ns)

    def tick(self, due_ns: int) -> Tick:
        late_ns = self._clock.now_ns() - due_ns
        self._take_inbox(due_ns)
        state, self.arm_stopped_by = self._arm.read(), self._arm.stopped_by
        if self.arm_stopped_by is not None and not self.stopped:
            self.stop(self.arm_stopped_by, due_ns)
        tick = self._controller.tick(due_ns, state)
        self._arm.command(tick.verdict.row_D)
        self._pass_stop_on(tick)
        origin = tick.command.provenance
        if tick.rung is Rung.PLAN and origin.source == POLICY:
            self.use.sent(origin.chunk_id, self._clock.now_ns())
        wire.send(self._feedback, state)
        wire.send(self._feedback, _judged(tick, late_ns))
        wire.send(self._feedback, _sent(tick))
        self.log.add(tick, state, late_ns=late_ns)
        return tick

    def _pass_stop_on(self, tick: Tick) -> None:
        """Asks the arm for its own stop once it is at rest: until then the gate brakes better."""
        last, self._last = self._last, tick
        row_D = tick.verdict.row_D
        self._still = last is not None and np.array_equal(row_D, last.verdict.row_D)
        if tick.rung is not Rung.STOPPED or self.arm_stopped_by is not None:
            return
        if self._stopping_ns is None:
            self._stopping_ns = tick.stamp_ns
        if self._still or tick.stamp_ns - self._stopping_ns >= BRAKE_NS:  # or somebody pushes it
            self._arm.stop()

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
