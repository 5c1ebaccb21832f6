"""Demonstrations into a data set that can be gone on with: by the scripted expert or by a policy.

The expert shows from the start, or from where a policy has got to: then it takes over at a random
time, and what it does from there on is saved (HG-DAgger, Kelly et al. 2019). A policy that plays to
the end shows where it gets to, well or not: what its student will meet (`policy.training.teacher`).
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from policy.checkpoint import read_recipe
from policy.data import LeRobotWriter, open_dataset
from robot_io.errors import FeelforwardError
from scripts.checkpoints import find_checkpoint
from scripts.evaluation import CAP, PUSH_T, need_streams, usual_joining
from scripts.graphics import need_rendering
from scripts.policies import load_policy
from scripts.robot import load_robot
from scripts.tasks.demonstrations import Demonstration, save
from scripts.tasks.progress import episode_progress
from scripts.workers import play_seeds

ROBOT_TYPES = {CAP: "sim_fr3", PUSH_T: "gym_pusht"}
ROWS_PER_S = 10.0
MAX_ADDED_MS = 10_000.0  # as of a robot's lockstep_inference_ms
TAKEOVER_S = (1.0, 20.0)  # uniform: early and late phases both

MakePlayer = Callable[[], Callable[[int], Demonstration]]


def collect(
    out: Path,
    *,
    task: str,
    episodes: int,
    first_seed: int,
    workers: int,
    corrective: bool = False,
    takeover: str | None = None,
    checkpoint: str | None = None,
    added_ms: Sequence[float] = (0.0,),
    quiet: bool = False,
) -> tuple[int, int]:
    """Fills the data set up to `episodes`; returns how many were saved and played now."""
    if episodes < 1:
        raise FeelforwardError(f"--episodes {episodes}, allowed: 1 or more.")
    if not added_ms or not all(0 <= ms <= MAX_ADDED_MS for ms in added_ms):
        given = " ".join(f"{ms:g}" for ms in added_ms)
        raise FeelforwardError(
            f"--added-ms {given}, allowed: one or more from 0 to {MAX_ADDED_MS:g} ms."
        )
    make_player = _who_plays(task, corrective, takeover, checkpoint, tuple(added_ms))
    writer = LeRobotWriter(out, fps=ROWS_PER_S, robot_type=ROBOT_TYPES[task])
    there, played = writer.total_episodes, 0
    seeds = itertools.count(_next_seed(out, first_seed) if there else first_seed)
    with episode_progress(quiet=quiet) as progress:
        bar = progress.add_task("demonstrations", total=episodes, completed=there, note="")
        if there >= episodes:
            return 0, 0
        for result, shown in play_seeds(make_player, seeds, workers=workers):
            played += 1
            if shown and (result.success or checkpoint is not None):
                save(writer, result, shown, text=_text(task))
            saved = writer.total_episodes - there
            progress.update(bar, completed=writer.total_episodes, note=f"{saved}/{played} saved")
            if writer.total_episodes >= episodes:
                break
    return writer.total_episodes - there, played


def _who_plays(
    task: str,
    corrective: bool,
    takeover: str | None,
    checkpoint: str | None,
    added_ms: tuple[float, ...],
) -> MakePlayer:
    """What makes a player in each worker process, after the checks that need no worker."""
    asked = {"--corrective": corrective, "--takeover": takeover, "--checkpoint": checkpoint}
    given = [option for option, value in asked.items() if value]
    if len(given) > 1:
        raise FeelforwardError(
            f"{' and '.join(given)} exclude each other: each says who plays, and whose errors "
            "are shown."
        )
    if any(added_ms) and takeover is None and checkpoint is None:
        raise FeelforwardError(
            "--added-ms needs --takeover or --checkpoint: only a policy's plans can come late."
        )
    if task not in ROBOT_TYPES:
        raise FeelforwardError(f"--task {task} is not known, allowed: {', '.join(ROBOT_TYPES)}.")
    if checkpoint is not None:
        return partial(make_performer, task, _checked_checkpoint(checkpoint, task), added_ms)
    if task != CAP:
        raise FeelforwardError(
            f"--task {task} has no expert, allowed: {CAP}; or --checkpoint says whose policy plays."
        )
    if takeover is not None:
        return partial(make_supervisor, _checked_checkpoint(takeover, task), added_ms)
    need_rendering()
    return partial(make_expert, corrective=corrective)


def make_expert(*, corrective: bool) -> Callable[[int], Demonstration]:
    """The player of a worker process."""
    from scripts.tasks.cap import CapStage

    return partial(CapStage(load_robot()).show, corrective=corrective)


def make_supervisor(
    checkpoint: Path, added_ms: tuple[float, ...]
) -> Callable[[int], Demonstration]:
    """The player of a worker process: the checkpoint's policy, as late as may be, then the expert.

    Plans join as the robot has it.
    """
    from scripts.tasks.cap import CapStage

    robot = load_robot()
    stage, policy = CapStage(robot), load_policy(str(checkpoint), robot.buffer.joining)
    history = policy.config.history()

    def play(seed: int) -> Demonstration:
        after_s = np.random.default_rng([seed, 101]).uniform(*TAKEOVER_S)
        return stage.take_over(seed, policy, history, after_s=after_s, added_ms=added_ms)

    return play


def make_performer(
    task: str, checkpoint: Path, added_ms: tuple[float, ...]
) -> Callable[[int], Demonstration]:
    """The player of a worker process: the checkpoint's policy, as `feelforward evaluate` has it."""
    robot = load_robot()
    policy = load_policy(str(checkpoint), usual_joining(task, robot))
    history = policy.config.history()
    if task == PUSH_T:
        from scripts.tasks.push_t import PushTStage

        return partial(PushTStage().record, source=policy, history=history, delay_ms=added_ms)
    from scripts.tasks.cap import CapStage

    return partial(CapStage(robot).record, source=policy, history=history, added_ms=added_ms)


def _text(task: str) -> str:
    """What is done, as demonstrations say it."""
    if task == PUSH_T:
        from policy.data.zarr_import import PUSH_T_TASK

        return PUSH_T_TASK
    from scripts.tasks.cap import TEXT

    return TEXT


def _checked_checkpoint(name: str, task: str) -> Path:
    """Its folder; refuses here, and not in every worker, what the task cannot show."""
    folder = find_checkpoint(name)
    need_streams(read_recipe(folder).policy, task)
    return folder


def _next_seed(out: Path, first_seed: int) -> int:
    """Behind the last one that was saved."""
    seeds = open_dataset(out).extra("seed")
    return max([first_seed, *(int(seed) + 1 for seed in seeds)])
