"""What an episode was told and what it did, tick by tick: for tables, plots, films and replay.

Kept in memory while it runs, saved as one file. Messages lie in it as they travel on the wire.
"""

import json
import zlib
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from pydantic import ValidationError

from robot_io import wire
from robot_io.control.loop import Tick
from robot_io.control.spec import ControlSpec
from robot_io.errors import FeelforwardError
from robot_io.files import replacing
from robot_io.types import ArmState, MonoNs

VERSION = 2  # of the file; 1 could not be replayed
_TORN = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error)
MAX_REASONS, OTHER = 100, "other"
NO_RECORD = (
    "no record to replay. It is written when the episode ends, and the control process or its"
    " session was killed before. What was sent until then is in the flight record (.mcap)."
)
NONE = -1  # where a number does not exist: a hold has no chunk


class Taken(NamedTuple):
    """A message, the tick before which it was taken, and what became of it."""

    tick: int
    message: wire.Message
    outcome: str


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One episode. Stamps int64 ns, texts unicode.

    Legend: N ticks, M messages taken from the inbox, B bytes, D width of a row, J joints.
    """

    # what went in
    control: str  # the `ControlSpec` as JSON; empty where something else made the commands
    begin_ns: int
    stamp_ns_N: np.ndarray  # when the tick was due
    state_ns_N: np.ndarray  # when the arm measured what it said in that tick
    measured_ND: np.ndarray
    joint_rad_NJ: np.ndarray
    message_tick_M: np.ndarray
    message_size_M: np.ndarray
    message_B: np.ndarray  # uint8, one message after the other
    # what came out
    message_outcome_M: np.ndarray
    proposed_ND: np.ndarray  # NaN where the proposal had no usable shape
    sent_ND: np.ndarray
    verdict_N: np.ndarray
    reasons_N: np.ndarray  # codes joined by spaces
    rung_N: np.ndarray
    source_N: np.ndarray
    chunk_N: np.ndarray
    row_N: np.ndarray
    observed_ns_N: np.ndarray
    estimated_delay_N: np.ndarray  # rows, of the chunk
    actual_delay_N: np.ndarray
    # how it went
    late_ns_N: np.ndarray  # how much later than due the tick began
    garbage: str = "{}"  # what came and was no message: why -> how often, as JSON
    wrench_N6: np.ndarray | None = None  # what the arm felt; (N, 0) where it does not measure
    made_by: str = "{}"  # machine and versions, as JSON: see `robot_io.machine`
    arm_stopped_by: str = ""  # why the arm took no more commands in the end; empty: it took them

    @property
    def observation_age_ns_N(self) -> np.ndarray:  # noqa: N802
        """Age of the newest observation behind each command, ns; -1 where there was none."""
        age_ns_N = self.stamp_ns_N - self.observed_ns_N
        return np.where(self.observed_ns_N == NONE, NONE, age_ns_N)

    def control_spec(self) -> ControlSpec:
        """What the controller was made of; FeelforwardError when it is not in the record."""
        if not self.control:
            raise FeelforwardError(
                "The record says nothing about limits and rates, because no control process made"
                " it. Record one with `feelforward run --record DIR`."
            )
        try:
            return ControlSpec.from_plain(json.loads(self.control))
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            first_line = str(error).splitlines()[0]
            raise FeelforwardError(
                f"The record's limits and rates are those of another version ({first_line})."
            ) from error

    def state(self, tick: int) -> ArmState:
        """What the arm said in that tick."""
        stamp_ns = MonoNs(int(self.state_ns_N[tick]))
        felt = self.wrench_N6 is not None and self.wrench_N6.shape[1] == 6
        return ArmState(
            stamp_ns,
            self.measured_ND[tick].copy(),
            self.joint_rad_NJ[tick].copy(),
            self.wrench_N6[tick].copy() if felt and self.wrench_N6 is not None else None,
        )

    def messages(self) -> Iterable[Taken]:
        """What was taken from the inbox, in its order; WireError when it is no message."""
        data, begin = self.message_B.tobytes(), 0
        whole = (self.message_tick_M, self.message_size_M, self.message_outcome_M)
        for tick, size, outcome in zip(*(part.tolist() for part in whole), strict=True):
            yield Taken(tick, wire.decode(data[begin : begin + size]), outcome)
            begin += size

    def save(self, path: Path) -> None:
        """Writes an .npz without pickle; a good file is replaced by a whole one only."""
        with replacing(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                version=VERSION,
                **{name: np.asarray(value) for name, value in self._stored()},
            )

    def _stored(self) -> list[tuple[str, Any]]:
        """Fields with their values; what the record does not have is left out."""
        named = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return [(name, value) for name, value in named if value is not None]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises FeelforwardError when the file is not a record, or not a whole one."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                version = int(stored["version"]) if "version" in stored else 1
                if version != VERSION:
                    raise FeelforwardError(
                        f"{path} is an episode record of version {version}, allowed {VERSION}."
                        " Open it with the program that wrote it, or record the run again."
                    )
                return cls(**{name: _plain(stored[name]) for name in _present(cls, stored)})
        except _TORN as error:
            raise FeelforwardError(
                f"{path} is cut short, or not an episode record: {error}."
            ) from error


class EpisodeLog:
    """Collects what goes in and what comes out. References only: no work while an arm waits."""

    def __init__(self, control: ControlSpec | None = None, begin_ns: int = 0) -> None:
        self._control = control
        self._begin_ns = begin_ns
        self._taken: list[Taken] = []
        self._garbage: Counter[str] = Counter()
        self._ticks: list[tuple[Tick, ArmState, int]] = []
        self.arm_stopped_by: str | None = None

    def take(self, message: wire.Message, outcome: str) -> None:
        """A message from the inbox, taken before the tick that is added next."""
        self._taken.append(Taken(len(self._ticks), message, outcome))

    def drop(self, reasons: Iterable[str]) -> None:
        """What came and was no message: one reason each. Few kinds are kept, all are counted."""
        for why in reasons:
            known = why in self._garbage or len(self._garbage) < MAX_REASONS
            self._garbage[why if known else OTHER] += 1

    def add(self, tick: Tick, state: ArmState, *, late_ns: int = 0) -> None:
        self._ticks.append((tick, state, late_ns))

    def record(self) -> EpisodeRecord:
        ticks = [tick for tick, _, _ in self._ticks]
        states = [state for _, state, _ in self._ticks]
        origins = [tick.command.provenance for tick in ticks]
        taken = [each for each in self._taken if each.tick < len(ticks)]  # or the arm failed first
        messages = [wire.encode(each.message) for each in taken]
        return EpisodeRecord(
            control="" if self._control is None else json.dumps(self._control.plain()),
            begin_ns=self._begin_ns,
            stamp_ns_N=_whole(tick.stamp_ns for tick in ticks),
            state_ns_N=_whole(state.stamp_ns for state in states),
            measured_ND=_rows([state.row_D for state in states]),
            joint_rad_NJ=_rows([state.joint_rad_J for state in states]),
            wrench_N6=_rows([_felt(state) for state in states]),
            message_tick_M=_whole(each.tick for each in taken),
            message_size_M=_whole(len(message) for message in messages),
            message_B=np.frombuffer(b"".join(messages), np.uint8),
            message_outcome_M=_texts(each.outcome for each in taken),
            proposed_ND=_rows([usable_proposal(tick) for tick in ticks]),
            sent_ND=_rows([tick.verdict.row_D for tick in ticks]),
            verdict_N=_texts(tick.verdict.kind.value for tick in ticks),
            reasons_N=_texts(" ".join(tick.verdict.reasons) for tick in ticks),
            rung_N=_texts(tick.rung.value for tick in ticks),
            source_N=_texts(origin.source for origin in origins),
            chunk_N=_whole(_or_none(origin.chunk_id) for origin in origins),
            row_N=_whole(_or_none(origin.row) for origin in origins),
            observed_ns_N=_whole(_or_none(origin.observed_ns) for origin in origins),
            estimated_delay_N=_whole(_or_none(each.estimated_delay_rows) for each in origins),
            actual_delay_N=_whole(_or_none(each.actual_delay_rows) for each in origins),
            late_ns_N=_whole(late_ns for _, _, late_ns in self._ticks),
            garbage=json.dumps(self._garbage),
            arm_stopped_by=self.arm_stopped_by or "",
        )


def usable_proposal(tick: Tick) -> np.ndarray:
    """The proposed row (D,); NaN where it had another shape than what was sent."""
    row_D, sent_D = tick.command.row_D, tick.verdict.row_D
    return row_D if np.shape(row_D) == sent_D.shape else np.full_like(sent_D, np.nan)


def _felt(state: ArmState) -> np.ndarray:
    return state.wrench_6 if state.wrench_6 is not None else np.empty(0)


def _rows(rows: list[np.ndarray]) -> np.ndarray:
    return np.stack(rows) if rows else np.empty((0, 0))


def _whole(values: Iterable[int]) -> np.ndarray:
    return np.fromiter(values, np.int64)


def _texts(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=np.str_)


def _or_none(value: int | None) -> int:
    return NONE if value is None else value


def _present(kind: type, stored: Container[str]) -> list[str]:
    """The fields to read: what later versions have added may be missing."""
    return [e.name for e in fields(kind) if e.default is MISSING or e.name in stored]


def _plain(stored: np.ndarray) -> Any:
    return stored if stored.ndim else stored.item()
