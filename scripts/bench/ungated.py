"""What the gate costs the policy: the same seeds with it and without it, in lockstep.

There is no gate that could be switched off. The stage of the simulation makes its own gate, and
here it makes one that lets everything through; the controller that leads to an arm
(`robot_io.control.controller`) makes none but `CommandGate`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from robot_io.control.loop import Tick
from robot_io.files import replacing
from robot_io.gate.interface import Gate
from robot_io.gate.slow_down import SlowDown
from robot_io.machine import machine
from robot_io.types import ArmState, Command, Verdict, VerdictKind
from scripts.bench.episode_log import EpisodeLog, PlayCondition, Played
from scripts.robot import load_robot
from scripts.stats import paired_interval, wilson_interval
from scripts.tasks.cap import NAME, CapStage
from scripts.tasks.report import EpisodeResult

MAX_COST = 0.02  # of the success rate
_BY = "modified_by_"


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether there is a gate."""

    gated: bool


GATED, UNGATED = Condition(gated=True), Condition(gated=False)


class Ungated:
    """Lets every command through; implements `robot_io.gate.interface.Gate` for the simulation.

    The rest is the loop's, which slows down and gives up as it does before a gate.
    """

    def __init__(self, gate: Gate) -> None:
        """`gate`: says how fast the loop slows down, and nothing else."""
        self._gate = gate
        self._last_D: np.ndarray | None = None
        self._stop_reason: str | None = None

    @property
    def stopped(self) -> bool:
        return self._stop_reason is not None

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        if self._stop_reason is not None:
            return self.hold(self._stop_reason, state, now_ns)
        self._last_D = command.row_D
        return Verdict(VerdictKind.ACCEPTED, command.row_D)

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        row_D = self._last_D if self._last_D is not None else state.row_D
        if self._stop_reason is not None:
            return Verdict(VerdictKind.STOPPED, row_D, (self._stop_reason,))
        return Verdict(VerdictKind.HOLD, row_D, (reason,))

    def stop(self, reason: str) -> None:
        self._stop_reason = str(reason)

    def release(self, state: ArmState) -> None:
        self._last_D, self._stop_reason = state.row_D, None

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> SlowDown | None:
        return self._gate.slow_down(row_D, velocity_V)


class UngatedStage(CapStage):
    """`TightenCap` in lockstep, with nothing between plan and simulated arm."""

    def _make_gate(self) -> tuple[Gate, None]:
        gate, _ = super()._make_gate()
        return Ungated(gate), None


def play(
    seeds: Sequence[int], *, checkpoint: Path, robot: Path, log: Path, workers: int
) -> Iterator[Played[Condition]]:
    """Every seed with the gate and without it: those in `log` first, then the rest."""
    run = {"task": NAME, "checkpoint": checkpoint.name, "robot": robot.name}
    make = partial(_make_player, str(checkpoint), str(robot))
    episodes: EpisodeLog[Condition] = EpisodeLog(log, run=run, condition=_condition)
    yield from episodes.play(make, (GATED, UNGATED), seeds, workers=workers)


def _condition(plain: Mapping[str, Any]) -> Condition:
    return Condition(**plain)


def _make_player(checkpoint: str, robot: str) -> PlayCondition[Condition]:
    from scripts.policies import load_policy

    config = load_robot(Path(robot))
    policy = load_policy(checkpoint, config.buffer.joining)
    stages = {GATED: CapStage(config), UNGATED: UngatedStage(config)}

    def play_one(condition: Condition, seed: int) -> EpisodeResult:
        judged = Judged()
        stage = stages[condition]
        result = stage.play(seed, policy, policy.config.history(), watch=judged.look).result
        return replace(result, scores={**result.scores, **judged.scores()})

    return play_one


class Judged:
    """Counts what a gate made of the commands."""

    def __init__(self) -> None:
        self._kinds: Counter[VerdictKind] = Counter()
        self._reasons: Counter[str] = Counter()  # of modified commands; one may have several
        self._moved_m = 0.0

    def look(self, tick: Tick) -> None:
        verdict = tick.verdict
        self._kinds[verdict.kind] += 1
        if verdict.kind is VerdictKind.MODIFIED:
            self._reasons.update(verdict.reasons)
            self._moved_m = max(self._moved_m, verdict.moved_m)

    def scores(self) -> dict[str, float]:
        kinds = {f"{kind.value}_ticks": float(self._kinds[kind]) for kind in VerdictKind}
        reasons = {f"{_BY}{reason}": float(count) for reason, count in self._reasons.items()}
        return {**kinds, **reasons, "moved_m": self._moved_m}


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs; counts of episodes, shares as fractions."""

    pairs: int
    both: int  # succeeded with and without the gate
    gated_only: int
    ungated_only: int
    modified: float  # share of the commands before the gate
    held: float  # held or stopped: likewise
    modified_by: Mapping[str, float]  # reason -> share of the commands
    moved_m: float  # the farthest that a command was moved

    @property
    def successes(self) -> dict[str, int]:
        return {
            "gate on": self.both + self.gated_only,
            "gate off": self.both + self.ungated_only,
        }

    @property
    def cost(self) -> float:
        """How much of the success rate the gate takes."""
        return (self.ungated_only - self.gated_only) / self.pairs

    @property
    def cost_ci95(self) -> tuple[float, float]:
        neither = self.pairs - self.both - self.gated_only - self.ungated_only
        return paired_interval(self.both, self.ungated_only, self.gated_only, neither)

    @property
    def kept(self) -> bool:
        return self.cost <= MAX_COST


def compare(episodes: Sequence[Played[Condition]]) -> Comparison:
    """Of seeds that were played both ways."""
    on, off = (_by_seed(episodes, condition) for condition in (GATED, UNGATED))
    won = Counter((on[seed].success, off[seed].success) for seed in on.keys() & off.keys())
    totals: Counter[str] = Counter()
    for result in on.values():
        totals.update(result.scores)
    ticks = sum(totals[f"{kind.value}_ticks"] for kind in VerdictKind)
    held = totals["hold_ticks"] + totals["stopped_ticks"]
    by = {name: total for name, total in totals.most_common() if name.startswith(_BY)}
    return Comparison(
        pairs=won.total(),
        both=won[True, True],
        gated_only=won[True, False],
        ungated_only=won[False, True],
        modified=totals["modified_ticks"] / ticks,
        held=held / ticks,
        modified_by={name.removeprefix(_BY): total / ticks for name, total in by.items()},
        moved_m=max(result.scores["moved_m"] for result in on.values()),
    )


def _by_seed(
    episodes: Sequence[Played[Condition]], condition: Condition
) -> dict[int, EpisodeResult]:
    return {e.result.seed: e.result for e in episodes if e.condition == condition}


def table(comparison: Comparison, *, title: str) -> Table:
    """What `bench ungated` prints."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, successes in comparison.successes.items():
        low, high = wilson_interval(successes, comparison.pairs)
        interval = f"95 %: {100 * low:.1f} to {100 * high:.1f}"
        table.add_row(f"successes, {name}", f"{successes} of {comparison.pairs} ({interval})")
    low, high = comparison.cost_ci95
    pairs = f"{comparison.ungated_only} lost, {comparison.gated_only} won by the gate"
    interval = f"95 %: {100 * low:.1f} to {100 * high:.1f}"
    table.add_row("cost of the gate", f"{100 * comparison.cost:.1f} points ({interval}); {pairs}")
    table.add_row("commands modified", f"{100 * comparison.modified:.2f} %")
    for reason, share in comparison.modified_by.items():
        table.add_row(f"  {reason}", f"{100 * share:.2f} %")
    table.add_row("  moved at most", f"{1000 * comparison.moved_m:.1f} mm")
    table.add_row("commands held", f"{100 * comparison.held:.2f} %")
    return table


def save(path: Path, comparison: Comparison) -> None:
    """The same as JSON, with the machine."""
    content = {
        **{name: getattr(comparison, name) for name in Comparison.__slots__},
        "successes": comparison.successes,
        "cost": comparison.cost,
        "cost_ci95": comparison.cost_ci95,
        "kept": comparison.kept,
        "machine": machine(),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
