"""`feelforward bench delay`: what late plans cost, for each way of joining them."""

import os
from dataclasses import dataclass
from pathlib import Path

from policy.config import Joining
from robot_io.errors import FeelforwardError
from scripts.checkpoints import SHIPPED_DEFAULT, find_checkpoint


@dataclass(frozen=True, slots=True)
class BenchDelay:
    """Success against added inference delay, in lockstep, for each way of joining chunks.

    Writes OUT/episodes.jsonl (the same command goes on where it was cut), OUT/table.json and
    OUT/delay.png, and prints the table: successes with 95 % intervals, and how much velocity and
    acceleration jump where plans join (root mean square; measured from 1 added row on).

    Examples:
      feelforward bench delay --episodes 20 --rows 0 4 --joinings overwrite guided
      feelforward bench delay --episodes 100
      feelforward bench delay --checkpoint runs/push_t --task gym_pusht/PushT-v0 --out out/push_t
    """

    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    task: str = "TightenCap"
    """TightenCap or gym_pusht/PushT-v0."""
    rows: tuple[int, ...] = (0, 1, 2, 4, 6, 8)
    """Delays to add, in rows of 100 ms."""
    joinings: tuple[Joining, ...] = ("overwrite", "ensemble", "guided", "trained", "bidirectional")
    """Ways of joining; "trained" is left out for a checkpoint that was not trained for it."""
    drawn_ms: tuple[float, ...] = ()
    """Also add a delay drawn from these for each plan, such as the deciles of `bench control`."""
    episodes: int = 100
    """Episodes of each way and delay."""
    seed: int = 100_000
    """Seed of the first episode; all ways and delays play the same."""
    out: Path = Path("out/bench_delay")
    """Folder of the results."""
    workers: int = len(os.sched_getaffinity(0))
    """Processes that play episodes."""

    def run(self) -> None:
        self._check()
        from rich.console import Console

        from policy.checkpoint import read_recipe
        from scripts import delay_bench
        from scripts.graphics import need_rendering
        from scripts.plots import plot_delay
        from scripts.progress import episode_progress

        folder = find_checkpoint(self.checkpoint)
        if self.task == delay_bench.CAP:
            need_rendering()
        conditions = delay_bench.conditions(
            self.joinings,
            rows=self.rows,
            drawn_ms=self.drawn_ms,
            given_rows=read_recipe(folder).policy.given_rows,
        )
        playing = delay_bench.play(
            conditions,
            range(self.seed, self.seed + self.episodes),
            checkpoint=folder,
            task=self.task,
            log=self.out / "episodes.jsonl",
            workers=self.workers,
        )
        played = []
        with episode_progress() as progress:
            total = len(conditions) * self.episodes
            bar = progress.add_task("episodes", total=total, note="")
            for each in playing:
                played.append(each)
                note = f"{each.condition.joining}, {each.condition.delay} rows"
                progress.update(bar, advance=1, note=note)
        cells = delay_bench.cells(played)
        Console().print(delay_bench.table(cells, task=self.task, checkpoint=self.checkpoint))
        delay_bench.save(self.out / "table.json", cells)
        plot_delay(self.out / "delay.png", cells)
        print(f"Plot:  {self.out / 'delay.png'}\nTable: {self.out / 'table.json'}")

    def _check(self) -> None:
        if self.task not in ("TightenCap", "gym_pusht/PushT-v0"):
            raise FeelforwardError(
                f"--task {self.task} is not known, allowed: TightenCap, gym_pusht/PushT-v0."
            )
        if self.episodes < 1:
            raise FeelforwardError(f"--episodes {self.episodes}, allowed: 1 or more.")
        if not self.rows or min(self.rows) < 0:
            raise FeelforwardError(f"--rows {self.rows}, allowed: one or more of 0 and above.")
        if any(not ms >= 0 for ms in self.drawn_ms):
            raise FeelforwardError(f"--drawn-ms {self.drawn_ms}, allowed: 0 ms and above.")
