"""What a row of `feelforward bench learn` is: cells to measure, and what they come to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from matplotlib.figure import Figure
from rich.table import Table

from robot_io.files import replacing

Size = Literal["small", "full"]  # minutes, or a night
Figures = Mapping[str, Any]  # plain data, as JSON gives it back
Cell = TypeVar("Cell")  # a frozen dataclass of plain data that says all its figures depend on
Measured = Sequence[tuple[Cell, Figures]]
Verdict = Literal["kept", "MISSED", "open"]  # open: the measurement was too small to tell


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that must hold, and whether it did."""

    what: str
    value: str
    verdict: Verdict


class Row(Protocol[Cell]):
    """One row of the table "what must hold, measured"."""

    def cells(self, size: Size) -> Sequence[Cell]: ...
    def measure(self, cell: Cell) -> Figures: ...
    def table(self, measured: Measured[Cell]) -> Table: ...
    def claims(self, measured: Measured[Cell]) -> Sequence[Claim]: ...
    def plot(self, path: Path, measured: Measured[Cell]) -> None: ...


@dataclass(frozen=True, slots=True)
class Result:
    """A row when all its cells are measured."""

    measured: Measured
    claims: Sequence[Claim]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the JSON file."""
        return {
            "claims": [asdict(claim) for claim in self.claims],
            "cells": [{**asdict(cell), **figures} for cell, figures in self.measured],
        }


def judge(kept: bool, *, certain: bool = True) -> Verdict:
    """A claim that held is kept; one that did not is missed if that is certain."""
    if kept:
        return "kept"
    return "MISSED" if certain else "open"


def save_plot(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
