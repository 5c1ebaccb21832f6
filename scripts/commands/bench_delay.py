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
    acceleration jump where plans join (root mean square; measured from 1 added row on); and what
    late plans cost.

    Examples:
      feelforward bench delay --episodes 20 --rows 0 4 --joinings overwrite guided
      feelforward bench delay --episodes 100
      feelforward bench delay --checkpoint runs/push_t --task gym_pusht/PushT-v0 --out out/push_t
    """

    checkpoint: tuple[str, ...] = (SHIPPED_DEFAULT,)
    """Checkpoint or run folders, or names of shipped checkpoints; several are trainings of the same
    recipe, which play the same starts and count together."""
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
        from scripts.bench import delay
        from scripts.bench.plots import plot_delay
        from scripts.graphics import need_rendering
        from scripts.tasks.progress import episode_progress

        folders = [find_checkpoint(each) for each in self.checkpoint]
        if self.task == delay.CAP:
            need_rendering()
        conditions = delay.conditions(
            self.joinings,
            rows=self.rows,
            drawn_ms=self.drawn_ms,
            given_rows=min(read_recipe(each).policy.given_rows for each in folders),
        )
        trials = [delay.Trial(str(each), c) for c in conditions for each in folders]
        playing = delay.play(
            trials,
            range(self.seed, self.seed + self.episodes),
            task=self.task,
            log=self.out / "episodes.jsonl",
            workers=self.workers,
        )
        played = []
        with episode_progress() as progress:
            total = len(trials) * self.episodes
            bar = progress.add_task("episodes", total=total, note="")
            for each in playing:
                played.append(each)
                condition = each.condition.condition
                note = f"{condition.joining}, {condition.delay} rows"
                progress.update(bar, advance=1, note=note)
        cells = delay.cells(played)
        Console().print(delay.table(cells, task=self.task))
        for told in delay.what_late_plans_cost(cells):
            print(told)
        delay.save(self.out / "table.json", cells)
        plot_delay(self.out / "delay.png", cells)
        print(f"Plot:  {self.out / 'delay.png'}\nTable: {self.out / 'table.json'}")

    def _check(self) -> None:
        if self.task not in ("TightenCap", "gym_pusht/PushT-v0"):
            raise FeelforwardError(
                f"--task {self.task} is not known, allowed: TightenCap, gym_pusht/PushT-v0."
            )
        fewest = 1 if len(self.checkpoint) == 1 else 2
        if self.episodes < fewest:
            raise FeelforwardError(f"--episodes {self.episodes}, allowed: {fewest} or more.")
        if not self.checkpoint or len(set(self.checkpoint)) < len(self.checkpoint):
            raise FeelforwardError(f"--checkpoint {self.checkpoint}: give one or more, each once.")
        if not self.rows or min(self.rows) < 0:
            raise FeelforwardError(f"--rows {self.rows}, allowed: one or more of 0 and above.")
        if any(not ms >= 0 for ms in self.drawn_ms):
            raise FeelforwardError(f"--drawn-ms {self.drawn_ms}, allowed: 0 ms and above.")
