"""`feelforward run`: a checkpoint on a robot, in real time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from policy.config import Joining
from robot_io.errors import FeelforwardError
from scripts.checkpoints import SHIPPED_DEFAULT

if TYPE_CHECKING:
    from scripts.robot import RobotConfig

MAX_S = 36_000.0


@dataclass(frozen=True, slots=True)
class Run:
    """Run a checkpoint on the robot that a config describes, in real time, until Ctrl-C.

    In a terminal, space is a software stop and ends the run; t takes the arm over, h hands it back
    (docs/takeover.md).

    configs/robots/sim_fr3.toml is the simulated FR3 with its TightenCap world. With a real arm read
    docs/hardware first: each episode lasts for --seconds, ends in a stop of the arm, and begins, in
    a terminal, when a person who has looked presses Enter. With --policy none nobody plans: the arm
    stays where it is until you take it over.

    Examples:
      feelforward run --robot configs/robots/sim_fr3.toml
      feelforward run --robot configs/robots/fr3.toml --policy none --record out/first
      feelforward run --record out/monday
      feelforward run --policy tcp://gpu:5555 --keys keys
    """

    robot: Path = Path("configs/robots/sim_fr3.toml")
    """The robot: limits, rates, streams."""
    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    policy: str | None = None
    """Who plans instead of --checkpoint: a `feelforward serve` (tcp://HOST:PORT), or "none"."""
    keys: Path | None = None
    """Folder of this machine's keys (see `feelforward keys`), for --policy."""
    joining: Joining | None = None
    """How a plan takes up what is still planned (docs/joining.md), instead of the robot's way."""
    episodes: int = 1
    """How many episodes."""
    seed: int = 100_000
    """Seed of the first episode: of the simulated world, and of the policy."""
    seconds: float = 60.0
    """How long an episode lasts where no world ends it (real arms, --policy none)."""
    record: Path | None = None
    """Record each episode into this new folder: for `feelforward replay`, and for Foxglove."""

    def run(self) -> None:
        from rich.console import Console

        from scripts.robot import load_robot

        seeds = range(self.seed, self.seed + self.episodes)
        robot = load_robot(self.robot)
        if self.policy == "none" or not robot.is_simulated:
            self._run_on_arm(robot, seeds)
            return
        if self.policy is not None:
            from scripts.live.remote_run import run_with_server

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

    def _run_on_arm(self, robot: "RobotConfig", seeds: range) -> None:
        from scripts.live.arm_run import run_on_arm, spec_for

        if not 0 < self.seconds <= MAX_S:
            raise FeelforwardError(f"--seconds {self.seconds:g}, allowed: up to {MAX_S:g}.")
        spec = spec_for(
            robot,
            policy=self.policy,
            checkpoint=self.checkpoint,
            keys=self.keys,
            joining=self.joining,
        )
        run_on_arm(spec, seeds=seeds, seconds=self.seconds, record=self.record)
