"""`TightenCap` on a virtual clock: physics, exposures and deliveries happen when told to."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.types import ArmState, Frame, MonoNs
from sim.view import CAMERAS, STREAMS, TACTILE, CapView, add_noise
from sim.world import CapWorld


@dataclass(frozen=True, slots=True)
class SensorTiming:
    """When a simulated sensor exposes, when its frame arrives, how noisy it is."""

    rate_hz: float = 10.0
    latency_ms: float = 15.0
    noise_counts: float = 2.0

    @property
    def period_ns(self) -> int:
        return round(NS_PER_S / self.rate_hz)

    @property
    def latency_ns(self) -> int:
        return round(self.latency_ms * NS_PER_MS)


CAMERA_TIMING = SensorTiming()
TACTILE_TIMING = SensorTiming(latency_ms=10.0, noise_counts=1.5)
DEFAULT_TIMING: Mapping[str, SensorTiming] = {
    **dict.fromkeys(CAMERAS, CAMERA_TIMING),
    **dict.fromkeys(TACTILE, TACTILE_TIMING),
}


class LockstepArm:
    """The simulated arm; its state is that of the world's own time."""

    stopped_by: str | None = None  # its stop is over with the next command

    def __init__(self, world: CapWorld) -> None:
        self._world = world

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def read(self) -> ArmState:
        return self._world.state()

    def command(self, row_D: np.ndarray) -> None:
        self._world.command(row_D)

    def stop(self) -> None:
        self._world.hold()


class LockstepCamera:
    """Delivers each exposure after its latency, on the world's time."""

    def __init__(self, name: str, world: CapWorld, view: CapView, timing: SensorTiming) -> None:
        self.name = name
        self._world, self._view, self._timing = world, view, timing
        self.restart(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pending.clear()

    def restart(self, start_ns: int) -> None:
        """Begins a new episode: the first exposure is at `start_ns`."""
        self.next_exposure_ns = start_ns
        self._sequence = 0
        self._pending: deque[Frame] = deque()
        stream = STREAMS.index(self.name)
        self._rng = np.random.default_rng([self._world.seed, 1 + stream])

    def expose(self) -> None:
        """Takes the frame that is due now."""
        image = self._view.draw(self.name, self._world.snapshot())
        image = add_noise(image, self._timing.noise_counts, self._rng)
        exposed_ns = self._world.now_ns
        received_ns = MonoNs(exposed_ns + self._timing.latency_ns)
        self._pending.append(Frame(self.name, self._sequence, exposed_ns, received_ns, image))
        self._sequence += 1
        self.next_exposure_ns += self._timing.period_ns

    def read(self, timeout_s: float = 0.0) -> Frame | None:
        newest = None
        while self._pending and self._pending[0].received_ns <= self._world.now_ns:
            newest = self._pending.popleft()
        return newest


class LockstepCap:
    """`TightenCap` as a `robot_io.interfaces.SteppedWorld`. Enter it to open the renderer."""

    def __init__(self, timing: Mapping[str, SensorTiming] | None = None) -> None:
        self.world, self._view = CapWorld(), CapView()
        self.arm = LockstepArm(self.world)
        timing = timing if timing is not None else DEFAULT_TIMING
        self.cameras = tuple(
            LockstepCamera(name, self.world, self._view, each) for name, each in timing.items()
        )

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._view.__exit__(*exc)

    def reset(self, seed: int, *, start_ns: int = 0) -> None:
        """Begins episode `seed`; the first exposures are taken at once."""
        self.world.reset(seed, start_ns=start_ns)
        for camera in self.cameras:
            camera.restart(start_ns)
        self._expose_due()

    def advance_to(self, now_ns: int) -> None:
        while self.cameras:
            due_ns = min(camera.next_exposure_ns for camera in self.cameras)
            if due_ns > now_ns:
                break
            self.world.advance_to(due_ns)
            self._expose_due()
        self.world.advance_to(now_ns)

    def _expose_due(self) -> None:
        for camera in self.cameras:
            if camera.next_exposure_ns <= self.world.now_ns:
                camera.expose()
