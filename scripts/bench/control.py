"""What `feelforward bench control` makes of its stamps: lateness, ages, budgets.

A tick of ours is late against a fixed grid of due times. A peer's turn is late against the end of
the period that its last turn began: its drift is no lateness, it shows as turns that it lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robot_io.clock import NS_PER_MS
from robot_io.session.timing import AGE_PARTS, Outcome

OURS = "feelforward"
PEERS = ("naive", "lerobot")

MAX_P99_MS = 1.0
MAX_P999_MS = 3.0
MAX_AGE_P99_MS = 150.0
DECILES = range(5, 100, 10)  # %, the middle of each tenth


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds; NaN where nothing was measured."""

    n: int
    p50: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of_ns(cls, values_ns: np.ndarray) -> "Spread":
        if values_ns.size == 0:
            return cls(0, *[float("nan")] * 4)
        ms = np.percentile(values_ns / NS_PER_MS, (50, 99, 99.9, 100))
        return cls(values_ns.size, *ms.tolist())


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of one loop in one phase: each tick that was run, and how many of the grid were not."""

    late_ns_N: np.ndarray
    lost: int

    @classmethod
    def of_outcomes(cls, outcomes: Sequence[Outcome]) -> "Lateness":
        late_ns = [outcome.record.late_ns_N for outcome in outcomes]
        return cls(np.concatenate(late_ns), sum(outcome.missed_ticks for outcome in outcomes))

    @classmethod
    def of_turns(
        cls, began_ns_N: np.ndarray, windows_ns: Iterable[tuple[int, int]], period_ns: int
    ) -> "Lateness":
        """A peer's, in the windows in which ours was measured."""
        late_ns, lost = [np.empty(0, np.int64)], 0
        for begin_ns, end_ns in windows_ns:
            inside_ns = began_ns_N[(began_ns_N >= begin_ns) & (began_ns_N <= end_ns)]
            if inside_ns.size == 0:
                continue
            late_ns.append(np.maximum(np.diff(inside_ns) - period_ns, 0))
            lost += (inside_ns[-1] - inside_ns[0]) // period_ns - (inside_ns.size - 1)
        return cls(np.concatenate(late_ns), int(max(lost, 0)))

    @classmethod
    def joined(cls, parts: Sequence["Lateness"]) -> "Lateness":
        return cls(np.concatenate([each.late_ns_N for each in parts]), sum(p.lost for p in parts))

    @property
    def spread(self) -> Spread:
        return Spread.of_ns(self.late_ns_N)


def windows(outcomes: Iterable[Outcome]) -> list[tuple[int, int]]:
    """First to last tick of each episode, ns."""
    stamps_ns = [outcome.record.stamp_ns_N for outcome in outcomes]
    return [(int(stamp_ns_N[0]), int(stamp_ns_N[-1])) for stamp_ns_N in stamps_ns]


@dataclass(frozen=True, slots=True)
class Ages:
    """Exposure to the first command that used the frame, and the parts of this time."""

    whole: Spread
    deciles_ms: tuple[float, ...]  # of the whole, 5 % to 95 %: what a lockstep run may draw from
    parts: Mapping[str, Spread]
    never_followed: int  # plans that came too late, or after the end

    @classmethod
    def of_outcomes(cls, outcomes: Sequence[Outcome]) -> "Ages":
        plans = [outcome.plans for outcome in outcomes]

        def ages_ns(part: str | None) -> np.ndarray:
            return np.concatenate([each.age_ns(part) for each in plans])

        whole_ns = ages_ns(None)
        deciles_ms = np.percentile(whole_ns / NS_PER_MS, DECILES) if whole_ns.size else np.empty(0)
        return cls(
            whole=Spread.of_ns(whole_ns),
            deciles_ms=tuple(deciles_ms.round().tolist()),
            parts={part: Spread.of_ns(ages_ns(part)) for part in AGE_PARTS},
            never_followed=sum(int((~each.followed_P).sum()) for each in plans),
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """All that was measured in one way: our loop, the peers beside it, the plans."""

    real_time: str  # what the control process got
    lateness: Mapping[str, Lateness]  # OURS, PEERS, and a peer with " SCHED_FIFO" that it was given
    ages: Ages

    def as_dict(self) -> dict[str, Any]:
        return {
            "real_time": self.real_time,
            "lateness_ms": {
                name: {**asdict(each.spread), "lost": each.lost}
                for name, each in self.lateness.items()
            },
            "age_ms": asdict(self.ages.whole),
            "age_deciles_ms": self.ages.deciles_ms,
            "age_parts_ms": {part: asdict(spread) for part, spread in self.ages.parts.items()},
            "plans_never_followed": self.ages.never_followed,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """One budget. A number that is not there does not keep it."""

    what: str
    measured_ms: float
    limit_ms: float

    @property
    def kept(self) -> bool:
        return self.measured_ms <= self.limit_ms

    def line(self) -> str:
        word = "kept" if self.kept else "MISSED"
        return f"{self.what}: {self.measured_ms:.3f} ms, limit {self.limit_ms:.3f} ms: {word}"


def verdicts(phase: Phase) -> list[Verdict]:
    """The budgets of the loop as it is shipped, beside the peers as they are."""
    ours = phase.lateness[OURS].spread
    found = [
        Verdict("tick lateness p99", ours.p99, MAX_P99_MS),
        Verdict("tick lateness p99.9", ours.p999, MAX_P999_MS),
        Verdict("exposure to first command p99", phase.ages.whole.p99, MAX_AGE_P99_MS),
    ]
    for name in PEERS:
        peer = phase.lateness[name].spread
        found.append(Verdict(f"p99 beside {name}", ours.p99, peer.p99))
        found.append(Verdict(f"p99.9 beside {name}", ours.p999, peer.p999))
    return found
