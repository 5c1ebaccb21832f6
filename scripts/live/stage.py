"""A robot in real time: the processes around its arm, episode by episode.

Behind the simulated arm stands the world of `TightenCap`, which says when an episode is over. A
real arm has none: an episode lasts so long, ends in a stop, and begins by a person's word.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np

from policy.config import Joining
from robot_io.gate.reasons import Reason
from robot_io.session.processes import Factory
from robot_io.session.session import Session
from robot_io.session.spec import SessionSpec
from robot_io.session.view import View
from robot_io.types import TELEOP, ActionChunk, Command
from scripts.live.operator_keys import Operator, terminal_fd
from scripts.live.parts import arm_of, camera_of
from scripts.robot import RobotConfig
from scripts.tasks import cap
from scripts.tasks.episode import Episode, Scene
from scripts.tasks.report import EpisodeResult
from sim.tighten_cap import TIME_LIMIT_S

OPERATOR_STOP = f"stopped ({Reason.OPERATOR})"
WITH_HELP = ", with help"


def session_spec(
    robot: RobotConfig, *, checkpoint: Path, joining: Joining, history: Mapping[str, int]
) -> SessionSpec:
    """World, sensors, control and a policy from a checkpoint, each in a process of its own."""
    policy = {"checkpoint": str(checkpoint.resolve()), "joining": joining}
    return session_around(Factory("scripts.policies:load_policy", policy), robot, history=history)


def session_around(
    policy: Factory, robot: RobotConfig, *, history: Mapping[str, int]
) -> SessionSpec:
    """The same around any policy that sees these streams, so many steps of each."""
    images = {name: steps for name, steps in history.items() if name not in cap.VECTORS}
    return SessionSpec(
        arm=arm_of(robot),
        policy=policy,
        control=robot.control_spec(),
        step_ns=cap.STEP_NS,
        vectors={name: steps for name, steps in history.items() if name in cap.VECTORS},
        images=images,
        streams=robot.stream_limits(images),
        max_target_age_s=robot.arm.max_target_age_s,
        cameras={name: camera_of(robot, name) for name in images},
        world=Factory("sim.realtime:make_world") if robot.is_simulated else None,
    )


def tell_operator(line: str) -> None:
    """One line about a fault; a progress bar on the same terminal makes room for it."""
    print(line, file=sys.stderr, flush=True)


class LiveStage:
    """A running session; entering starts the processes, leaving ends them.

    In a terminal the operator has keys: see `scripts.live.operator_keys`.
    """

    def __init__(self, spec: SessionSpec, *, limit_s: float = TIME_LIMIT_S + 5) -> None:
        """`limit_s`: how long an episode lasts, unless its world ends it before."""
        self._session = Session(spec, tell=tell_operator)
        self._limit_s, self._has_world = limit_s, spec.world is not None
        self._operator: Operator | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        fd = terminal_fd()
        with ExitStack() as stack:
            stack.enter_context(self._session)
            if fd is not None:
                self._operator = stack.enter_context(Operator(self._session, fd=fd))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def real_time(self) -> str:
        """What the control process was granted, and what not: one line."""
        return self._session.real_time

    def play_each(self, seeds: Iterable[int]) -> Iterator[Episode]:
        """One episode after the other; none after one that a person has stopped.

        At a terminal, an arm without a world moves when a person has looked at it and says so.
        """
        for seed in seeds:
            if self._operator is not None and not self._has_world:
                self._operator.await_word()
            episode = self.play(seed)
            yield episode
            if episode.result.reason.startswith(OPERATOR_STOP):
                return

    def play(self, seed: int) -> Episode:
        """One episode, as long as it takes. What a person helped with is nobody's success."""
        watcher = SceneWatcher()
        if self._operator is not None:
            self._operator.begin()

        def look(view: View) -> None:
            watcher.look(view)
            if self._operator is not None:
                self._operator.look(view)

        outcome = self._session.run_episode(
            seed=seed,
            limit_s=self._limit_s,
            watch=look,
            released=self._operator is not None,
        )
        said = outcome.result
        reason = str(said.get("reason", "time_out"))
        if TELEOP in outcome.record.source_N:
            reason += WITH_HELP
        stamp_ns_N = outcome.record.stamp_ns_N
        steps = round((stamp_ns_N[-1] - stamp_ns_N[0]) / cap.STEP_NS)
        scores = {name: float(said[name]) for name in ("tightening_nm",) if name in said}
        return Episode(EpisodeResult(seed, reason, steps, scores), watcher.scenes, outcome)


class SceneWatcher:
    """Keeps a scene every 100 ms from what passes by."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []
        self._chunk: ActionChunk | None = None
        self._sent: Command | None = None

    def look(self, view: View) -> None:
        for message in view.messages:
            if isinstance(message, ActionChunk):
                self._chunk = message
            elif isinstance(message, Command):
                self._sent = message
        if not view.snapshots or self._sent is None:
            return
        newest = view.snapshots[-1]
        if not self.scenes or newest.exposed_ns >= self.scenes[-1].stamp_ns + cap.SCENE_EVERY_NS:
            self.scenes.append(self._scene(newest.exposed_ns, newest.values, self._sent))

    def _scene(self, now_ns: int, snapshot_N: np.ndarray, sent: Command) -> Scene:
        due_ns, rows = np.empty(0, np.int64), np.empty((0, len(sent.row_D)))
        if self._chunk is not None:
            chunk = self._chunk
            due_ns = chunk.start_ns + chunk.step_ns * np.arange(len(chunk.row_HD))
            due_ns, rows = due_ns[due_ns >= now_ns], chunk.row_HD[due_ns >= now_ns]
        return Scene(now_ns, snapshot_N, due_ns, rows, sent.row_D, sent.provenance.source)
