"""`feelforward bench tick`: what a tick of the command gate costs."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from robot_io.errors import FeelforwardError


@dataclass(frozen=True, slots=True)
class BenchTick:
    """Time a tick of the gate with all its checks on the simulated FR3, and what they consist of.

    Commands go round a circle that keeps every limit; distances and joint angles of the whole arm
    are looked at in each. Plans of 16 rows are looked at ahead. Exits with 1 when the p99 of a tick
    is above 0.5 ms or that of a plan above 15 ms. Run it as the control process runs, with
    SCHED_FIFO (chrt -f 10), where you may.

    Examples:
      chrt -f 10 feelforward bench tick
      feelforward bench tick --ticks 30000 --json out/bench_tick.json
    """

    ticks: int = 3000
    """Ticks to time, and a tenth as many plans."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        from rich.console import Console

        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.control import Verdict
        from scripts.bench.gate.tick import BUDGET_MS, import_ms, measure
        from scripts.bench.percentiles import percentile_table
        from scripts.tasks.report import LoadWatch

        if not 100 <= self.ticks <= 1_000_000:
            raise FeelforwardError(f"--ticks {self.ticks}, allowed 100 to 1000000.")
        check_writable(self.json)
        load = LoadWatch()
        spreads = measure(self.ticks)
        Console().print(percentile_table(f"{self.ticks} ticks (ms)", spreads))
        importing_ms, facts = import_ms(), {**machine(), **load.facts()}
        print(f"import of pinocchio, coal, daqp beside numpy: {importing_ms:.0f} ms")
        budgets = [Verdict(f"{name} p99", spreads[name].p99, BUDGET_MS[name]) for name in BUDGET_MS]
        print("\n".join(verdict.line() for verdict in budgets))
        print(facts)
        if self.json is not None:
            figures = {
                "ms": {name: asdict(ms) for name, ms in spreads.items()},
                "import_ms": importing_ms,
                "budgets": [{**asdict(each), "kept": each.kept} for each in budgets],
                "machine": facts,
            }
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n")
        if not all(verdict.kept for verdict in budgets):
            sys.exit(1)
