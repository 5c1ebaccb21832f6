"""A policy on another machine, and `TightenCap` in real time with it. No torch is needed here."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from policy.config import Joining
from robot_io.clock import NS_PER_MS
from robot_io.errors import FeelforwardError
from robot_io.remote.policy import RemotePolicy
from robot_io.remote.protocol import Welcome
from robot_io.session.processes import Factory
from robot_io.session.timing import timing_of
from scripts.graphics import need_rendering
from scripts.robot import SIM_FR3, RobotConfig, load_robot
from scripts.tasks.episode import Episode
from scripts.tasks.progress import watch
from scripts.tasks.report import Report

MAX_FILMED = 5


def run_with_server(
    endpoint: str,
    *,
    keys: Path | None,
    joining: Joining | None,
    task: str,
    seeds: Sequence[int],
    robot: Path = SIM_FR3,
    film: bool = False,
    record: Path | None = None,
) -> tuple[Report, list[Episode]]:
    """Plays each seed with the policy that is served at `endpoint`."""
    need_rendering()
    filmed = tuple(seeds[:MAX_FILMED]) if film else ()
    policy, offer = remote_policy(endpoint, keys=keys, joining=joining)
    playing = _play(policy, offer, load_robot(robot), task=task, seeds=seeds, record=record)
    episodes = watch(playing, total=len(seeds), filmed=filmed)
    report = Report(
        checkpoint=endpoint,
        task=task,
        mode="realtime",
        results=[episode.result for episode in episodes],
        timing=timing_of([e.outcome for e in episodes if e.outcome is not None]),
    )
    return report, episodes


def remote_policy(
    endpoint: str, *, keys: Path | None, joining: Joining | None
) -> tuple[Factory, Welcome]:
    """What makes the policy that is served there, and what it offers. Prints how far away it is."""
    if joining is not None:
        raise FeelforwardError(
            f"--joining {joining} is the server's to choose: feelforward serve --joining {joining}."
        )
    policy = Factory(
        "robot_io.remote.policy:RemotePolicy",
        {"endpoint": endpoint, "keys": None if keys is None else str(keys.resolve())},
    )
    with RemotePolicy(endpoint, keys=keys) as remote:
        offer, clocks = remote.offer, remote.clock_offset
    print(
        f"Policy server {endpoint}: round trip {clocks.round_trip_ns / NS_PER_MS:.2f} ms, its "
        f"clock is {clocks.offset_ns / NS_PER_MS:.3f} ms ahead of ours, give or take "
        f"{clocks.uncertainty_ns / NS_PER_MS:.3f} ms."
    )
    return policy, offer


def _play(
    policy: Factory,
    offer: Welcome,
    robot: RobotConfig,
    *,
    task: str,
    seeds: Sequence[int],
    record: Path | None,
) -> Iterator[Episode]:
    from scripts.live.stage import LiveStage, session_around
    from scripts.tasks import cap

    history = {**offer.vectors, **offer.images}
    missing = [name for name in history if name not in (*cap.VECTORS, *cap.IMAGES)]
    if task != cap.NAME or missing or offer.step_ns != cap.STEP_NS:
        raise FeelforwardError(
            f"The policy at the server sees {', '.join(history)} and plans every "
            f"{offer.step_ns // NS_PER_MS} ms, which does not go with --task {task}; allowed: "
            f"{cap.NAME} with {', '.join((*cap.VECTORS, *cap.IMAGES))} every "
            f"{cap.STEP_NS // NS_PER_MS} ms."
        )
    spec = session_around(policy, robot, history=history)
    with LiveStage(replace(spec, record=record)) as stage:
        print(stage.real_time)
        for episode in stage.play_each(seeds):
            if episode.outcome is not None and episode.outcome.link is not None:
                print(f"Link in episode {episode.result.seed}: {episode.outcome.link}.")
            yield episode
