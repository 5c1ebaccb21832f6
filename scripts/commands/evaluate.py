"""`feelforward evaluate`: how well a checkpoint does a task, with an interval."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from policy.config import Joining
from robot_io.errors import FeelforwardError
from robot_io.files import check_writable
from scripts.checkpoints import SHIPPED_DEFAULT, find_checkpoint

if TYPE_CHECKING:
    from scripts.tasks.episode import Episode
    from scripts.tasks.report import Report


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Play episodes with a checkpoint; print successes, why the rest failed, and the timing.

    Lockstep runs on a virtual clock as fast as the processors allow and gives the same episodes
    every time. Realtime runs the processes of a real robot beside each other, one episode at a
    time, and reports how late the control ticks and how old the observations were. In a terminal
    it has the keys of `feelforward run`; an episode in which a person helped is not a success.

    Examples:
      feelforward evaluate --episodes 100
      feelforward evaluate --checkpoint runs/first --episodes 20 --json first.json --film first.mp4
      feelforward evaluate --mode realtime --episodes 20
      feelforward evaluate --mode realtime --episodes 20 --policy tcp://gpu:5555 --keys keys
      feelforward evaluate --touch zeroed
      feelforward evaluate --checkpoint runs/push_t --task gym_pusht/PushT-v0
    """

    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    task: str = "TightenCap"
    """TightenCap or gym_pusht/PushT-v0."""
    episodes: int = 100
    """How many episodes."""
    seed: int = 100_000
    """Seed of the first episode; the others follow."""
    mode: Literal["lockstep", "realtime"] = "lockstep"
    """Virtual clock, or real processes in real time."""
    touch: Literal["felt", "zeroed", "swapped"] = "felt"
    """Tactile images as they are, of an untouched gel, or of another episode (lockstep)."""
    policy: str | None = None
    """Address of a `feelforward serve` that plans instead of --checkpoint (realtime)."""
    keys: Path | None = None
    """Folder of this machine's keys (see `feelforward keys`), for --policy."""
    joining: Joining | None = None
    """How a plan takes up what is still planned (docs/joining.md), instead of the robot's way."""
    json: Path | None = None
    """Also write the report here."""
    film: Path | None = None
    """Also write a film (mp4) of the first episodes, at most 5."""
    record: Path | None = None
    """Also record each episode into this new folder (realtime): for `replay`, and for Foxglove."""
    card: bool = False
    """Also add the result to the checkpoint's card.md."""
    workers: int = len(os.sched_getaffinity(0))
    """Processes that play episodes in lockstep."""

    def run(self) -> None:
        if self.episodes < 1:
            raise FeelforwardError(f"--episodes {self.episodes}, allowed: 1 or more.")
        if self.touch != "felt" and self.mode == "realtime":
            raise FeelforwardError(f"--touch {self.touch} works in lockstep only.")
        check_writable(self.json)
        check_writable(self.film)
        from rich.console import Console

        report, episodes = self._play()
        Console().print(report.table())
        if self.json is not None:
            report.save(self.json)
            print(f"Report: {self.json}")
        if self.card:
            from policy.checkpoint import append_to_card

            command = shlex.join(["feelforward", *sys.argv[1:]])
            title = f"Measured: {self.task}, {self.mode}, touch {self.touch}"
            append_to_card(find_checkpoint(self.checkpoint), title, report.markdown(command))
        if self.film is not None:
            from scripts.tasks.cap_film import write_film

            write_film(self.film, episodes)
            print(f"Film:   {self.film}")

    def _play(self) -> "tuple[Report, list[Episode]]":
        seeds = range(self.seed, self.seed + self.episodes)
        if self.policy is None:
            from scripts.evaluation import evaluate

            return evaluate(
                checkpoint=self.checkpoint,
                task=self.task,
                seeds=seeds,
                mode=self.mode,
                touch=self.touch,
                joining=self.joining,
                workers=self.workers,
                film=self.film is not None,
                record=self.record,
            )
        if self.mode != "realtime" or self.card:
            raise FeelforwardError("--policy works with --mode realtime only, without --card.")
        from scripts.live.remote_run import run_with_server

        return run_with_server(
            self.policy,
            keys=self.keys,
            joining=self.joining,
            task=self.task,
            seeds=seeds,
            film=self.film is not None,
            record=self.record,
        )
