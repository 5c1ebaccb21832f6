"""`TightenCap` at the pace of the host's clock: the world in one process, each sensor in its own.

`make_world` is what a session's world process calls. Sensors draw from the
snapshots that the world publishes through shared memory, so rendering never delays physics.
"""

from pathlib import Path
from typing import Self

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robot_io.ring import RingReader
from robot_io.types import ArmState, Frame, MonoNs
from sim.lockstep import SensorTiming
from sim.tighten_cap import Outcome
from sim.view import STREAMS, CapView, add_noise
from sim.world import CapWorld, Snapshot

PUBLISHED_WITHIN_NS = 4 * NS_PER_MS  # the world publishes every 2 ms
MAX_CATCH_UP_NS = 40 * NS_PER_MS  # what a stalled world makes up for; the rest of the time is lost


class RealtimeCap:
    """The world as `robot_io.session.world.RealtimeWorld`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._world = CapWorld()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._world.hold()

    def reset(self, seed: int, now_ns: int) -> None:
        """Begins episode `seed`. Its time starts when the arm stands at its start pose."""
        self._world.reset(seed, start_ns=now_ns)
        self._world.set_time(self._clock.now_ns())

    def advance_to(self, now_ns: int) -> None:
        behind_ns = now_ns - self._world.now_ns
        if behind_ns > MAX_CATCH_UP_NS:
            self._world.set_time(now_ns - MAX_CATCH_UP_NS)
        self._world.advance_to(now_ns)

    def command(self, row_D: np.ndarray) -> None:
        self._world.command(row_D)

    def stop(self) -> None:
        self._world.hold()

    def state(self) -> ArmState:
        return self._world.state()

    def snapshot(self) -> np.ndarray:
        return self._world.snapshot().pack()

    def outcome(self) -> dict[str, float | bool | str] | None:
        return None if self._world.outcome is Outcome.RUNNING else self._world.result()


class RealtimeCamera:
    """One simulated sensor: exposes on a grid of the host's clock, delivers after its latency."""

    def __init__(self, name: str, snapshots: Path, timing: SensorTiming, clock: Clock) -> None:
        self.name = name
        self._path, self._timing, self._clock = snapshots, timing, clock
        self._view = CapView()
        self._rng = np.random.default_rng(STREAMS.index(name))
        self._sequence = 0
        self._next_ns = 0
        self._reader: RingReader | None = None

    def __enter__(self) -> Self:
        self._reader = RingReader.attach(self._path, timeout_s=30.0)
        self._view.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._view.__exit__(*exc)
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def read(self, timeout_s: float) -> Frame | None:
        """Waits for the next exposure, draws it, and hands it over when its latency is past.

        Every sensor exposes at the same moments: multiples of its period on the host's clock.
        """
        assert self._reader is not None, "enter the camera before reading"
        period_ns, now_ns = self._timing.period_ns, self._clock.now_ns()
        due_ns = max(self._next_ns, now_ns // period_ns * period_ns)
        if due_ns - now_ns > timeout_s * NS_PER_S:
            self._clock.sleep_until(now_ns + round(timeout_s * NS_PER_S))
            return None
        self._clock.sleep_until(due_ns + PUBLISHED_WITHIN_NS)
        self._next_ns = due_ns + period_ns
        sample = self._reader.newest_until(due_ns)
        if sample is None:
            return None
        image = self._view.draw(self.name, Snapshot.unpack(sample.values))
        image = add_noise(image, self._timing.noise_counts, self._rng)
        self._clock.sleep_until(due_ns + self._timing.latency_ns)
        self._sequence += 1
        received_ns = self._clock.now_ns()
        return Frame(self.name, self._sequence, MonoNs(sample.exposed_ns), received_ns, image)


def make_world() -> RealtimeCap:
    return RealtimeCap(MonotonicClock())
