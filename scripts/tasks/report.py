"""What an evaluation found: one summary per episode, one report over all, as table and as JSON.

Units: tick lateness and observation age in ms, rates and intervals as fractions.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import RenderableType
from rich.table import Table

from robot_io.files import replacing
from robot_io.machine import machine
from robot_io.session.timing import Percentiles, Timing
from scripts.stats import wilson_interval

SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """How one episode ended."""

    seed: int
    reason: str  # "success", or why it failed
    steps: int  # rows of 100 ms
    scores: Mapping[str, float] = field(default_factory=dict)  # task's own, unit in the name

    @property
    def success(self) -> bool:
        return self.reason == SUCCESS


@dataclass(frozen=True, slots=True)
class Report:
    """All episodes of one evaluation."""

    checkpoint: str
    task: str
    mode: str
    results: Sequence[EpisodeResult]
    touch: str = "felt"
    joining: str | None = None  # chosen elsewhere, with a policy on another machine
    timing: Timing | None = None  # of episodes in real time

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the JSON file."""
        successes = sum(result.success for result in self.results)
        failures = Counter(result.reason for result in self.results if not result.success)
        return {
            "checkpoint": self.checkpoint,
            "task": self.task,
            "mode": self.mode,
            "touch": self.touch,
            "joining": self.joining,
            "episodes": len(self.results),
            "successes": successes,
            "success_rate": successes / len(self.results),
            "ci95": list(wilson_interval(successes, len(self.results))),
            "failures": dict(failures.most_common()),
            "scores": self._mean_scores(),
            **(asdict(self.timing) if self.timing is not None else {}),
            "machine": machine(),
            "results": [asdict(result) for result in self.results],
        }

    def save(self, path: Path) -> None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")

    def markdown(self, command: str) -> str:
        """The same for the card of a checkpoint, with what anyone can run again."""
        facts = self.as_dict()
        low, high = (100 * bound for bound in facts["ci95"])
        interval = f"95 %: {low:.1f} to {high:.1f}"
        failures = ", ".join(f"{reason} {count}" for reason, count in facts["failures"].items())
        rows = {
            "command": f"`{command}`",
            "successes": f"{facts['successes']} of {facts['episodes']} ({interval})",
            "failures": failures or "none",
            **{name: f"mean {mean:.3f}" for name, mean in facts["scores"].items()},
            **dict(_timing_rows(self.timing)),
            "machine": f"{facts['machine']['processor']}, {facts['machine']['cores']} cores",
            "commit": facts["machine"]["commit"],
        }
        return "\n".join(["| | |", "|---|---|", *(f"| {n} | {text} |" for n, text in rows.items())])

    def table(self) -> RenderableType:
        """The table that `evaluate` and `demo` print."""
        facts = self.as_dict()
        table = Table(title=f"{self.task}, {self.checkpoint}, {self.mode}", show_header=False)
        low, high = (100 * bound for bound in facts["ci95"])
        table.add_row("episodes", str(facts["episodes"]))
        rate = f"{facts['successes']} = {100 * facts['success_rate']:.1f} %"
        table.add_row("successes", f"{rate}  (95 %: {low:.1f} to {high:.1f})")
        for reason, count in facts["failures"].items():
            table.add_row(f"  {reason}", str(count))
        steps = [result.steps for result in self.results]
        table.add_row("steps of 100 ms", f"median {median(steps):.0f}, max {max(steps)}")
        for name, mean in facts["scores"].items():
            table.add_row(name.replace("_", " "), f"mean {mean:.3f}")
        if self.joining is not None:
            table.add_row("plans join by", self.joining)
        if self.touch != "felt":
            table.add_row("touch", self.touch)
        for row in _timing_rows(self.timing):
            table.add_row(*row)
        return table

    def _mean_scores(self) -> dict[str, float]:
        names = dict.fromkeys(name for result in self.results for name in result.scores)
        return {name: self._mean(name) for name in names}

    def _mean(self, name: str) -> float:
        values = [result.scores[name] for result in self.results if name in result.scores]
        return sum(values) / len(values)


def _timing_rows(timing: Timing | None) -> Iterator[tuple[str, str]]:
    if timing is None:
        return
    yield "missed ticks", f"{timing.missed_ticks} of {timing.missed_ticks + timing.ticks}"
    names = ("tick_lateness_ms", "observation_age_ms", "first_command_ms", "inference_ms")
    for name in names:
        ms: Percentiles = getattr(timing, name)
        yield (
            name.removesuffix("_ms").replace("_", " "),
            f"p50 {ms.p50:.2f}, p99 {ms.p99:.2f}, max {ms.max:.2f} ms",
        )


class LoadWatch:
    """How busy the machine was before, and how much of it its host took away since."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._before = psutil.cpu_times()

    def facts(self) -> dict[str, float]:
        now = psutil.cpu_times()
        spent_s = sum(now) - sum(self._before)
        stolen_s = getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)
        return {
            "load_before": round(self._load, 2),
            "stolen_by_host": round(stolen_s / spent_s, 4) if spent_s > 0 else 0.0,
        }
