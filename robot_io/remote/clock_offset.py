"""The offset between our monotonic clock and another machine's, from messages there and back.

    other      received_ns ●───● sent_ns
                          ╱     ╲
    ours       asked_ns  ●       ●  heard_ns

    offset     = other - ours = ((received - asked) + (sent - heard)) / 2
    round trip = (heard - asked) - (sent - received)

However the round trip is divided between the two ways, the true offset lies within half of it
(Mills, RFC 5905, section 8). The exchange with the shortest one bounds it best; what it says grows
old, since the two clocks may drift apart.
"""

from collections import deque
from dataclasses import dataclass

from robot_io.clock import NS_PER_S

WINDOW = 100  # exchanges; 10 s at 10 Hz
MAX_DRIFT = 100e-6  # of two quartz clocks against each other, s per s
MIN_DRIFT_SPAN_NS = 5 * NS_PER_S  # below it, a drift would be the noise of the round trips


@dataclass(frozen=True, slots=True)
class Exchange:
    """Four stamps of a message and its answer: ours, theirs, theirs, ours."""

    asked_ns: int
    received_ns: int
    sent_ns: int
    heard_ns: int

    @property
    def round_trip_ns(self) -> int:
        return (self.heard_ns - self.asked_ns) - (self.sent_ns - self.received_ns)

    @property
    def offset_ns(self) -> int:
        return (self.received_ns - self.asked_ns + self.sent_ns - self.heard_ns) // 2

    def uncertainty_ns(self, now_ns: int) -> float:
        """How far the true offset may be from `offset_ns` at `now_ns` on our clock."""
        return self.round_trip_ns / 2 + 1 + MAX_DRIFT * abs(now_ns - self.heard_ns)


@dataclass(frozen=True, slots=True)
class Offset:
    """theirs = ours + `offset_ns`, give or take `uncertainty_ns`."""

    offset_ns: int
    uncertainty_ns: float
    round_trip_ns: int  # shortest of the window
    drift: float | None  # s per s, theirs against ours; None until it can be told


class ClockOffset:
    """Give it every exchange; it keeps the best of the window and notices a clock that jumps.

    An exchange and the estimate before it each bound the true offset. When the bounds exclude each
    other, one of the clocks has jumped (a machine was restarted): the window begins anew.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=window)
        self.jumps = 0

    def add(self, exchange: Exchange) -> bool:
        """Takes an exchange; whether a clock has jumped since the last one.

        One that cannot be (answered before it was asked) says nothing and is left out.
        """
        if exchange.round_trip_ns < 0 or exchange.sent_ns < exchange.received_ns:
            return False
        jumped = self._excluded(exchange)
        if jumped:
            self._exchanges.clear()
            self.jumps += 1
        self._exchanges.append(exchange)
        return jumped

    def estimate(self, now_ns: int) -> Offset | None:
        """The offset at `now_ns` on our clock; None before the first exchange."""
        if not self._exchanges:
            return None
        best = _best(self._exchanges, now_ns)
        return Offset(
            best.offset_ns,
            best.uncertainty_ns(now_ns),
            min(each.round_trip_ns for each in self._exchanges),
            self._drift(),
        )

    def _excluded(self, exchange: Exchange) -> bool:
        before = self.estimate(exchange.heard_ns)
        if before is None:
            return False
        apart_ns = abs(exchange.offset_ns - before.offset_ns)
        return apart_ns > before.uncertainty_ns + exchange.uncertainty_ns(exchange.heard_ns)

    def _drift(self) -> float | None:
        """Between the best exchanges of the older and of the newer half."""
        half = len(self._exchanges) // 2
        if half == 0:
            return None
        older, newer = list(self._exchanges)[:half], list(self._exchanges)[half:]
        a, b = (min(part, key=lambda each: each.round_trip_ns) for part in (older, newer))
        span_ns = b.heard_ns - a.heard_ns
        if span_ns < MIN_DRIFT_SPAN_NS:
            return None
        return (b.offset_ns - a.offset_ns) / span_ns


def _best(exchanges: deque[Exchange], now_ns: int) -> Exchange:
    return min(exchanges, key=lambda each: each.uncertainty_ns(now_ns))
