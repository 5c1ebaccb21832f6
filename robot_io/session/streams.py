"""Every stream of a session: who makes it, how often, how old it may be, what if it is late.

`stream_table` makes the table of a session, `StreamHealth` answers for one stream whether it is
alive (age by its own stamp), valid and on rate, and `StreamWatch` turns that into one line per
fault. None of them reads a clock or a socket.

Units: s, Hz. Stamps: int ns, host monotonic.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from robot_io.clock import NS_PER_S
from robot_io.session.spec import SessionSpec, StreamLimits

WORLD, ARM, COMMANDS, CHUNKS = "world", "arm", "commands", "chunks"
WORLD_LIMITS = StreamLimits(rate_hz=200.0, max_age_s=0.1)  # a simulated world's own steps

RATE_WINDOW_S = 2.0
RATE_SHARE = 0.5  # of the nominal rate: below it a stream is not on rate
LOOK_EVERY_S = 0.1  # a watch that looks less often misses samples, which are not kept for ever
CALM_S = 1.0  # without trouble: then a fault is over
EXPLAINED_SHARE = 0.5  # of a stream's age: a needed stream that silent explains it


class WhenLate(StrEnum):
    """What happens when a stream is older than its limit."""

    WORLD_STANDS = "the simulated world stands still; the arm holds"
    ARM_HOLDS = "the arm holds; it stops for good when that lasts"
    ARM_STOPS = "the arm stops by itself, until the next episode"
    PLANS_STOP = "plans stop; the arm executes the tail, slows down and holds"
    TAIL = "the arm executes the tail, slows down and holds"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One row of the table. `needs` are streams whose silence silences this one."""

    name: str
    producer: str  # the process
    rate_hz: float
    max_age_s: float
    when_late: WhenLate
    needs: tuple[str, ...] = ()


def stream_table(spec: SessionSpec) -> tuple[StreamSpec, ...]:
    """The streams of a session, those that others need first."""
    control, period_s = spec.control, spec.control.period_ns / NS_PER_S
    world = () if spec.world is None else (WORLD,)
    limits = {name: spec.streams[name] for name in spec.cameras}
    table = [
        StreamSpec(COMMANDS, "control", 1 / period_s, spec.max_target_age_s, WhenLate.ARM_STOPS),
        StreamSpec(
            ARM,
            world[0] if world else "control",  # a real arm's driver lives in the control process
            1 / period_s,
            control.loop.max_state_age_s,
            WhenLate.ARM_HOLDS,
            needs=(*world, COMMANDS),  # control passes the measurements on
        ),
        *(
            StreamSpec(
                name,
                f"camera_{name}",
                limit.rate_hz,
                limit.max_age_s,
                WhenLate.PLANS_STOP,
                needs=world,
            )
            for name, limit in limits.items()
        ),
    ]
    if world:
        rate_hz, max_age_s = WORLD_LIMITS.rate_hz, WORLD_LIMITS.max_age_s
        table.insert(0, StreamSpec(WORLD, WORLD, rate_hz, max_age_s, WhenLate.WORLD_STANDS))
    chunks, needs = spec.streams[CHUNKS], tuple(stream.name for stream in table)
    table.append(
        StreamSpec(CHUNKS, "policy", chunks.rate_hz, chunks.max_age_s, WhenLate.TAIL, needs)
    )
    return tuple(table)


class StreamHealth:
    """How one stream does. Feed it every sample's stamp; ask it with the time.

    A stamp that does not advance is no news, however often it comes: a frozen camera that gives
    the same frame again is not alive. Neither is an invalid sample.
    """

    def __init__(self, spec: StreamSpec, begin_ns: int) -> None:
        self._max_age_ns = round(spec.max_age_s * NS_PER_S)
        self._rate_hz = spec.rate_hz
        self._rated_from_ns = begin_ns
        self._newest_ns = begin_ns
        self._came_ns: deque[int] = deque()  # stamps within the window
        self.fault: str | None = None  # of the newest sample

    @property
    def valid(self) -> bool:
        """Whether the newest sample could be used."""
        return self.fault is None

    def add(self, stamp_ns: int, fault: str | None = None) -> None:
        """A sample; `fault` says why it cannot be used."""
        if fault is not None:
            self.fault = fault
        elif stamp_ns > self._newest_ns:
            self._newest_ns = stamp_ns
            self._came_ns.append(stamp_ns)
            self.fault = None

    def age_s(self, now_ns: int) -> float:
        """Since the newest valid sample; before the first, since the beginning."""
        return (now_ns - self._newest_ns) / NS_PER_S

    def alive(self, now_ns: int) -> bool:
        """Whether the age is within its limit; a stamp far ahead is no sign of life either."""
        return -self._max_age_ns <= now_ns - self._newest_ns <= self._max_age_ns

    def rate_hz(self, now_ns: int) -> float:
        """New samples per second within the last `RATE_WINDOW_S`; NaN at the very beginning."""
        window_ns = min(round(RATE_WINDOW_S * NS_PER_S), now_ns - self._rated_from_ns)
        while self._came_ns and self._came_ns[0] <= now_ns - window_ns:
            self._came_ns.popleft()
        return len(self._came_ns) * NS_PER_S / window_ns if window_ns > 0 else float("nan")

    def on_rate(self, now_ns: int) -> bool:
        """Whether at least `RATE_SHARE` of the rate comes; not judged before a whole window."""
        if now_ns - self._rated_from_ns < RATE_WINDOW_S * NS_PER_S:
            return True
        return self.rate_hz(now_ns) >= RATE_SHARE * self._rate_hz

    def looked_away(self, now_ns: int) -> None:
        """Samples have passed unseen, or a gap has been told: the rate is judged from here on."""
        self._rated_from_ns = now_ns


class Trouble(IntEnum):
    """What ails a stream; the worse, the larger."""

    NONE = 0
    SLOW = 1
    INVALID = 2
    LATE = 3


@dataclass(frozen=True, slots=True)
class News:
    """One line for the operator: a fault has begun, got worse, or is over."""

    stream: StreamSpec
    trouble: Trouble
    line: str


@dataclass(slots=True)
class _Case:
    """A stream under watch, and what has been told about it."""

    spec: StreamSpec
    health: StreamHealth
    told: Trouble = Trouble.NONE
    fault: str | None = None  # of a sample that came since the last news
    begun_ns: int = 0
    ill_ns: int = 0  # last time that something was wrong


class StreamWatch:
    """Says once when a stream falls ill and once when it is well again.

    A stream that is late because one it needs is silent is not mentioned: the cause is.
    """

    def __init__(self, table: Iterable[StreamSpec], begin_ns: int) -> None:
        self._cases = {spec.name: _Case(spec, StreamHealth(spec, begin_ns)) for spec in table}
        self._looked_ns = begin_ns

    def add(self, name: str, stamp_ns: int, fault: str | None = None) -> None:
        """A sample of a stream; `fault` says why it cannot be used."""
        case = self._cases[name]
        case.health.add(stamp_ns, fault)
        case.fault = fault or case.fault

    def health(self, name: str) -> StreamHealth:
        return self._cases[name].health

    def news(self, now_ns: int) -> list[News]:
        """What the operator should read now; mostly nothing."""
        if now_ns - self._looked_ns > LOOK_EVERY_S * NS_PER_S:
            for case in self._cases.values():
                case.health.looked_away(now_ns)
        self._looked_ns = now_ns
        return [item for case in self._cases.values() for item in self._news_of(case, now_ns)]

    def _news_of(self, case: _Case, now_ns: int) -> Iterable[News]:
        trouble = self._trouble(case, now_ns)
        if trouble is Trouble.SLOW and case.told > Trouble.SLOW:
            trouble = Trouble.NONE  # the window still remembers the gap
        fault, case.fault = case.fault, None
        if trouble:
            case.ill_ns = now_ns
        if trouble > case.told:
            if not case.told:
                case.begun_ns = now_ns
            case.told = trouble
            yield News(case.spec, trouble, _complaint(case, trouble, fault, now_ns))
        elif case.told and now_ns - case.ill_ns >= CALM_S * NS_PER_S:
            lasted_s = (case.ill_ns - case.begun_ns) / NS_PER_S
            case.told = Trouble.NONE
            case.health.looked_away(now_ns)
            line = f"{case.spec.name}: well again after {lasted_s:.2f} s."
            yield News(case.spec, Trouble.NONE, line)

    def _trouble(self, case: _Case, now_ns: int) -> Trouble:
        health = case.health
        if not health.alive(now_ns):
            hidden = not case.told and self._explained(case, now_ns)
            return Trouble.NONE if hidden else Trouble.LATE
        if case.fault is not None or not health.valid:
            return Trouble.INVALID
        if not health.on_rate(now_ns) and not any(need.told for need in self._needs(case)):
            return Trouble.SLOW
        return Trouble.NONE

    def _needs(self, case: _Case) -> list[_Case]:
        return [self._cases[name] for name in case.spec.needs]

    def _explained(self, case: _Case, now_ns: int) -> bool:
        """Whether a stream that this one needs is in trouble, or about to be."""
        silent_s = EXPLAINED_SHARE * case.health.age_s(now_ns)
        return any(need.told or need.health.age_s(now_ns) > silent_s for need in self._needs(case))


def _complaint(case: _Case, trouble: Trouble, fault: str | None, now_ns: int) -> str:
    spec, health = case.spec, case.health
    fault = fault if fault is not None else health.fault
    if trouble is Trouble.LATE:
        age_s = health.age_s(now_ns)
        return (
            f"{spec.name}: nothing new for {age_s:.2f} s, limit {spec.max_age_s:.2f} s: "
            f"{spec.when_late}."
        )
    if trouble is Trouble.INVALID:
        return f"{spec.name}: refused, {fault}; unless a good one comes, {spec.when_late}."
    rate_hz = health.rate_hz(now_ns)
    least_hz = RATE_SHARE * spec.rate_hz
    return f"{spec.name}: {rate_hz:.1f} Hz, at least {least_hz:.1f} Hz of {spec.rate_hz:g} wanted."
