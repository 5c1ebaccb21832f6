"""Playing the task now and then while a policy is trained: what `feelforward train` calls."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from policy.config import PolicyConfig
from robot_io.errors import FeelforwardError
from scripts.evaluation import lockstep_maker, usual_joining
from scripts.policies import load_policy
from scripts.robot import SIM_FR3, load_robot
from scripts.tasks.report import Report
from scripts.workers import play_seeds

FIRST_SEED = 200_000  # not those of `evaluate`: what chooses the best step is no test of it


def make_trial(
    config: PolicyConfig, *, task: str, episodes: int
) -> Callable[[Path], Mapping[str, float]]:
    """What plays `episodes` in lockstep, always the same, with the checkpoint in a folder.

    Raises FeelforwardError now, and not hours later, when the policy cannot play the task.
    """
    if episodes < 1:
        raise FeelforwardError(f"--evaluate-episodes {episodes}, allowed: 1 or more.")
    robot = load_robot(SIM_FR3)
    seeds = range(FIRST_SEED, FIRST_SEED + episodes)
    workers = min(len(os.sched_getaffinity(0)), episodes)

    def maker_for(checkpoint: Path) -> Callable:
        make_policy = partial(load_policy, str(checkpoint), usual_joining(task, robot))
        return lockstep_maker(task, make_policy, config, robot, "felt", ())

    def play(checkpoint: Path) -> Mapping[str, float]:
        results = [e.result for e in play_seeds(maker_for(checkpoint), seeds, workers=workers)]
        facts = Report(str(checkpoint), task, "lockstep", results).as_dict()
        return {"success": facts["success_rate"], **facts["scores"]}

    maker_for(Path())  # its checks
    return play
