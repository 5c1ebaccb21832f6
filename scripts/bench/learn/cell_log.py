"""Cells that were measured already, one JSON line each: what was cut goes on where it ended."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from robot_io.errors import FeelforwardError
from robot_io.files import replacing
from scripts.bench.learn.row import Cell, Figures
from scripts.workers import play_seeds


class CellLog:
    """The log at `path`. A cell says all that its figures depend on, so it is its own key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._figures = dict(_read(path))

    def measure(
        self,
        cells: Sequence[Cell],
        make_measure: Callable[[], Callable[[Cell], Figures]],
        *,
        workers: int = 1,
    ) -> Iterator[tuple[Cell, Figures]]:
        """Every cell with its figures, in order; what the log has is not measured again.

        `make_measure` must be picklable, as `scripts.workers` needs it.
        """
        missing = {key: cell for cell in cells if (key := _key(cell)) not in self._figures}
        make = partial(_make_measure_by_index, make_measure, tuple(missing.values()))
        fresh = play_seeds(make, range(len(missing)), workers=workers)
        for cell in cells:
            key = _key(cell)
            if key not in self._figures:
                self._figures[key] = next(fresh)
                self._write()
            yield cell, self._figures[key]

    def _write(self) -> None:
        lines = [
            json.dumps({"cell": json.loads(key), "figures": figures})
            for key, figures in self._figures.items()
        ]
        with replacing(self._path) as temporary:  # whole, so a kill leaves no half line
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read(path: Path) -> Iterator[tuple[str, Figures]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            yield json.dumps(entry["cell"], sort_keys=True), entry["figures"]
        except (ValueError, KeyError, TypeError) as error:
            raise FeelforwardError(f"{path}, line {number}: {error!r}. Use a new --out.") from None


def _make_measure_by_index(
    make_measure: Callable[[], Callable[[Cell], Figures]], cells: tuple[Cell, ...]
) -> Callable[[int], Figures]:  # in a worker process
    measure = make_measure()
    return lambda index: measure(cells[index])


def _key(cell: Any) -> str:
    return json.dumps(asdict(cell), sort_keys=True)
