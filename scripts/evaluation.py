"""Playing a checkpoint on a task, many times, and saying how it went."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from policy.checkpoint import read_recipe
from policy.config import Joining, PolicyConfig
from policy.planning.inference import DiffusionPolicy
from robot_io.errors import FeelforwardError
from robot_io.session.timing import timing_of
from scripts.checkpoints import find_checkpoint
from scripts.graphics import need_rendering
from scripts.policies import (
    Touch,
    TouchListener,
    check_streams,
    load_policy,
    swapped_touch,
    tactile_streams,
    zeroed_touch,
)
from scripts.robot import SIM_FR3, RobotConfig, load_robot
from scripts.tasks.episode import Episode, Player
from scripts.tasks.progress import watch
from scripts.tasks.report import Report
from scripts.workers import play_seeds

CAP, PUSH_T = "TightenCap", "gym_pusht/PushT-v0"
MAX_FILMED = 5
MakePolicy = Callable[[], DiffusionPolicy]


def evaluate(
    *,
    checkpoint: str,
    task: str,
    seeds: Sequence[int],
    mode: str = "lockstep",
    touch: Touch = "felt",
    joining: Joining | None = None,
    workers: int = 1,
    robot: Path = SIM_FR3,
    film: bool = False,
    record: Path | None = None,
) -> tuple[Report, list[Episode]]:
    """Plays each seed; with `film` the first episodes keep what a film needs.

    How plans join is the robot's to say, and Push-T's benchmark overwrites, unless `joining` does.
    `record` is a new folder for what a session in real time records.
    """
    if record is not None and mode != "realtime":
        raise FeelforwardError(f"--record {record} works with --mode realtime only.")
    folder = find_checkpoint(checkpoint)
    config = read_recipe(folder).policy
    filmed = tuple(seeds[:MAX_FILMED]) if film else ()
    arm = load_robot(robot)
    if joining is None:
        joining = usual_joining(task, arm)
    if mode == "realtime":
        playing = _in_real_time(task, folder, config, arm, seeds, joining, record)
    else:
        make_policy = partial(load_policy, str(folder), joining)
        maker = lockstep_maker(task, make_policy, config, arm, touch, filmed)
        playing = play_seeds(maker, seeds, workers=min(workers, len(seeds)))
    episodes = watch(playing, total=len(seeds), filmed=filmed)
    outcomes = [episode.outcome for episode in episodes if episode.outcome is not None]
    report = Report(
        checkpoint=checkpoint,
        task=task,
        mode=mode,
        touch=touch,
        joining=joining,
        results=[episode.result for episode in episodes],
        timing=timing_of(outcomes) if outcomes else None,
    )
    return report, episodes


def _in_real_time(
    task: str,
    folder: Path,
    config: PolicyConfig,
    robot: RobotConfig,
    seeds: Sequence[int],
    joining: Joining,
    record: Path | None,
) -> Iterator[Episode]:
    if task != CAP:
        raise FeelforwardError(f"--mode realtime has no {task}, allowed: {CAP}.")
    need_streams(config, task)
    from scripts.live.stage import LiveStage, session_spec

    spec = session_spec(robot, checkpoint=folder, joining=joining, history=config.history())
    with LiveStage(replace(spec, record=record)) as stage:
        print(stage.real_time)
        yield from stage.play_each(seeds)


def usual_joining(task: str, robot: RobotConfig) -> Joining:
    return robot.buffer.joining if task == CAP else "overwrite"


def lockstep_maker(
    task: str,
    make_policy: MakePolicy,
    config: PolicyConfig,
    robot: RobotConfig,
    touch: Touch,
    filmed: Sequence[int],
) -> Callable[[], Player]:
    """What makes a player in each worker process, after the checks that need no worker."""
    if touch != "felt" and not tactile_streams(config):
        raise FeelforwardError(f"--touch {touch}: this checkpoint does not feel at all.")
    if task == PUSH_T and filmed:
        raise FeelforwardError(f"--film shows {CAP} only.")
    need_streams(config, task)
    if task == PUSH_T:
        return partial(make_push_t_player, make_policy)
    return partial(make_cap_player, robot, make_policy, touch, tuple(filmed))


def need_streams(config: PolicyConfig, task: str) -> None:
    """Raises FeelforwardError where the task is not known, or cannot be shown to this policy."""
    if task == PUSH_T:
        from scripts.tasks import push_t

        check_streams(config, task=task, streams=(*push_t.VECTORS, *push_t.IMAGES))
    elif task == CAP:
        need_rendering()
        from scripts.tasks import cap

        check_streams(config, task=task, streams=(*cap.VECTORS, *cap.IMAGES))
    else:
        raise FeelforwardError(f"--task {task} is not known, allowed: {CAP}, {PUSH_T}.")


def make_cap_player(
    robot: RobotConfig, make_policy: MakePolicy, touch: Touch, filmed: tuple[int, ...]
) -> Player:
    from scripts.tasks.cap import CapStage

    stage, policy = CapStage(robot), make_policy()
    history = policy.config.history()

    def play(seed: int) -> Episode:
        source = policy
        if touch == "zeroed":
            source = zeroed_touch(policy)
        elif touch == "swapped":
            listener = TouchListener(policy, tactile_streams(policy.config))
            stage.play(seed + 1, listener, history)
            source = swapped_touch(policy, listener.heard)
        return stage.play(seed, source, history, film=seed in filmed)

    return play


def make_push_t_player(make_policy: MakePolicy) -> Player:
    from scripts.tasks.push_t import PushTStage

    stage, policy = PushTStage(), make_policy()
    return lambda seed: stage.play(seed, policy, policy.config.history())
