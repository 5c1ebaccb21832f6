"""Success against inference delay, for each way of joining chunks: the runs and the arithmetic.

A condition is a way of joining and what is added to each plan's time: whole rows, or a time drawn
from measured ones.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from policy.config import Joining
from robot_io.files import replacing
from robot_io.machine import machine
from scripts.episode_log import EpisodeLog, PlayCondition, Played
from scripts.report import SUCCESS, EpisodeResult
from scripts.seams import SeamMeter
from scripts.stats import wilson_interval

CAP, PUSH_T = "TightenCap", "gym_pusht/PushT-v0"
ROW_MS = 100.0
DRAWN = "drawn"  # from measured times, no number of rows


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
class Cell:
    """What the episodes of one condition came to."""

    condition: Condition
    episodes: int
    successes: int
    scores: Mapping[str, float]  # means of the task's scores and of the seams'

    @property
    def ci95(self) -> tuple[float, float]:
        return wilson_interval(self.successes, self.episodes)


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
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    *,
    checkpoint: Path,
    task: str,
    log: Path,
    workers: int,
) -> Iterator[Played[Condition]]:
    """Every episode of every condition: those in `log` first, then the rest as they are played."""
    make = partial(_make_player, task, str(checkpoint))
    yield from log_at(log, task=task, checkpoint=checkpoint.name).play(
        make, conditions, seeds, workers=workers
    )


def log_at(path: Path, *, task: str, checkpoint: str) -> EpisodeLog[Condition]:
    """Where the episodes of a run are written down."""
    return EpisodeLog(path, run={"task": task, "checkpoint": checkpoint}, condition=_condition)


def _condition(plain: Mapping[str, Any]) -> Condition:
    return Condition(plain["joining"], tuple(plain["delay_ms"]))


def cells(episodes: Sequence[Played[Condition]]) -> list[Cell]:
    """One per condition, in the order of their first episodes."""
    by_condition: dict[Condition, list[EpisodeResult]] = {}
    for each in episodes:
        by_condition.setdefault(each.condition, []).append(each.result)
    return [
        Cell(
            condition,
            len(results),
            sum(result.reason == SUCCESS for result in results),
            _means([result.scores for result in results]),
        )
        for condition, results in by_condition.items()
    ]


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in scores for name in each)
    return {name: float(np.mean([s[name] for s in scores if name in s])) for name in names}


def table(cells: Sequence[Cell], *, task: str, checkpoint: str) -> Table:
    """What `bench delay` prints."""
    length = "m" if task == CAP else "px"
    jump_units = {"seam_velocity": f"{length}/s", "seam_acceleration": f"{length}/s²"}
    table = Table("joining", "added rows", "successes", "95 %", title=f"{task}, {checkpoint}")
    for name in ("velocity jump", "acceleration jump"):
        table.add_column(name)
    for cell in cells:
        low, high = cell.ci95
        jumps = [
            f"{cell.scores[name]:.3g} {unit}" if name in cell.scores else "-"
            for name, unit in jump_units.items()
        ]
        table.add_row(
            cell.condition.joining,
            cell.condition.delay,
            f"{cell.successes} of {cell.episodes}",
            f"{100 * low:.1f} to {100 * high:.1f}",
            *jumps,
        )
    return table


def save(path: Path, cells: Sequence[Cell]) -> None:
    """The same as JSON, with the machine."""
    content = {
        "cells": [{**asdict(cell), "ci95": cell.ci95} for cell in cells],
        "machine": machine(),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# ---- in the worker processes


def _make_player(task: str, checkpoint: str) -> PlayCondition[Condition]:
    return (_CapPlayer if task == CAP else _PushTPlayer)(checkpoint).play


class _Policies:
    """One policy per way of joining, loaded when first needed."""

    def __init__(self, checkpoint: str) -> None:
        from scripts.policies import load_policy

        self._load = cache(partial(load_policy, checkpoint))

    def metered(self, joining: Joining) -> tuple[SeamMeter, Mapping[str, int]]:
        policy = self._load(joining)
        return SeamMeter(policy, step_s=ROW_MS / 1000), policy.config.history()


class _CapPlayer:
    def __init__(self, checkpoint: str) -> None:
        from scripts.cap import CapStage
        from scripts.robot import load_robot

        self._policies, self._stage = _Policies(checkpoint), CapStage(load_robot())

    def play(self, condition: Condition, seed: int) -> EpisodeResult:
        source, history = self._policies.metered(condition.joining)
        episode = self._stage.play(seed, source, history, added_ms=condition.delay_ms)
        return _with_seams(episode.result, source)


class _PushTPlayer:
    def __init__(self, checkpoint: str) -> None:
        from scripts.push_t import PushTStage

        self._policies, self._stage = _Policies(checkpoint), PushTStage()

    def play(self, condition: Condition, seed: int) -> EpisodeResult:
        source, history = self._policies.metered(condition.joining)
        episode = self._stage.play(seed, source, history, delay_ms=condition.delay_ms)
        return _with_seams(episode.result, source)


def _with_seams(result: EpisodeResult, source: SeamMeter) -> EpisodeResult:
    return replace(result, scores={**result.scores, **source.scores()})
