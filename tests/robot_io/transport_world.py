"""A world for tests: a fake arm that must be brought 1 cm along y. Imported by child processes."""

from collections.abc import Mapping

import numpy as np

from robot_io.clock import NS_PER_MS, VirtualClock
from robot_io.devices.fake import FakeArm
from robot_io.errors import FeelforwardError
from robot_io.ring import RingReader
from robot_io.types import ArmState, Frame, MonoNs

GOAL_M = 0.01
PERIOD_NS = 100 * NS_PER_MS


class FailingArm(FakeArm):
    """Has stopped itself, as after a reflex, once it has been commanded for a second."""

    def read(self) -> ArmState:
        if len(self.commands_N) > 100:
            raise FeelforwardError("The arm has stopped itself: it has met something.")
        return super().read()


class ReachWorld:
    """`RealtimeWorld` with the arm's physics on a clock of its own."""

    def __init__(self) -> None:
        self._seed = 0
        self._stopped = False

    def __enter__(self) -> "ReachWorld":
        return self

    def __exit__(self, *exc: object) -> None:
        self._arm.__exit__()

    def reset(self, seed: int, now_ns: int) -> None:
        self._seed = seed
        self._begin_ns = now_ns
        self._clock = VirtualClock(now_ns)
        self._arm = FakeArm(clock=self._clock).__enter__()

    def advance_to(self, now_ns: int) -> None:
        self._clock.sleep_until(now_ns)
        self._arm.read()

    def command(self, row_D: np.ndarray) -> None:
        self._arm.command(row_D)

    def stop(self) -> None:
        self._arm.stop()

    def state(self) -> ArmState:
        return self._arm.read()

    def snapshot(self) -> np.ndarray:
        return np.concatenate((self._arm.read().row_D, [self._seed]))

    def outcome(self) -> Mapping[str, float | int | str | bool] | None:
        if self._arm.read().row_D[1] < GOAL_M:
            return None
        return {"success": True, "reason": "reached", "seed": self._seed}


class SnapshotCamera:
    """Draws what the world published: every pixel is the episode's seed."""

    def __init__(self, name: str, snapshots: str) -> None:
        self.name = name
        self._path = snapshots
        self._resets = 0
        self._next_ns = 0

    def __enter__(self) -> "SnapshotCamera":
        self._ring = RingReader.attach(self._path, timeout_s=30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._ring.close()

    def reset(self, seed: int) -> None:
        self._resets += 1

    def read(self, timeout_s: float) -> Frame | None:
        sample = self._ring.wait(timeout_s)
        if sample is None or sample.exposed_ns < self._next_ns:
            return None
        self._next_ns = sample.exposed_ns + PERIOD_NS
        image = np.full((4, 4, 3), sample.values[-1], np.uint8)
        image[0, 0] = self._resets
        stamp_ns = MonoNs(sample.exposed_ns)
        return Frame(self.name, sample.sequence, stamp_ns, sample.received_ns, image)
