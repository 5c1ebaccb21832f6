"""Success against inference delay, for each way of joining chunks: the runs and the arithmetic.

A condition is a way of joining and what is added to each plan's time: whole rows, or a time drawn
from measured ones. Several trainings of one recipe play the same starts and count together.

Legend: S trainings, E starts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from policy.config import Joining
from robot_io.files import replacing
from robot_io.machine import machine
from scripts.bench.episode_log import EpisodeLog, PlayCondition, Played
from scripts.bench.seams import SeamMeter
from scripts.stats import Crossed, crossed_difference, success_rate
from scripts.tasks.report import SUCCESS, EpisodeResult

if TYPE_CHECKING:
    from policy.planning.inference import DiffusionPolicy

CAP, PUSH_T = "TightenCap", "gym_pusht/PushT-v0"
ROW_MS = 100.0
DRAWN = "drawn"  # from measured times, no number of rows
FEWEST_STARTS = 2  # that tell how much chance there is


@dataclass(frozen=True, slots=True)
class Condition:
    """A way of joining, and what is added to the time of each plan."""

    joining: Joining
    delay_ms: tuple[float, ...]  # each time one of these, drawn; one entry: always the same

    @property
    def delay(self) -> str:
        """For tables: rows, or `DRAWN`."""
        return f"{self.delay_ms[0] / ROW_MS:g}" if len(self.delay_ms) == 1 else DRAWN


@dataclass(frozen=True, slots=True)
class Trial:
    """A condition in the hands of one training."""

    checkpoint: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Cell:
    """What the episodes of one condition came to."""

    condition: Condition
    success_SE: np.ndarray
    scores: Mapping[str, float]  # means of the task's scores and of the seams'

    @property
    def rate(self) -> Crossed:
        return success_rate(self.success_SE)

    def less(self, other: "Cell") -> Crossed:
        """Its rate less the other's, on the same trainings and starts."""
        return crossed_difference(self.success_SE, other.success_SE)


def conditions(
    joinings: Sequence[Joining],
    *,
    rows: Sequence[int],
    drawn_ms: Sequence[float],
    given_rows: int,
) -> list[Condition]:
    """Every way of joining that the policy knows, with every delay."""
    delays_ms = [(ROW_MS * each,) for each in rows] + ([tuple(drawn_ms)] if drawn_ms else [])
    known: list[Joining] = [joining for joining in joinings if joining != "trained" or given_rows]
    return [Condition(joining, delay_ms) for joining in known for delay_ms in delays_ms]


def play(
    trials: Sequence[Trial], seeds: Sequence[int], *, task: str, log: Path, workers: int
) -> Iterator[Played[Trial]]:
    """Every episode of every trial: those in `log` first, then the rest as they are played."""
    make = partial(_make_player, task)
    yield from log_at(log, task=task).play(make, trials, seeds, workers=workers)


def log_at(path: Path, *, task: str) -> EpisodeLog[Trial]:
    """Where the episodes of a run are written down."""
    return EpisodeLog(path, run={"task": task}, condition=_trial)


def _trial(plain: Mapping[str, Any]) -> Trial:
    condition = plain["condition"]
    return Trial(plain["checkpoint"], Condition(condition["joining"], tuple(condition["delay_ms"])))


def cells(episodes: Sequence[Played[Trial]]) -> list[Cell]:
    """One per condition, in the order of their first episodes."""
    results: dict[Condition, dict[str, dict[int, EpisodeResult]]] = {}
    for each in episodes:
        trial, result = each.condition, each.result
        by_checkpoint = results.setdefault(trial.condition, {})
        by_checkpoint.setdefault(trial.checkpoint, {})[result.seed] = result
    return [_cell(condition, results[condition]) for condition in results]


def _cell(condition: Condition, results: Mapping[str, Mapping[int, EpisodeResult]]) -> Cell:
    success_SE = [
        [by_seed[seed].reason == SUCCESS for seed in sorted(by_seed)]
        for by_seed in results.values()
    ]
    scores = [result.scores for by_seed in results.values() for result in by_seed.values()]
    return Cell(condition, np.array(success_SE, np.float64), _means(scores))


def what_late_plans_cost(cells: Sequence[Cell]) -> list[str]:
    """For people: per delay the best way, and its rate less that of the best on time."""
    on_time = _best([cell for cell in cells if cell.condition.delay == "0"])
    if on_time is None or on_time.success_SE.shape[1] < FEWEST_STARTS:
        return []
    told = []
    for delay in dict.fromkeys(cell.condition.delay for cell in cells):
        best = _best([cell for cell in cells if cell.condition.delay == delay])
        if best is None or best is on_time:
            continue
        joining, rate = best.condition.joining, 100 * best.rate.mean
        off, low, high = (100 * each for each in best.less(on_time))
        told.append(
            f"added rows {delay}: {joining} does best, {rate:.1f} %, {off:+.1f} points "
            f"({low:+.1f} to {high:+.1f}) against {on_time.condition.joining} on time"
        )
    return told


def _best(cells: Sequence[Cell]) -> Cell | None:
    return max(cells, key=lambda cell: cell.rate.mean, default=None)


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in scores for name in each)
    return {name: float(np.mean([s[name] for s in scores if name in s])) for name in names}


def table(cells: Sequence[Cell], *, task: str) -> Table:
    """What `bench delay` prints."""
    length = "m" if task == CAP else "px"
    jump_units = {"seam_velocity": f"{length}/s", "seam_acceleration": f"{length}/s²"}
    table = Table("joining", "added rows", "successes", "%, 95 %", title=task)
    for name in ("velocity jump", "acceleration jump"):
        table.add_column(name)
    for cell in cells:
        mean, low, high = (100 * each for each in cell.rate)
        jumps = [
            f"{cell.scores[name]:.3g} {unit}" if name in cell.scores else "-"
            for name, unit in jump_units.items()
        ]
        table.add_row(
            cell.condition.joining,
            cell.condition.delay,
            f"{cell.success_SE.sum():.0f} of {cell.success_SE.size}",
            f"{mean:.1f} ({low:.1f} to {high:.1f})",
            *jumps,
        )
    return table


def save(path: Path, cells: Sequence[Cell]) -> None:
    """The same as JSON, with the machine."""
    content = {
        "cells": [
            {
                "condition": asdict(cell.condition),
                "trainings": len(cell.success_SE),
                "episodes": cell.success_SE.size,
                "successes": int(cell.success_SE.sum()),
                "rate": cell.rate._asdict(),
                "scores": dict(cell.scores),
            }
            for cell in cells
        ],
        "machine": machine(),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# ---- in the worker processes


def _make_player(task: str) -> PlayCondition[Trial]:
    return (_CapPlayer if task == CAP else _PushTPlayer)().play


@cache
def _policy(checkpoint: str, joining: Joining) -> "DiffusionPolicy":
    from scripts.policies import load_policy

    return load_policy(checkpoint, joining)


def _metered(trial: Trial) -> tuple[SeamMeter, Mapping[str, int]]:
    policy = _policy(trial.checkpoint, trial.condition.joining)
    return SeamMeter(policy, step_s=ROW_MS / 1000), policy.config.history()


class _CapPlayer:
    def __init__(self) -> None:
        from scripts.robot import load_robot
        from scripts.tasks.cap import CapStage

        self._stage = CapStage(load_robot())

    def play(self, trial: Trial, seed: int) -> EpisodeResult:
        source, history = _metered(trial)
        added_ms = trial.condition.delay_ms
        episode = self._stage.play(seed, source, history, added_ms=added_ms)
        return _with_seams(episode.result, source)


class _PushTPlayer:
    def __init__(self) -> None:
        from scripts.tasks.push_t import PushTStage

        self._stage = PushTStage()

    def play(self, trial: Trial, seed: int) -> EpisodeResult:
        source, history = _metered(trial)
        delay_ms = trial.condition.delay_ms
        episode = self._stage.play(seed, source, history, delay_ms=delay_ms)
        return _with_seams(episode.result, source)


def _with_seams(result: EpisodeResult, source: SeamMeter) -> EpisodeResult:
    return replace(result, scores={**result.scores, **source.scores()})
