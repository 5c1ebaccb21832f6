"""What an episode in real time hands back, and how well it kept its time.

    exposed ── received ── begun ── done ── taken ── sent
          transport    wait  inference  wire    tick

Of each plan: exposure of the newest frames it saw → the last of them arrived → the planner began →
the plan was done → a control tick took it → the first command that follows it went to the arm.
A plan is taken by the tick after its arrival, so `wire` has up to one period of waiting in it.
`tick` is one tick's work, and longer where the loop held for another reason when the plan came.

The exposure itself is no part: a frame has one stamp, and where in the exposure it lies is the
driver's (`robot_io.devices`). A simulated sensor sees an instant; a real one adds up to what its
shutter is open for, which a driver would have to tell and the sensor's settings say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from robot_io.clock import NS_PER_MS
from robot_io.control.record import EpisodeRecord
from robot_io.remote.report import LinkReport
from robot_io.types import POLICY
from robot_io.wire import NoteValue

AGE_PARTS = {  # name -> the stamps it lies between
    "transport": ("observed_ns", "received_ns"),
    "wait": ("received_ns", "begun_ns"),
    "inference": ("begun_ns", "done_ns"),
    "wire": ("done_ns", "taken_ns"),
    "tick": ("taken_ns", "sent_ns"),
}


class PlanStamps(NamedTuple):
    """What the policy's process notes of a plan. Stamps: int ns, host monotonic."""

    chunk_id: int
    observed_ns: int  # exposure of the newest frames that it saw
    received_ns: int  # the last of these frames had arrived
    begun_ns: int
    done_ns: int


class UseStamps(NamedTuple):
    """What the control process notes of a chunk that it has followed."""

    chunk_id: int
    taken_ns: int  # out of the inbox
    sent_ns: int  # the first command that follows it was handed to the arm


class ChunkUse:
    """In the control process: notes when each chunk was taken and when it was first followed."""

    def __init__(self) -> None:
        self.stamps: list[UseStamps] = []
        self._taken_ns: dict[int, int] = {}

    def took(self, chunk_id: int, now_ns: int) -> None:
        self._taken_ns[chunk_id] = now_ns

    def sent(self, chunk_id: int | None, now_ns: int) -> None:
        """A command that follows this chunk was sent; the first one counts."""
        taken_ns = self._taken_ns.pop(chunk_id, None) if chunk_id is not None else None
        if chunk_id is not None and taken_ns is not None:
            self.stamps.append(UseStamps(chunk_id, taken_ns, now_ns))


Stamps = TypeVar("Stamps", PlanStamps, UseStamps)


def columns(kind: type[Stamps], rows: Iterable[Stamps]) -> dict[str, np.ndarray]:
    """Field by field, for a note: float64, in which whole ns of 104 days are exact."""
    table = np.array([*rows], np.float64).reshape(-1, len(kind._fields))
    return dict(zip(kind._fields, table.T, strict=True))


@dataclass(frozen=True, slots=True)
class Plans:
    """All plans of an episode, followed or not. Legend: P plans. Stamps: ns, float64."""

    observed_ns_P: np.ndarray
    received_ns_P: np.ndarray
    begun_ns_P: np.ndarray
    done_ns_P: np.ndarray
    taken_ns_P: np.ndarray  # NaN: it was never followed, like the next
    sent_ns_P: np.ndarray

    @classmethod
    def join(cls, planned: Mapping[str, NoteValue], used: Mapping[str, NoteValue]) -> "Plans":
        """From the columns that the two processes sent; a chunk is known by its number."""
        planned_PS, used_US = (
            np.stack([np.asarray(values[name], np.float64) for name in kind._fields], axis=-1)
            for kind, values in ((PlanStamps, planned), (UseStamps, used))
        )
        use = {chunk: stamps_S for chunk, *stamps_S in used_US.tolist()}
        never = [np.nan, np.nan]
        use_PS = np.array([use.get(chunk, never) for chunk in planned_PS[:, 0].tolist()])
        return cls(*planned_PS[:, 1:].T, *use_PS.reshape(-1, 2).T)

    @property
    def followed_P(self) -> np.ndarray:  # noqa: N802
        return np.isfinite(self.sent_ns_P)

    @property
    def inference_ns_P(self) -> np.ndarray:  # noqa: N802
        return self.done_ns_P - self.begun_ns_P

    def age_ns(self, part: str | None = None) -> np.ndarray:
        """From exposure to the first command, or a part of it; of the plans that were followed."""
        begin, end = AGE_PARTS[part] if part is not None else ("observed_ns", "sent_ns")
        span_ns_P = getattr(self, f"{end}_P") - getattr(self, f"{begin}_P")
        return span_ns_P[self.followed_P]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; NaN where nothing was measured."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of_ns(cls, values_ns: np.ndarray) -> "Percentiles":
        if values_ns.size == 0:
            return cls(float("nan"), float("nan"), float("nan"))
        p50, p99, largest = np.percentile(values_ns / NS_PER_MS, (50, 99, 100))
        return cls(float(p50), float(p99), float(largest))


@dataclass(frozen=True, slots=True)
class Timing:
    """How well an episode kept its time."""

    ticks: int
    missed_ticks: int
    tick_lateness_ms: Percentiles  # scheduled -> begun
    observation_age_ms: Percentiles  # exposure -> command, of commands that follow a plan
    inference_ms: Percentiles
    first_command_ms: Percentiles  # exposure -> first command, of plans that were followed


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode."""

    result: Mapping[str, NoteValue]  # what the world said; empty without one or at time-out
    record: EpisodeRecord
    plans: Plans
    missed_ticks: int
    link: LinkReport | None = None  # to a policy on another machine

    @property
    def timing(self) -> Timing:
        return timing_of([self])


def timing_of(outcomes: Iterable[Outcome]) -> Timing:
    """The timing of several episodes together."""
    outcomes = list(outcomes)
    plans = [outcome.plans for outcome in outcomes]
    late_ns = np.concatenate([outcome.record.late_ns_N for outcome in outcomes])
    age_ns = np.concatenate([_age_ns(outcome.record) for outcome in outcomes])
    return Timing(
        ticks=late_ns.size,
        missed_ticks=sum(outcome.missed_ticks for outcome in outcomes),
        tick_lateness_ms=Percentiles.of_ns(late_ns),
        observation_age_ms=Percentiles.of_ns(age_ns),
        inference_ms=Percentiles.of_ns(np.concatenate([each.inference_ns_P for each in plans])),
        first_command_ms=Percentiles.of_ns(np.concatenate([each.age_ns() for each in plans])),
    )


def _age_ns(record: EpisodeRecord) -> np.ndarray:
    """Exposure to command: the scheduled stamp's age and how late the tick was."""
    planned = (record.observed_ns_N >= 0) & (record.source_N == POLICY)
    return (record.stamp_ns_N + record.late_ns_N - record.observed_ns_N)[planned]
