"""What ails the line to a policy server: one line per fault for the operator, and one at its end.

No socket and no clock: whoever notices something says so together with the time.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from robot_io.clock import NS_PER_S

MAX_LINES = 100  # that nobody has fetched; the oldest are given up
MAX_TEXT = 300  # of one line: some of it is the server's


class LinkFault(Enum):
    """What it is; how long nothing of it means that it is over (s); what is said then."""

    NO_PLANS = (2.0, "well again after {lasted_s:.2f} s.")  # longer than a plan is waited for
    SLOW = (2.0, "round trips well again after {lasted_s:.2f} s.")
    REFUSED = (5.0, "no message refused for {calm_s:g} s.")
    CLOCK = (30.0, "its clock has kept to ours for {calm_s:g} s.")

    def __init__(self, calm_s: float, end: str) -> None:
        self.calm_ns = round(calm_s * NS_PER_S)
        self.end = end


@dataclass(slots=True)
class _Case:
    begun_ns: int
    ill_ns: int  # when it was noticed last


class LinkWatch:
    """Collects lines about one server; somebody fetches them with `news`, from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._cases: dict[LinkFault, _Case] = {}
        self._lines: deque[str] = deque(maxlen=MAX_LINES)

    def note(
        self, fault: LinkFault, what: str, now_ns: int, *, since_ns: int | None = None
    ) -> None:
        """Something is wrong now, or still; `what` is said where it is news.

        What is refused while there are no plans needs no line of its own: a server that has come
        back answers every hello that waited for it.
        """
        case = self._cases.get(fault)
        if case is not None:
            case.ill_ns = now_ns
        elif fault is not LinkFault.REFUSED or LinkFault.NO_PLANS not in self._cases:
            self._cases[fault] = _Case(now_ns if since_ns is None else since_ns, now_ns)
            self._say(what)

    def look(self, now_ns: int) -> None:
        """Says which faults are over."""
        for fault, case in list(self._cases.items()):
            if now_ns - case.ill_ns >= fault.calm_ns:
                del self._cases[fault]
                lasted_s = (case.ill_ns - case.begun_ns) / NS_PER_S
                self._say(fault.end.format(lasted_s=lasted_s, calm_s=fault.calm_ns / NS_PER_S))

    def news(self) -> list[str]:
        """The lines since the last time."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def _say(self, what: str) -> None:
        line = f"Policy server {self._name}: {what}"
        shown = "".join(each if each.isprintable() else " " for each in line)
        self._lines.append(" ".join(shown.split())[:MAX_TEXT])
