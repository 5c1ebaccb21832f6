"""A recorded episode once more: the same inputs through a fresh controller, compared bit for bit.

What the control process decides depends on nothing else, so a command that comes out differently
means that the code, its numerical libraries or the record have changed.
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from robot_io.clock import NS_PER_S
from robot_io.control.controller import Controller
from robot_io.control.record import EpisodeLog, EpisodeRecord

DECIDED = (  # columns of the record, in the order in which a tick comes to them
    "source_N",
    "chunk_N",
    "row_N",
    "estimated_delay_N",
    "actual_delay_N",
    "observed_ns_N",
    "proposed_ND",
    "rung_N",
    "verdict_N",
    "reasons_N",
    "sent_ND",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One tick that came out differently."""

    tick: int
    stamp_ns: int
    elapsed_s: float  # since the first tick
    what: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        return (
            f"tick {self.tick} ({self.elapsed_s:.2f} s after the first, due at {self.stamp_ns} ns):"
            f" {self.what} was {self.recorded} and is now {self.replayed}"
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay went."""

    commands: int
    alike: int  # of them, in every respect
    first: Difference | None

    def __str__(self) -> str:
        if self.first is None:
            return f"{self.commands} commands, bit-identical"
        return f"{self.alike} of {self.commands} commands identical; the first other: {self.first}"


def replay(record: EpisodeRecord) -> Replay:
    """Feeds the record's inputs through a controller of its own config, on the recorded stamps.

    Raises FeelforwardError when the record does not say how to.
    """
    return _compare(record, _run_again(record))


def _run_again(record: EpisodeRecord) -> EpisodeRecord:
    control = record.control_spec()
    controller = Controller(control, record.begin_ns)
    log = EpisodeLog(control, record.begin_ns)
    taken = {tick: list(group) for tick, group in groupby(record.messages(), lambda one: one.tick)}
    stamps = zip(record.stamp_ns_N.tolist(), record.late_ns_N.tolist(), strict=True)
    for tick, (due_ns, late_ns) in enumerate(stamps):
        for _, message, _ in taken.get(tick, ()):
            log.take(message, controller.take(message, due_ns))
        state = record.state(tick)
        log.add(controller.tick(due_ns, state), state, late_ns=late_ns)
        controller.look_ahead(due_ns)
    return log.record()


def _compare(old: EpisodeRecord, new: EpisodeRecord) -> Replay:
    odd_N = np.zeros(len(old.stamp_ns_N), bool)
    outcome_odd_M = old.message_outcome_M != new.message_outcome_M
    odd_N[old.message_tick_M[outcome_odd_M]] = True
    for name in DECIDED:
        odd_N |= _odd(getattr(old, name), getattr(new, name))
    alike = int((~odd_N).sum())
    first = _difference(old, new, int(odd_N.argmax())) if odd_N.any() else None
    return Replay(len(odd_N), alike, first)


def _odd(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Which ticks (N,) differ. Floats differ when their bits do: NaN equals itself, -0 not 0."""
    if old.dtype.kind != "f":
        return old != new
    return (_bits(old) != _bits(new)).any(axis=1)


def _bits(values_ND: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values_ND, np.float64).view(np.int64)


def _difference(old: EpisodeRecord, new: EpisodeRecord, tick: int) -> Difference:
    what, recorded, replayed = _first_odd_part(old, new, tick)
    stamp_ns, first_ns = int(old.stamp_ns_N[tick]), int(old.stamp_ns_N[0])
    return Difference(tick, stamp_ns, (stamp_ns - first_ns) / NS_PER_S, what, recorded, replayed)


def _first_odd_part(old: EpisodeRecord, new: EpisodeRecord, tick: int) -> tuple[str, str, str]:
    """What differs in that tick: its name, as recorded, as replayed."""
    for m in np.flatnonzero(old.message_tick_M == tick):
        recorded, replayed = old.message_outcome_M[m], new.message_outcome_M[m]
        if recorded != replayed:
            return f"outcome of message {m}", repr(str(recorded)), repr(str(replayed))
    for name in DECIDED:
        recorded, replayed = getattr(old, name)[tick], getattr(new, name)[tick]
        label = name[: name.rindex("_")]
        if not isinstance(recorded, np.ndarray):
            if recorded != replayed:
                return label, repr(recorded.item()), repr(replayed.item())
            continue
        for d in np.flatnonzero(_bits(recorded) != _bits(replayed)):
            return f"{label}[{d}]", repr(recorded[d].item()), repr(replayed[d].item())
    raise AssertionError("no part of an odd tick differs")
