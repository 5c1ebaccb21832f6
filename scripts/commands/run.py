"""`feelforward run`: a checkpoint on a robot, in real time."""

from dataclasses import dataclass
from pathlib import Path

from policy.config import Joining
from scripts.checkpoints import SHIPPED_DEFAULT


@dataclass(frozen=True, slots=True)
class Run:
    """Run a checkpoint on the robot that a config describes, in real time, until Ctrl-C.

    In a terminal, space is a software stop and ends the run; t takes the arm over, h hands it back
    (docs/takeover.md).

    configs/robots/sim_fr3.toml is the simulated FR3 with its TightenCap world. Configs for real
    arms will stand beside it.

    Examples:
      feelforward run --robot configs/robots/sim_fr3.toml
      feelforward run --record out/monday
      feelforward run --policy tcp://gpu:5555 --keys keys
    """

    robot: Path = Path("configs/robots/sim_fr3.toml")
    """The robot: limits, rates, streams."""
    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    policy: str | None = None
    """Address of a `feelforward serve` that plans instead of --checkpoint: tcp://HOST:PORT."""
    keys: Path | None = None
    """Folder of this machine's keys (see `feelforward keys`), for --policy."""
    joining: Joining | None = None
    """How a plan takes up what is still planned (docs/joining.md), instead of the robot's way."""
    episodes: int = 1
    """How many episodes."""
    seed: int = 100_000
    """Seed of the first episode (simulated robots)."""
    record: Path | None = None
    """Record each episode into this new folder: for `feelforward replay`, and for Foxglove."""

    def run(self) -> None:
        from rich.console import Console

        seeds = range(self.seed, self.seed + self.episodes)
        if self.policy is not None:
            from scripts.remote_run import run_with_server

            report, _ = run_with_server(
                self.policy,
                keys=self.keys,
                joining=self.joining,
                task="TightenCap",
                seeds=seeds,
                robot=self.robot,
                record=self.record,
            )
        else:
            from scripts.evaluation import evaluate

            report, _ = evaluate(
                checkpoint=self.checkpoint,
                task="TightenCap",
                seeds=seeds,
                mode="realtime",
                joining=self.joining,
                robot=self.robot,
                record=self.record,
            )
        Console().print(report.table())
