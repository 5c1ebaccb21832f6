"""How the line to a policy server did in one episode: counted here, told after it.

Units: ms, bytes. A round trip is the way there and back of an observation and its plan, without
what the server took in between.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from robot_io.clock import NS_PER_MS
from robot_io.remote.clock_offset import Offset

_PREFIX = "link_"  # of its fields among the other values of a note


@dataclass(frozen=True, slots=True)
class LinkReport:
    """One episode. NaN where nothing was measured."""

    wanted: int  # plans that were asked for
    planned: int
    failed: int  # the server could not plan from what it saw
    late: int  # answers to something that nobody waited for any more
    refused: int  # messages that were not believed: garbage, of another session, repeated
    round_trip_p50_ms: float
    round_trip_p99_ms: float
    round_trip_max_ms: float
    sent_bytes: int
    heard_bytes: int
    clock_offset_ms: float  # the server's clock - ours
    clock_uncertainty_ms: float

    @property
    def lost(self) -> int:
        """Plans that were wanted, and nothing came in time."""
        return self.wanted - self.planned - self.failed

    def __str__(self) -> str:
        return (
            f"{self.planned} of {self.wanted} plans, {self.lost} lost, {self.failed} failed, "
            f"{self.late} late; {self.refused} messages refused; round trip p50 "
            f"{self.round_trip_p50_ms:.2f}, p99 {self.round_trip_p99_ms:.2f}, max "
            f"{self.round_trip_max_ms:.2f} ms; {self.sent_bytes / 1e6:.2f} MB there, "
            f"{self.heard_bytes / 1e6:.2f} MB back; its clock {self.clock_offset_ms:.3f} ms ahead "
            f"of ours, give or take {self.clock_uncertainty_ms:.3f} ms"
        )

    def values(self) -> dict[str, int | float]:
        """As part of a note between processes."""
        return {_PREFIX + name: value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self | None:
        """What is among these values; None when they have no report."""
        names = [each.name for each in fields(cls)]
        if _PREFIX + names[0] not in values:
            return None
        return cls(*(values[_PREFIX + name] for name in names))


class LinkCount:
    """Counts what happens on the line since it was made."""

    def __init__(self) -> None:
        self.wanted = self.planned = self.failed = self.late = self.refused = 0
        self.sent_bytes = self.heard_bytes = 0
        self.round_trips_ns: list[int] = []

    def report(self, offset: Offset | None) -> LinkReport:
        nothing = np.full(3, np.nan)
        ms = np.array(self.round_trips_ns) / NS_PER_MS
        p50_ms, p99_ms, max_ms = np.percentile(ms, (50, 99, 100)) if ms.size else nothing
        return LinkReport(
            wanted=self.wanted,
            planned=self.planned,
            failed=self.failed,
            late=self.late,
            refused=self.refused,
            round_trip_p50_ms=float(p50_ms),
            round_trip_p99_ms=float(p99_ms),
            round_trip_max_ms=float(max_ms),
            sent_bytes=self.sent_bytes,
            heard_bytes=self.heard_bytes,
            clock_offset_ms=np.nan if offset is None else offset.offset_ns / NS_PER_MS,
            clock_uncertainty_ms=np.nan if offset is None else offset.uncertainty_ns / NS_PER_MS,
        )
