"""What a run did, tick by tick, for tables, plots and films. Kept in memory, saved as one file."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np

from robot_io.errors import FeelforwardError
from robot_io.files import replacing
from robot_io.loop import Tick
from robot_io.types import ArmState

NONE = -1  # where a number does not exist: a hold has no chunk


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One episode. Legend: N ticks, D width of a row. Stamps int64 ns, texts unicode."""

    stamp_ns_N: np.ndarray  # when the tick was due
    late_ns_N: np.ndarray  # how much later it began
    proposed_ND: np.ndarray  # NaN where the proposal had no usable shape
    sent_ND: np.ndarray
    measured_ND: np.ndarray
    verdict_N: np.ndarray
    reasons_N: np.ndarray  # codes joined by spaces
    rung_N: np.ndarray
    source_N: np.ndarray
    chunk_N: np.ndarray
    row_N: np.ndarray
    observed_ns_N: np.ndarray

    @property
    def observation_age_ns_N(self) -> np.ndarray:  # noqa: N802
        """Age of the newest observation behind each command, ns; -1 where there was none."""
        age_ns_N = self.stamp_ns_N - self.observed_ns_N
        return np.where(self.observed_ns_N == NONE, NONE, age_ns_N)

    def save(self, path: Path) -> None:
        """Writes an .npz without pickle; a good file is replaced by a whole one only."""
        with replacing(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                **{each.name: getattr(self, each.name) for each in fields(self)},
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises FeelforwardError when the file is not a record."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{each.name: stored[each.name] for each in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise FeelforwardError(f"{path} is not an episode record: {error}.") from error


class EpisodeLog:
    """Collects ticks."""

    def __init__(self) -> None:
        self._ticks: list[tuple[Tick, ArmState, int]] = []

    def add(self, tick: Tick, state: ArmState, *, late_ns: int = 0) -> None:
        self._ticks.append((tick, state, late_ns))

    def record(self) -> EpisodeRecord:
        ticks = [tick for tick, _, _ in self._ticks]
        origins = [tick.command.provenance for tick in ticks]
        sent = [tick.verdict.row_D for tick in ticks]
        return EpisodeRecord(
            stamp_ns_N=_whole(tick.stamp_ns for tick in ticks),
            late_ns_N=_whole(late_ns for _, _, late_ns in self._ticks),
            proposed_ND=_rows([_usable(tick) for tick in ticks]),
            sent_ND=_rows(sent),
            measured_ND=_rows([state.row_D for _, state, _ in self._ticks]),
            verdict_N=_texts(tick.verdict.kind.value for tick in ticks),
            reasons_N=_texts(" ".join(tick.verdict.reasons) for tick in ticks),
            rung_N=_texts(tick.rung.value for tick in ticks),
            source_N=_texts(origin.source for origin in origins),
            chunk_N=_whole(_or_none(origin.chunk_id) for origin in origins),
            row_N=_whole(_or_none(origin.row) for origin in origins),
            observed_ns_N=_whole(_or_none(origin.observed_ns) for origin in origins),
        )


def _usable(tick: Tick) -> np.ndarray:
    row_D, sent_D = tick.command.row_D, tick.verdict.row_D
    return row_D if np.shape(row_D) == sent_D.shape else np.full_like(sent_D, np.nan)


def _rows(rows: list[np.ndarray]) -> np.ndarray:
    return np.stack(rows) if rows else np.empty((0, 0))


def _whole(values: Iterable[int]) -> np.ndarray:
    return np.fromiter(values, np.int64)


def _texts(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=np.str_)


def _or_none(value: int | None) -> int:
    return NONE if value is None else value
