"""`feelforward bench control`: does the command stream keep its time beside all that runs?"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robot_io.errors import FeelforwardError
from scripts.checkpoints import SHIPPED_DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

    from scripts.bench.control import Phase, Spread

MIN_S, MAX_S = 4.0, 86_400.0


@dataclass(frozen=True, slots=True)
class BenchControl:
    """Measure a real-time session: how late its ticks, how old a frame at its first command.

    The shipped policy, two cameras, two tactile sensors and the simulated arm run as in the demo,
    half of the time with SCHED_FIFO and half without. On the same cores other processes pace a
    loop of the same rate: one with time.sleep, one as LeRobot paces its control loop. They do
    nothing else. Beside our SCHED_FIFO each runs twice, as it is and with the same priority.

    Prints lateness, ages with their parts (from a frame's stamp on: a simulated shutter is open for
    no time), and budgets: lateness p99 up to 1 ms and p99.9 up to 3 ms, age p99 up to 150 ms, ahead
    of both loops at p99 and p99.9. Exits with 1 when one is missed.

    Examples:
      feelforward bench control
      feelforward bench control --seconds 600 --json out/control.json --plot out/control.png
      feelforward bench control --lerobot-python ~/lerobot/.venv/bin/python
    """

    seconds: float = 60.0
    """Time to measure in all; starting the processes comes on top."""
    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    seed: int = 100_000
    """Seed of the first episode; the others follow."""
    lerobot_python: Path | None = None
    """The Python of an environment with LeRobot: then its own function paces that loop."""
    json: Path | None = None
    """File for one JSON object with the figures."""
    plot: Path | None = None
    """File for a picture (png): which share of the ticks was later than x."""

    def run(self) -> None:
        from rich.console import Console

        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.control import verdicts
        from scripts.bench.control_phases import WITH_FIFO, measure
        from scripts.bench.plots import plot_lateness
        from scripts.graphics import need_rendering
        from scripts.tasks.report import LoadWatch

        if not MIN_S <= self.seconds <= MAX_S:
            raise FeelforwardError(f"--seconds {self.seconds:g}, allowed {MIN_S:g} to {MAX_S:g}.")
        check_writable(self.json)
        check_writable(self.plot)
        need_rendering()
        load = LoadWatch()
        phases, paced_by = measure(
            checkpoint=self.checkpoint,
            seed=self.seed,
            seconds=self.seconds,
            lerobot_python=self.lerobot_python,
        )
        facts = {**machine(), **load.facts()}
        budgets = verdicts(phases[WITH_FIFO])
        for name, phase in phases.items():
            print(phase.real_time)
            Console().print(_lateness_table(name, phase), _age_table(name, phase))
            print("deciles of the whole:", *(f"{ms:g}" for ms in phase.ages.deciles_ms))
        print(f"lerobot is paced by {paced_by}.")
        print("\n".join(verdict.line() for verdict in budgets))
        print(facts)
        if self.json is not None:
            figures = {
                "seconds": self.seconds,
                "phases": {name: phase.as_dict() for name, phase in phases.items()},
                "lerobot_paced_by": paced_by,
                "budgets": [{**asdict(each), "kept": each.kept} for each in budgets],
                "machine": facts,
            }
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n")
        if self.plot is not None:
            plot_lateness(self.plot, {name: phase.lateness for name, phase in phases.items()})
        if not all(verdict.kept for verdict in budgets):
            sys.exit(1)


def _lateness_table(name: str, phase: "Phase") -> "Table":
    table = _table(f"Tick lateness (ms), {name}", "loop", "ticks lost")
    for loop, lateness in phase.lateness.items():
        table.add_row(loop, *_cells(lateness.spread), str(lateness.lost))
    return table


def _age_table(name: str, phase: "Phase") -> "Table":
    ages = phase.ages
    title = f"Exposure to the first command that used the frame (ms), {name}"
    table = _table(title, "from exposure", "never used")
    for part, spread in ages.parts.items():
        table.add_row(f"  {part}", *_cells(spread), "")
    table.add_row("whole", *_cells(ages.whole), str(ages.never_followed))
    return table


def _table(title: str, first: str, last: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in ("n", "p50", "p99", "p99.9", "max", last):
        table.add_column(column, justify="right")
    return table


def _cells(spread: "Spread") -> tuple[str, ...]:
    ms = (spread.p50, spread.p99, spread.p999, spread.max)
    return (str(spread.n), *(f"{value:.3f}" for value in ms))
