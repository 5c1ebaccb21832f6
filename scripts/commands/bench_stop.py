"""`feelforward bench stop`: how soon does a software stop slow the arm down?"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from robot_io.errors import FeelforwardError


@dataclass(frozen=True, slots=True)
class BenchStop:
    """Stop a moving simulated arm, again and again, with a key and with a message.

    The processes of the demo run, with two cameras, two tactile sensors, and a scripted planner
    that moves the arm along a circle. In turn a real key is pressed in a pseudo terminal and a
    stop is sent to the control process. Prints the time from there to the first decelerating
    command that the arm was sent; exits with 1 when a p99 is above 20 ms.

    Examples:
      feelforward bench stop
      feelforward bench stop --times 500 --json out/bench_stop.json
    """

    times: int = 50
    """Stops of each kind."""
    seed: int = 0
    """Seed of the moments at which somebody presses."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        import numpy as np
        from rich.console import Console
        from rich.table import Table

        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.control import Spread, Verdict
        from scripts.bench.stop import BUDGET_MS, MAX_TIMES, measure
        from scripts.graphics import need_rendering
        from scripts.tasks.report import LoadWatch

        if not 1 <= self.times <= MAX_TIMES:
            raise FeelforwardError(f"--times {self.times}, allowed 1 to {MAX_TIMES}.")
        check_writable(self.json)
        need_rendering()
        load = LoadWatch()
        stops = measure(self.times, seed=self.seed)
        spreads = {}
        for way, found in stops.items():
            pressed_N, begun_N, sent_N = np.array([[*asdict(stop).values()] for stop in found]).T
            spreads[way] = Spread.of_ns(sent_N - pressed_N)
            spreads[f"  {way}: wait"] = Spread.of_ns(begun_N - pressed_N)
            spreads[f"  {way}: tick"] = Spread.of_ns(sent_N - begun_N)
        table = Table(title="From the stop to the first slower command (ms)", title_justify="left")
        for column in ("by", "n", "p50", "p99", "max"):
            table.add_column(column, justify="left" if column == "by" else "right")
        for name, spread in spreads.items():
            ms = (spread.p50, spread.p99, spread.max)
            table.add_row(name, str(spread.n), *(f"{value:.3f}" for value in ms))
        Console().print(table)
        budgets = [Verdict(f"{way} p99", spreads[way].p99, BUDGET_MS) for way in stops]
        facts = {**machine(), **load.facts()}
        print("\n".join(verdict.line() for verdict in budgets))
        print(facts)
        if self.json is not None:
            figures = {
                "ms": {name.strip(): asdict(spread) for name, spread in spreads.items()},
                "budgets": [{**asdict(each), "kept": each.kept} for each in budgets],
                "machine": facts,
            }
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n")
        if not all(verdict.kept for verdict in budgets):
            sys.exit(1)
