"""`feelforward run`: a checkpoint on a robot, in real time."""

from dataclasses import dataclass
from pathlib import Path

from scripts.checkpoints import SHIPPED_DEFAULT


@dataclass(frozen=True, slots=True)
class Run:
    """Run a checkpoint on the robot that a config describes, in real time, until Ctrl-C.

    configs/robots/sim_fr3.toml is the simulated FR3 with its TightenCap world. Configs for real
    arms will stand beside it.

    Example: feelforward run --robot configs/robots/sim_fr3.toml
    """

    robot: Path = Path("configs/robots/sim_fr3.toml")
    """The robot: limits, rates, streams."""
    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    episodes: int = 1
    """How many episodes."""
    seed: int = 100_000
    """Seed of the first episode (simulated robots)."""

    def run(self) -> None:
        from rich.console import Console

        from scripts.evaluation import evaluate

        report, _ = evaluate(
            checkpoint=self.checkpoint,
            task="TightenCap",
            seeds=range(self.seed, self.seed + self.episodes),
            mode="realtime",
            robot=self.robot,
        )
        Console().print(report.table())
