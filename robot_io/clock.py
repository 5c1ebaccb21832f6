"""The one place that reads time."""

import time
from typing import Protocol

from robot_io.types import MonoNs

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    def now_ns(self) -> MonoNs: ...
    def sleep_until(self, due_ns: int) -> None: ...


class MonotonicClock:
    """The host's monotonic clock: shared by all processes of one machine."""

    def now_ns(self) -> MonoNs:
        return MonoNs(time.monotonic_ns())

    def sleep_until(self, due_ns: int) -> None:
        """Returns at or just after `due_ns`; at once when that is past."""
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / NS_PER_S)


def wall_clock_minus_monotonic_ns() -> int:
    """What turns a stamp into a date, to tell people when something was.

    It jumps when somebody sets the wall clock: nothing may be due or grow old by it.
    """
    return time.time_ns() - time.monotonic_ns()


class VirtualClock:
    """Time that stands still until somebody moves it."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> MonoNs:
        return MonoNs(self._now_ns)

    def sleep_until(self, due_ns: int) -> None:
        self._now_ns = max(self._now_ns, due_ns)
