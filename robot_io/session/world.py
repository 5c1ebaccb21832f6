"""The world's process of a simulated session: physics at the pace of the host's clock."""

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from robot_io.clock import NS_PER_MS, MonotonicClock
from robot_io.ring import RingWriter
from robot_io.session.child import Line
from robot_io.session.directory import world_path
from robot_io.session.processes import ChildSpec
from robot_io.session.remote_arm import ArmServer
from robot_io.session.watchdog import NO_TARGET
from robot_io.types import ArmState

PERIOD_NS = 2 * NS_PER_MS
NICENESS = -10  # physics that falls behind is a wrong world; only where the system allows it


class RealtimeWorld(Protocol):
    """A world that is moved by the host's clock."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    def reset(self, seed: int, now_ns: int) -> None:
        """A new episode, its time beginning at `now_ns`."""
        ...

    def advance_to(self, now_ns: int) -> None:
        """Runs physics up to `now_ns`."""
        ...

    def command(self, row_D: np.ndarray) -> None: ...
    def stop(self) -> None:
        """The arm's own stop: it stays where it is."""
        ...

    def state(self) -> ArmState:
        """Measured now, in the world's time."""
        ...

    def snapshot(self) -> np.ndarray:
        """All that a camera's process needs to draw: (N,) float64, N fixed."""
        ...

    def outcome(self) -> Mapping[str, float | int | str | bool] | None:
        """How the episode ended; None while it goes on."""
        ...


def run(spec: ChildSpec, line: Line) -> None:
    with suppress(PermissionError):
        os.nice(NICENESS)
    with ExitStack() as stack:
        max_age_s = spec.settings["max_target_age_s"]
        server = stack.enter_context(ArmServer(spec.directory, max_target_age_s=max_age_s))
        world: RealtimeWorld = stack.enter_context(spec.make("world"))
        stage = _Stage(world, server, Path(spec.directory))
        stack.callback(stage.close)
        stage.reset(seed=0)  # so that arm and cameras find something to attach to
        line.say("ready")
        _run_stage(stage, line)


def _run_stage(stage: "_Stage", line: Line) -> None:
    clock = MonotonicClock()
    next_ns = clock.now_ns()
    while not line.ending.is_set():
        note = line.heard()
        if note is not None and note.kind == "begin":
            line.say("begun", begin_ns=stage.reset(seed=int(note.values["seed"])))
        was_stopped = stage.stopped_by
        outcome = stage.advance()
        if outcome is not None:
            line.say("over", **outcome)
        if was_stopped is None and stage.stopped_by == NO_TARGET:
            line.say("stopped", reason=NO_TARGET)
        next_ns = max(next_ns + PERIOD_NS, clock.now_ns())
        clock.sleep_until(next_ns)


class _Stage:
    """The world, and what the other processes see of it."""

    def __init__(self, world: RealtimeWorld, server: ArmServer, directory: Path) -> None:
        self._world = world
        self._server = server
        self._clock = MonotonicClock()
        self._snapshots = None
        self._path = world_path(directory)
        self._sequence = 0
        self._over = True

    @property
    def stopped_by(self) -> str | None:
        """Why the arm stands still; None while it takes commands."""
        return self._server.stopped_by

    def reset(self, *, seed: int) -> int:
        """Begins an episode; returns the stamp of its first state."""
        self._server.clear()
        self._world.reset(seed, self._clock.now_ns())
        self._over = False
        return self._publish()

    def advance(self) -> Mapping[str, float | int | str | bool] | None:
        """One step of the pacing loop; returns the outcome once, when there is one."""
        was_stopped = self.stopped_by
        row_D = self._server.latest_command()
        if self.stopped_by is not None and was_stopped is None:
            self._world.stop()  # once: to hold anew at every step would give way to any push
        elif row_D is not None:
            self._world.command(row_D)
        self._world.advance_to(self._clock.now_ns())
        self._publish()
        outcome = None if self._over else self._world.outcome()
        self._over = self._over or outcome is not None
        return outcome

    def _publish(self) -> int:
        state, values = self._world.state(), self._world.snapshot()
        self._server.publish(state)
        if self._snapshots is None:
            self._snapshots = RingWriter(self._path, shape=values.shape, dtype=np.float64, slots=64)
        self._sequence += 1
        self._snapshots.write(
            values,
            exposed_ns=state.stamp_ns,
            received_ns=self._clock.now_ns(),
            sequence=self._sequence,
        )
        return state.stamp_ns

    def close(self) -> None:
        if self._snapshots is not None:
            self._snapshots.close()
