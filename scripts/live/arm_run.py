"""What `feelforward run` does with a real arm, or where nobody plans: a person says how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from policy.config import Joining
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.errors import FeelforwardError
from robot_io.session.processes import Factory
from robot_io.session.spec import SessionSpec
from scripts.checkpoints import find_checkpoint
from scripts.live.operator_keys import terminal_fd
from scripts.live.remote_run import remote_policy
from scripts.live.stage import LiveStage, session_around, session_spec
from scripts.robot import RobotConfig
from scripts.tasks.cap import STEP_NS
from scripts.tasks.episode import Episode

NOBODY = "none"  # as --policy
_STILL = Factory("robot_io.devices.fake:StillPlanner")
_TOLD: Mapping[str, int] = {"commanded": 1}


def spec_for(
    robot: RobotConfig,
    *,
    policy: str | None,
    checkpoint: str,
    keys: Path | None,
    joining: Joining | None,
) -> SessionSpec:
    """The session of a checkpoint, of a policy at a server, or of nobody's plans."""
    if policy == NOBODY:
        return session_around(_STILL, robot, history=_TOLD)
    if policy is not None:
        remote, offer = remote_policy(policy, keys=keys, joining=joining)
        _require_step(offer.step_ns)
        return session_around(remote, robot, history={**offer.vectors, **offer.images})
    from policy.checkpoint import read_recipe

    folder = find_checkpoint(checkpoint)
    config = read_recipe(folder).policy
    _require_step(config.step_ms * NS_PER_MS)
    joining = joining if joining is not None else robot.buffer.joining
    return session_spec(robot, checkpoint=folder, joining=joining, history=config.history())


def run_on_arm(
    spec: SessionSpec, *, seeds: Sequence[int], seconds: float, record: Path | None
) -> None:
    """Episodes of `seconds` each, with one line about each."""
    if len(seeds) > 1 and spec.world is None and terminal_fd() is None:
        raise FeelforwardError(
            f"--episodes {len(seeds)} on a real arm needs a terminal, where a person lets each of"
            " them begin. Run it in one, or one episode at a time."
        )
    with LiveStage(replace(spec, record=record), limit_s=seconds) as stage:
        print(stage.real_time)
        for episode in stage.play_each(seeds):
            print(summary(episode))


def summary(episode: Episode) -> str:
    """How an episode went, as far as it can be measured."""
    assert episode.outcome is not None
    record = episode.outcome.record
    ticks = len(record.stamp_ns_N)
    seconds = (record.stamp_ns_N[-1] - record.stamp_ns_N[0]) / NS_PER_S
    late_ms = np.percentile(record.late_ns_N, 99) / NS_PER_MS
    return (
        f"Episode {episode.result.seed}: {seconds:.1f} s, ended: {episode.result.reason};"
        f" {100 * (record.rung_N == 'plan').mean():.1f} % of {ticks} ticks on a plan,"
        f" {100 * (record.verdict_N == 'modified').mean():.1f} % modified by the gate,"
        f" {episode.outcome.missed_ticks} missed, lateness p99 {late_ms:.2f} ms."
    )


def _require_step(step_ns: int) -> None:
    if step_ns != STEP_NS:
        raise FeelforwardError(
            f"The policy plans every {step_ns / NS_PER_MS:g} ms, allowed:"
            f" {STEP_NS / NS_PER_MS:g} ms. Take another --checkpoint or --policy."
        )
