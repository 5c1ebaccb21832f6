"""What an episode in real time hands back, and how well it kept its time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from robot_io.clock import NS_PER_MS
from robot_io.record import EpisodeRecord
from robot_io.wire import NoteValue


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """One episode."""

    result: Mapping[str, NoteValue]  # what the world said; empty without one or at time-out
    record: EpisodeRecord
    inference_ns: np.ndarray  # (plans,)
    missed_ticks: int

    @property
    def timing(self) -> Timing:
        return timing_of([self])


def timing_of(outcomes: Iterable[Outcome]) -> Timing:
    """The timing of several episodes together."""
    outcomes = list(outcomes)
    late_ns = np.concatenate([outcome.record.late_ns_N for outcome in outcomes])
    age_ns = np.concatenate([_age_ns(outcome.record) for outcome in outcomes])
    return Timing(
        ticks=late_ns.size,
        missed_ticks=sum(outcome.missed_ticks for outcome in outcomes),
        tick_lateness_ms=Percentiles.of_ns(late_ns),
        observation_age_ms=Percentiles.of_ns(age_ns),
        inference_ms=Percentiles.of_ns(np.concatenate([o.inference_ns for o in outcomes])),
    )


def _age_ns(record: EpisodeRecord) -> np.ndarray:
    """Exposure to command: the scheduled stamp's age and how late the tick was."""
    planned = record.observed_ns_N >= 0
    return (record.stamp_ns_N + record.late_ns_N - record.observed_ns_N)[planned]
