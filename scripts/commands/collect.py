"""`feelforward collect`: the scripted expert, or a policy, shows how it is done."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Collect:
    """Record demonstrations of a task, by its scripted expert or a policy, faster than real time.

    Where the expert fails, the episode is counted, not saved. The same command goes on where it was
    interrupted: what is saved stays, and the next seed follows. The data set does not depend on
    --workers.

    With --takeover a checkpoint's policy plays first. At a random time the expert takes over from
    whatever state the policy got into, and only what it does from there on is saved: train on it
    beside the usual demonstrations, and the policy learns to mend its own mistakes. With --added-ms
    its plans come late, and it gets into the states that late plans lead to.

    With --checkpoint its policy plays to the end, and every episode is saved, well or not: what a
    student of it (`feelforward train --teacher`) will meet, and is to be told about.

    Examples:
      feelforward collect --episodes 20 --out datasets/tighten_cap
      feelforward collect --episodes 300 --out datasets/tighten_cap
      feelforward collect --episodes 150 --seed 5000 --corrective --out datasets/tighten_cap_fixes
      feelforward collect --episodes 200 --seed 10000 --takeover runs/first --out datasets/rescued
      feelforward collect --episodes 300 --seed 20000 --takeover runs/first --added-ms 0 200 400 \\
          --out datasets/rescued_late
      feelforward collect --task gym_pusht/PushT-v0 --checkpoint runs/push_t --episodes 400 \\
          --seed 500000 --out datasets/push_t_plays
    """

    out: Path
    """The data set (LeRobot v3.0 layout), new or one to go on with."""
    task: str = "TightenCap"
    """TightenCap or, with --checkpoint, gym_pusht/PushT-v0."""
    episodes: int = 100
    """Episodes that the data set shall hold in the end."""
    seed: int = 0
    """Seed of the first episode; evaluation uses seeds from 100000."""
    corrective: bool = False
    """The expert errs further and lower, misses at times, and shows how to come back."""
    takeover: str | None = None
    """Checkpoint or run whose policy begins each episode (HG-DAgger)."""
    checkpoint: str | None = None
    """Checkpoint or run whose policy plays to the end, for its student."""
    added_ms: tuple[float, ...] = (0.0,)
    """With --takeover or --checkpoint: each plan takes longer by one of these, drawn."""
    workers: int = len(os.sched_getaffinity(0))
    """Processes that play episodes."""

    def run(self) -> None:
        from rich.console import Console

        from scripts.collection import collect

        saved, played = collect(
            self.out,
            task=self.task,
            episodes=self.episodes,
            first_seed=self.seed,
            workers=self.workers,
            corrective=self.corrective,
            takeover=self.takeover,
            checkpoint=self.checkpoint,
            added_ms=self.added_ms,
        )
        console = Console(highlight=False)
        if played:
            console.print(f"{saved} of {played} episodes saved ({100 * saved / played:.1f} %).")
        console.print(f"Data set: {self.out}  (feelforward dataset info {self.out})")
        if self.checkpoint is None:
            console.print(f"Next:     feelforward train --data {self.out} --out runs/first")
        else:
            console.print(
                f"Next:     feelforward train --teacher {self.checkpoint} --data ... {self.out} "
                "--config ... --out ...  (docs/generative.md)",
                soft_wrap=True,
            )
