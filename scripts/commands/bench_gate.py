"""`feelforward bench gate`: does anything pass the command gate that should not?"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from scripts.bench.gate.gate import Tally

MAX_COMMANDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BenchGate:
    """Send hostile commands and states through the gate; an independent checker judges the outcome.

    Honest motions are mixed with NaN, infinities, wrong shapes and types, jumps, old and future
    stamps, stops, frozen and false measurements, a blocked and a pushed arm. What the gate gives
    drives a simulated arm: a mass on a spring, and in every tenth stretch the FR3 in MuJoCo. The
    checker shares no code with the gate. Exits with 1 when a limit was broken.

    The same seed gives the same commands on any number of workers. A run that was cut goes on when
    the same command is given again (finished blocks lie in --log-folder).

    Examples:
      feelforward bench gate --commands 100000
      feelforward bench gate --commands 10000000 --json out/bench_gate.json
    """

    commands: int = 100_000
    """Commands to send; rounded up to stretches of 500."""
    seed: int = 0
    """Seed of the streams."""
    robot: Path | None = None
    """File with the limits; without it that of the simulated FR3."""
    log_folder: Path = Path("out/bench_gate")
    """Folder for finished blocks of runs that are not whole yet."""
    workers: int = len(os.sched_getaffinity(0))
    """Processes that play."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        if not 1 <= self.commands <= MAX_COMMANDS:
            raise FeelforwardError(f"--commands {self.commands}, allowed 1 to {MAX_COMMANDS}.")
        from rich.console import Console

        from robot_io.clock import NS_PER_S, MonotonicClock
        from robot_io.files import check_writable, replacing
        from scripts.bench.gate.gate import Tally, play
        from scripts.robot import SIM_FR3
        from scripts.tasks.progress import episode_progress

        check_writable(self.json)
        check_writable(self.log_folder / "probe")
        robot = self.robot if self.robot is not None else SIM_FR3
        total, clock = Tally(), MonotonicClock()
        begun_ns = clock.now_ns()
        blocks = play(
            self.commands,
            seed=self.seed,
            robot=robot,
            log_folder=self.log_folder,
            workers=self.workers,
        )
        with episode_progress() as progress:
            bar = progress.add_task("commands", total=self.commands, note="")
            for tally in blocks:
                total.add(tally)
                note = f"{total.violations} violations"
                progress.update(bar, advance=tally.commands, note=note)
        took_s = (clock.now_ns() - begun_ns) / NS_PER_S
        Console().print(_table(total))
        print(_verdict(total, took_s))
        if self.json is not None:
            figures = _figures(total, self.seed, took_s)
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        if total.violations:
            sys.exit(1)


def _verdict(total: "Tally", took_s: float) -> str:
    wall, cpu = (
        ", ".join(f"{name} {value:.3f}" for name, value in spread.items())
        for spread in (total.tick_ms(), total.tick_cpu_ms())
    )
    details = "".join(f"\n  {detail}" for detail in total.details)
    return (
        f"{total.commands} commands ({total.fr3_commands} to the FR3 in MuJoCo, the others to a "
        f"mass on a spring), {took_s:.0f} s, {total.commands / took_s:.0f} per s\n"
        f"one tick of the gate (ms): {wall}\n"
        f"  of it on the core:       {cpu}\n"
        f"violations: {total.violations}{details}"
    )


def _table(total: "Tally") -> "RenderableType":
    from rich.table import Table

    table = Table(title="Limits, as judged from what came out", title_justify="left")
    for column in ("limit", "judged", "broken", "most that was used"):
        table.add_column(column, justify="left" if column == "limit" else "right")
    for limit in sorted({*total.judged, *total.by_limit}):
        share = total.largest.get(limit)
        used = "" if share is None else f"{100 * share:.4g} %"
        table.add_row(limit, str(total.judged[limit]), str(total.by_limit[limit]), used)
    return table


def _figures(total: "Tally", seed: int, took_s: float) -> dict[str, object]:
    from robot_io.machine import machine

    return {
        "commands": total.commands,
        "violations": total.violations,
        "violations_by_limit": dict(total.by_limit),
        "first_violations": total.details,
        "tick_ms": total.tick_ms(),
        "tick_cpu_ms": total.tick_cpu_ms(),
        "verdicts": dict(total.verdicts),
        "reasons": dict(total.reasons.most_common()),
        "judged": dict(total.judged),
        "largest_share_of_limit": total.largest,
        "refused_to_arm_or_release": total.refused,
        "fr3_commands": total.fr3_commands,
        "seed": seed,
        "digest": total.digest,
        "took_s": took_s,
        "machine": machine(),
    }
