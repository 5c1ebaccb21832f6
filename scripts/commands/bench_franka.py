"""`feelforward bench franka`: does the Franka driver hold for minutes over libfranka?"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from rich.table import Table

    from scripts.bench.franka import Figures

MIN_S, MAX_S = 5.0, 36_000.0


@dataclass(frozen=True, slots=True)
class BenchFranka:
    """Drive a simulated Franka over libfranka's protocol, with the driver that a real one gets.

    Scripted plans at 10 Hz go through buffer, loop and gate at 100 Hz to the 1 kHz impedance
    controller of the driver; the arm is a process of its own on loopback that keeps the limits of
    a real one. Exits with 1 when the connection was lost, the arm stopped, or a state was stale
    and nobody could see it from its stamp.

    Examples:
      feelforward bench franka --seconds 60
      feelforward bench franka --seconds 300 --json out/bench_franka.json
    """

    seconds: float = 300.0
    """How long."""
    robot: Path = Path("configs/robots/fr3.toml")
    """The robot: gate and [franka]. Its address is not used."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        from rich.console import Console

        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.franka import measure
        from scripts.robot import load_robot
        from scripts.tasks.report import LoadWatch

        if not MIN_S <= self.seconds <= MAX_S:
            raise FeelforwardError(f"--seconds {self.seconds:g}, allowed {MIN_S:g} to {MAX_S:g}.")
        check_writable(self.json)
        load = LoadWatch()
        figures, real_time = measure(load_robot(self.robot), self.seconds)
        facts = {**machine(), "franky": _versions(), **load.facts()}
        print(real_time)
        Console().print(_table(figures))
        print(
            f"no lost connection, no stale state unnoticed: {'kept' if figures.kept else 'MISSED'}"
        )
        print(facts)
        if self.json is not None:
            whole = {**figures.as_dict(), "kept": figures.kept, "machine": facts}
            with replacing(self.json) as path:
                path.write_text(json.dumps(whole, indent=2) + "\n")
        if not figures.kept:
            sys.exit(1)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("franky-control", "franky-sim")}


def _table(figures: "Figures") -> "Table":
    from rich.table import Table

    table = Table(title=f"Franka, {figures.seconds:g} s", title_justify="left", show_header=False)
    lost = str(figures.lost_connections)
    table.add_row("lost connections", f"{lost}: {figures.lost_because}" if int(lost) else lost)
    table.add_row("stale states noticed", str(figures.stale_noticed))
    table.add_row("stale states unnoticed", str(figures.stale_unnoticed))
    table.add_row("ticks on plan", f"{100 * figures.on_plan:.1f} %")
    for name, spread, unit in (
        ("tracking error", figures.tracking_mm, "mm"),
        ("age of the state", figures.state_age_ms, "ms"),
        ("lateness of the loop", figures.late_ms, "ms"),
    ):
        numbers = f"p50 {spread.p50:.2f}, p99 {spread.p99:.2f}, max {spread.max:.2f} {unit}"
        table.add_row(name, numbers)
    table.add_row("states", f"{figures.states_per_s:.1f} Hz")
    table.add_row("commands", f"{figures.commands_per_s:.1f} Hz")
    table.add_row("ticks missed", str(figures.missed_ticks))
    table.add_row("arm's clock on ours", f"{figures.arm_ms_per_s:.1f} ms per s")
    return table
