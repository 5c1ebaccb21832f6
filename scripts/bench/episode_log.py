"""Episodes of a bench on disk, one JSON line each: a run that was cut goes on where it ended.

Every condition plays the same seeds. The log says of what run it is; that of another is refused.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from robot_io.errors import FeelforwardError
from robot_io.files import replacing
from scripts.tasks.report import EpisodeResult
from scripts.workers import play_seeds

Condition = TypeVar("Condition")  # a frozen dataclass of plain data


@dataclass(frozen=True, slots=True)
class Played(Generic[Condition]):
    """One episode of one condition."""

    condition: Condition
    result: EpisodeResult


PlayCondition = Callable[[Condition, int], EpisodeResult]  # the second is the seed


class EpisodeLog(Generic[Condition]):
    """The log at `path` of the run that `run` names, such as its task and checkpoint."""

    def __init__(
        self,
        path: Path,
        *,
        run: Mapping[str, str],
        condition: Callable[[Mapping[str, Any]], Condition],
    ) -> None:
        """`condition` makes one from plain data."""
        self._path, self._run, self._condition = path, dict(run), condition

    def play(
        self,
        make_player: Callable[[], PlayCondition[Condition]],
        conditions: Sequence[Condition],
        seeds: Sequence[int],
        *,
        workers: int,
    ) -> Iterator[Played[Condition]]:
        """Every seed of every condition: those in the log first, then the rest as they are played.

        `make_player` must be picklable, as `scripts.workers` needs it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_cut_line()
        done = self.read()
        wanted = [(condition, seed) for condition in conditions for seed in seeds]
        yield from (done[job] for job in wanted if job in done)
        jobs = tuple(job for job in wanted if job not in done)
        make = partial(_make_job_player, make_player, jobs)
        with self._path.open("a", encoding="utf-8") as file:
            for played in play_seeds(make, range(len(jobs)), workers=workers):
                file.write(json.dumps({**self._run, **asdict(played)}) + "\n")
                file.flush()
                yield played

    def read(self) -> dict[tuple[Condition, int], Played[Condition]]:
        """What is there already; FeelforwardError where a line cannot be understood."""
        done = {}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                run = {name: entry[name] for name in self._run}
                condition = self._condition(entry["condition"])
                played = Played(condition, EpisodeResult(**entry["result"]))
            except (ValueError, KeyError, TypeError) as error:
                raise FeelforwardError(
                    f"{self._path}, line {number}: {error!r}. Use a new --out."
                ) from None
            if run != self._run:
                raise FeelforwardError(
                    f"{self._path} is of {_named(run)}, not of {_named(self._run)}."
                    " Use a new --out."
                )
            done[played.condition, played.result.seed] = played
        return done

    def _drop_cut_line(self) -> None:
        """A run that was killed while it wrote leaves half a line: that episode is played again."""
        path = self._path
        if path.exists() and not (text := path.read_text(encoding="utf-8")).endswith("\n"):
            with replacing(path) as temporary:
                temporary.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")


def _named(run: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in run.items())


def _make_job_player(
    make_player: Callable[[], PlayCondition[Condition]], jobs: tuple[tuple[Condition, int], ...]
) -> Callable[[int], Played[Condition]]:
    """In a worker process: plays jobs by their index."""
    play = make_player()

    def play_job(index: int) -> Played[Condition]:
        condition, seed = jobs[index]
        return Played(condition, play(condition, seed))

    return play_job
