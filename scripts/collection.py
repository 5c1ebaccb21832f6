"""Demonstrations by the scripted expert, into a data set that can be gone on with.

From the start, or from where a policy has got to: then the expert takes over at a random time, and
what it does from there on is saved (HG-DAgger, Kelly et al. 2019).
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from policy.checkpoint import read_recipe
from policy.data import LeRobotWriter, open_dataset
from robot_io.errors import FeelforwardError
from scripts import cap
from scripts.checkpoints import find_checkpoint
from scripts.policies import check_streams, load_policy
from scripts.progress import episode_progress
from scripts.report import EpisodeResult
from scripts.robot import load_robot
from scripts.workers import play_seeds

Demonstration = tuple[EpisodeResult, Sequence[cap.Shown]]
ROWS_PER_S = 10.0
MAX_ADDED_MS = 10_000.0  # as of a robot's lockstep_inference_ms
TAKEOVER_S = (1.0, 20.0)  # uniform: early and late phases both


def collect(
    out: Path,
    *,
    task: str,
    episodes: int,
    first_seed: int,
    workers: int,
    corrective: bool = False,
    takeover: str | None = None,
    added_ms: Sequence[float] = (0.0,),
) -> tuple[int, int]:
    """Fills the data set up to `episodes`; returns how many were saved and played now."""
    if task != cap.NAME:
        raise FeelforwardError(f"--task {task} has no expert, allowed: {cap.NAME}.")
    if episodes < 1:
        raise FeelforwardError(f"--episodes {episodes}, allowed: 1 or more.")
    if not added_ms or not all(0 <= ms <= MAX_ADDED_MS for ms in added_ms):
        given = " ".join(f"{ms:g}" for ms in added_ms)
        raise FeelforwardError(
            f"--added-ms {given}, allowed: one or more from 0 to {MAX_ADDED_MS:g} ms."
        )
    if takeover is None and any(added_ms):
        raise FeelforwardError("--added-ms needs --takeover: only a policy's plans can come late.")
    if takeover is None:
        make_player = partial(make_expert, corrective=corrective)
    elif corrective:
        raise FeelforwardError(
            "--corrective and --takeover exclude each other: at a take-over the errors are the "
            "policy's own."
        )
    else:
        make_player = partial(make_supervisor, _checked_checkpoint(takeover), tuple(added_ms))
    writer = LeRobotWriter(out, fps=ROWS_PER_S, robot_type="sim_fr3")
    there, played = writer.total_episodes, 0
    seeds = itertools.count(_next_seed(out, first_seed) if there else first_seed)
    with episode_progress() as progress:
        bar = progress.add_task("demonstrations", total=episodes, completed=there, note="")
        if there >= episodes:
            return 0, 0
        for result, shown in play_seeds(make_player, seeds, workers=workers):
            played += 1
            if result.success and shown:
                save(writer, result, shown)
            saved = writer.total_episodes - there
            progress.update(bar, completed=writer.total_episodes, note=f"{saved}/{played} saved")
            if writer.total_episodes >= episodes:
                break
    return writer.total_episodes - there, played


def make_expert(*, corrective: bool) -> Callable[[int], Demonstration]:
    """The player of a worker process."""
    return partial(cap.CapStage(load_robot()).show, corrective=corrective)


def make_supervisor(
    checkpoint: Path, added_ms: tuple[float, ...]
) -> Callable[[int], Demonstration]:
    """The player of a worker process: the checkpoint's policy, as late as may be, then the expert.

    Plans join as the robot has it.
    """
    robot = load_robot()
    stage, policy = cap.CapStage(robot), load_policy(str(checkpoint), robot.buffer.joining)
    history = policy.config.history()

    def play(seed: int) -> Demonstration:
        after_s = np.random.default_rng([seed, 101]).uniform(*TAKEOVER_S)
        return stage.take_over(seed, policy, history, after_s=after_s, added_ms=added_ms)

    return play


def save(writer: LeRobotWriter, result: EpisodeResult, shown: Sequence[cap.Shown]) -> None:
    """One demonstration as one episode: row t is what was observed, and meant, at its stamp.

    All simulated sensors expose together, so one stamp holds for every stream of a row.
    """
    row_ns = np.array([seen.observed_ns for seen, _ in shown], np.int64)
    vectors, images = (
        {name: np.stack([pick(seen, name) for seen, _ in shown]) for name in names}
        for names, pick in (
            (cap.VECTORS, lambda seen, name: seen.vectors[name][-1]),
            (cap.IMAGES, lambda seen, name: seen.images[name][-1]),
        )
    )
    writer.save_episode(
        vectors={**vectors, "action": np.stack([row_8 for _, row_8 in shown])},
        images=images,
        stamps={"row": row_ns, **dict.fromkeys(cap.IMAGES, row_ns)},
        task=cap.TEXT,
        extra={"seed": result.seed, "success": result.success, **result.scores},
    )


def _checked_checkpoint(name: str) -> Path:
    """Its folder; refuses here, and not in every worker, what the task cannot show."""
    folder = find_checkpoint(name)
    config = read_recipe(folder).policy
    check_streams(config, task=cap.NAME, streams=(*cap.VECTORS, *cap.IMAGES))
    return folder


def _next_seed(out: Path, first_seed: int) -> int:
    """Behind the last one that was saved."""
    seeds = open_dataset(out).extra("seed")
    return max([first_seed, *(int(seed) + 1 for seed in seeds)])
