"""Push-T (`gym_pusht/PushT-v0`) through the same buffer and loop, at the benchmark's 10 Hz."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.control.lockstep import Lockstep, OnTick, Planner, drawn_delay, nobody_watches
from robot_io.control.loop import ControlLoop, LoopLimits
from robot_io.control.observer import Observer
from robot_io.gate.vector_gate import VectorGate
from robot_io.interfaces import ChunkSource
from robot_io.rows import VectorRows
from scripts.tasks.demonstrations import Notes, Shown, by_kind
from scripts.tasks.episode import Episode
from scripts.tasks.report import EpisodeResult
from sim.pusht import SCENE, TICK_NS, TIME_LIMIT_TICKS, PushTWorld
from sim.pusht_field import FIELD_PX

NAME = "gym_pusht/PushT-v0"
VECTORS = ("keypoint", "agent")
IMAGES = (SCENE,)
EXECUTED_ROWS = 8  # of each plan, as in Diffusion Policy (Chi et al. 2023)
MAX_AGE_NS = 2 * NS_PER_S  # longer than a plan: the benchmark stands still while the policy plans


class PushTStage:
    """A field for each episode, with a camera where the policy looks through it."""

    def __init__(self) -> None:
        self._rows = VectorRows(2)

    def play(
        self,
        seed: int,
        source: ChunkSource,
        history: Mapping[str, int],
        *,
        delay_ms: Sequence[float] = (0.0,),
    ) -> Episode:
        """One episode of at most 300 ticks of 100 ms.

        As the benchmark has it, 8 rows of each plan are executed, and the field stands still while
        the policy plans. With `delay_ms` it goes on: each plan takes one of these times, drawn, and
        the next one is begun so early that it is there after 8 rows all the same.
        """
        observer = Observer(self._rows, step_ns=TICK_NS, **by_kind(history, images=IMAGES))
        world = PushTWorld(with_scene=SCENE in history)
        return Episode(self._play(seed, source, world, observer, delay_ms))

    def record(
        self,
        seed: int,
        source: ChunkSource,
        history: Mapping[str, int],
        *,
        delay_ms: Sequence[float] = (0.0,),
    ) -> tuple[EpisodeResult, list[Shown]]:
        """The policy plays, as in `play`; returns what there was to see and what it commanded.

        The camera is part of it where the policy looks through it.
        """
        steps = {**dict.fromkeys(VECTORS, 1), **history}
        notes = Notes(self._rows, step_ns=TICK_NS, **by_kind(steps, images=IMAGES))
        world = PushTWorld(with_scene=SCENE in history)
        result = self._play(seed, source, world, notes, delay_ms, notes.take)
        return result, notes.shown()

    def _play(
        self,
        seed: int,
        source: ChunkSource,
        world: PushTWorld,
        observer: Observer,
        delay_ms: Sequence[float],
        on_tick: OnTick = nobody_watches,
    ) -> EpisodeResult:
        world.reset(seed)
        source.reset(seed)
        delays_ns = [round(ms * NS_PER_MS) for ms in delay_ms]
        buffer = CommandBuffer(
            self._rows,
            max_age_ns=MAX_AGE_NS,
            seam_ns=0,
            replan_after_rows=_begin_after_rows(delays_ns),
        )
        gate = VectorGate(np.zeros(2), np.full(2, FIELD_PX))
        limits = LoopLimits(stop_after_s=1.0, max_state_age_s=1.0)
        Lockstep(
            world=world,
            loop=ControlLoop(buffer, gate, self._rows, limits),
            observer=observer,
            period_ns=TICK_NS,
            planner=Planner(source, buffer, TICK_NS, drawn_delay(delays_ns, seed)),
            read_vectors=world.read_vectors,
        ).run((TIME_LIMIT_TICKS + 1) * TICK_NS, lambda: world.outcome.over, on_tick)
        outcome = world.outcome
        reason = "stopped"  # by the gate or the loop
        if outcome.over:
            reason = "success" if outcome.success else "time_out"
        scores = {"max_reward": outcome.max_reward, "coverage": outcome.max_coverage}
        return EpisodeResult(seed, reason, outcome.ticks, scores)


def _begin_after_rows(delays_ns: Sequence[int]) -> int | None:
    """So many rows of a plan are executed when the next one is begun; None: it is high time."""
    left = EXECUTED_ROWS - math.ceil(max(delays_ns) / TICK_NS)
    return left if left > 0 else None
