"""An episode on a virtual clock: the loop of the real arm, with time that waits for the work.

Physics goes on while the policy "thinks" for as long as the delay model says:

    tick   0    1    2    3    4    5    6    7    8
    world  ─────────────────────────────────────────▶
    plan   observe ──────delay──────▶ splice, observe ─────▶ ...

The same seed gives the same bits: nothing here reads a real clock or draws an unseeded number.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from robot_io.control.buffer import CommandBuffer, SpliceReport
from robot_io.control.delay import DelayEstimate
from robot_io.control.foresight import Foresight
from robot_io.control.loop import ControlLoop, Rung, Tick
from robot_io.control.observer import Observer
from robot_io.interfaces import ChunkSource, SteppedWorld
from robot_io.types import ActionChunk, ArmState, MonoNs

DelayModel = Callable[[], int]  # ns from an observation to the splice of its plan
OnTick = Callable[[Tick, ArmState], None]  # after its command was sent
VectorSample = tuple[str, int, np.ndarray]  # stream, stamp_ns, value (D,)


def drawn_delay(measured_ns: Sequence[int], seed: int) -> DelayModel:
    """Every plan takes a time drawn from those measured."""
    rng = np.random.default_rng(seed)
    return lambda: int(rng.choice(measured_ns))


class End(StrEnum):
    """How a run ended."""

    DONE = "done"
    STOPPED = "stopped"  # latched by the gate or the loop: nobody is here to release it
    TIME_OUT = "time_out"


@dataclass(frozen=True, slots=True)
class LockstepReport:
    """What a run came to."""

    ended: End
    ticks: int
    plans: tuple[SpliceReport, ...]


@dataclass(slots=True)
class Planner:
    """A policy beside the loop, one plan at a time; it starts again at once, on newer senses."""

    source: ChunkSource
    buffer: CommandBuffer
    step_ns: int  # between the rows of a chunk
    delay_ns: DelayModel
    reports: list[SpliceReport] = field(default_factory=list)
    _in_flight: tuple[int, ActionChunk] | None = None  # and when it arrives
    _delay: DelayEstimate = field(default_factory=DelayEstimate)
    _chunks: int = 0

    def run(self, observer: Observer, now_ns: int) -> ActionChunk | None:
        """Splices what has arrived by now and begins to plan when there is something to see.

        Returns the newest plan that was taken.
        """
        taken = None
        while self._in_flight is not None or self._begin(observer, now_ns):
            assert self._in_flight is not None
            arrives_ns, chunk = self._in_flight
            if arrives_ns > now_ns:
                break
            report = self.buffer.splice(chunk, now_ns)
            self.reports.append(report)
            if report.accepted:
                self._delay.add(report.delay_ns)
                taken = chunk
            self._in_flight = None
        return taken

    def _begin(self, observer: Observer, now_ns: int) -> bool:
        observation = observer.observe() if self.buffer.wants_plan(now_ns) else None
        if observation is None:
            return False
        observed_ns = observation.observed_ns
        leftover = self._delay.leftover(self.buffer, observed_ns, self.step_ns)
        row_HD = self.source.plan(replace(observation, leftover=leftover))
        estimated = leftover.delay_rows if leftover is not None else None
        chunk = ActionChunk(self._chunks, observed_ns, observed_ns, self.step_ns, row_HD, estimated)
        self._in_flight = (now_ns + self.delay_ns(), chunk)
        self._chunks += 1
        return True


def _no_vectors() -> Iterable[VectorSample]:
    return ()


def nobody_watches(tick: Tick, state: ArmState) -> None:
    pass


class Lockstep:
    """World, control loop, observer and (where the loop follows a buffer) planner, tick by tick.

    `read_vectors` gives further vector streams of the world, at every tick; `foresight` judges each
    plan as a whole. World, planner source and observer are reset by the caller; virtual time starts
    at 0.
    """

    def __init__(
        self,
        *,
        world: SteppedWorld,
        loop: ControlLoop,
        observer: Observer,
        period_ns: int,
        planner: Planner | None = None,
        foresight: Foresight | None = None,
        read_vectors: Callable[[], Iterable[VectorSample]] | None = None,
    ) -> None:
        self._world = world
        self._loop = loop
        self._observer = observer
        self._period_ns = period_ns
        self._planner = planner
        self._foresight = foresight
        self._read_vectors = read_vectors if read_vectors is not None else _no_vectors

    def run(
        self,
        time_limit_ns: int,
        done: Callable[[], bool],
        on_tick: OnTick = nobody_watches,
    ) -> LockstepReport:
        """Runs until `done()`, a latched stop or the time limit."""
        ticks = 0
        for now_ns in range(0, time_limit_ns + 1, self._period_ns):
            self._world.advance_to(now_ns)
            if done():
                return self._report(End.DONE, ticks)
            tick = self._tick(MonoNs(now_ns), on_tick)
            ticks += 1
            if tick.rung is Rung.STOPPED:
                return self._report(End.STOPPED, ticks)
        return self._report(End.TIME_OUT, ticks)

    def _tick(self, now_ns: MonoNs, on_tick: OnTick) -> Tick:
        state = self._world.arm.read()
        self._sense(state)
        plan = self._planner.run(self._observer, now_ns) if self._planner is not None else None
        tick = self._loop.tick(now_ns, state)
        self._world.arm.command(tick.verdict.row_D)
        self._observer.add_sent(now_ns, tick.verdict.row_D)
        if plan is not None and self._foresight is not None:
            self._foresight.took(plan)
            self._foresight.look(now_ns, state.joint_rad_J)
        on_tick(tick, state)
        return tick

    def _sense(self, state: ArmState) -> None:
        self._observer.add_state(state)
        for stream, stamp_ns, value_D in self._read_vectors():
            self._observer.add_vector(stream, stamp_ns, value_D)
        for camera in self._world.cameras:
            while (frame := camera.read(0.0)) is not None:
                self._observer.add_frame(frame)

    def _report(self, ended: End, ticks: int) -> LockstepReport:
        plans = tuple(self._planner.reports) if self._planner is not None else ()
        return LockstepReport(ended, ticks, plans)
