"""`feelforward bench ungated`: what the gate costs the policy."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from robot_io.errors import FeelforwardError
from scripts.checkpoints import SHIPPED_DEFAULT, find_checkpoint


@dataclass(frozen=True, slots=True)
class BenchUngated:
    """Success of TightenCap with the gate and without it, on the same seeds, in lockstep.

    Only this bench's simulation knows how to go without; no robot's config can. Writes
    OUT/episodes.jsonl (the same command goes on where it was cut) and OUT/table.json, prints both
    success rates and their paired difference with 95 % intervals, and the share of commands that
    the gate modified, and why. Exits with 1 when the gate costs more than 2 points.

    Examples:
      feelforward bench ungated --episodes 20
      feelforward bench ungated --episodes 200 --out out/ungated
    """

    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    robot: Path = Path("configs/robots/sim_fr3.toml")
    """The simulated robot: its gate's limits."""
    episodes: int = 100
    """Episodes with the gate, and as many without."""
    seed: int = 100_000
    """Seed of the first episode."""
    out: Path = Path("out/bench_ungated")
    """Folder of the results."""
    workers: int = len(os.sched_getaffinity(0))
    """Processes that play episodes."""

    def run(self) -> None:
        if self.episodes < 1:
            raise FeelforwardError(f"--episodes {self.episodes}, allowed: 1 or more.")
        from rich.console import Console

        from scripts.bench import ungated
        from scripts.graphics import need_rendering
        from scripts.tasks.progress import episode_progress

        folder = find_checkpoint(self.checkpoint)
        need_rendering()
        playing = ungated.play(
            range(self.seed, self.seed + self.episodes),
            checkpoint=folder,
            robot=self.robot,
            log=self.out / "episodes.jsonl",
            workers=self.workers,
        )
        played = []
        with episode_progress() as progress:
            bar = progress.add_task("episodes", total=2 * self.episodes, note="")
            for each in playing:
                played.append(each)
                note = "gate on" if each.condition.gated else "gate off"
                progress.update(bar, advance=1, note=note)
        comparison = ungated.compare(played)
        Console().print(ungated.table(comparison, title=f"TightenCap, {self.checkpoint}"))
        ungated.save(self.out / "table.json", comparison)
        allowed = f"the gate costs at most {100 * ungated.MAX_COST:.0f} points"
        print(f"{allowed}: {'kept' if comparison.kept else 'MISSED'}")
        if not comparison.kept:
            sys.exit(1)
