"""What the children of a fault test are made of: the simulated robot, able to fail when told.

Everything here is made in a child process. A fault is a file in the session's directory,
`fault_PART`, whose text says what to do as long as it lies there.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.devices.fake import CirclePlanner
from robot_io.errors import FeelforwardError
from robot_io.interfaces import Camera
from robot_io.session.remote_arm import RemoteArm
from robot_io.types import Frame, Observation

FROZEN_PERIOD_S = 0.05  # how often a frozen camera gives its old frame again
WALL_JUMP_S = 3600
WALL_CLOCKS = {
    "time": 1,
    "time_ns": NS_PER_S,
    "clock_gettime": 1,
    "clock_gettime_ns": NS_PER_S,
}
ROWS = 16


class Fault:
    """The words for one part; empty while it is to work."""

    def __init__(self, directory: str, part: str) -> None:
        self._path = Path(directory) / f"fault_{part}"

    def words(self) -> list[str]:
        try:
            return self._path.read_text().split()
        except FileNotFoundError:
            return []


class FailingCamera:
    """A sensor that can stall, freeze (the same frame in a new call) or die."""

    def __init__(self, camera: Camera, fault: Fault) -> None:
        self.name = camera.name
        self._camera, self._fault = camera, fault
        self._last: Frame | None = None
        self._clock = MonotonicClock()

    def __enter__(self) -> Self:
        self._camera.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._camera.__exit__(*exc)

    def read(self, timeout_s: float) -> Frame | None:
        words = self._fault.words()
        if words == ["die"]:
            raise FeelforwardError(f"Sensor {self.name!r} gives no more frames. Check its cable.")
        if words == ["stall"]:
            self._wait(timeout_s)
            return None
        if words == ["freeze"]:
            self._wait(min(timeout_s, FROZEN_PERIOD_S))
            return self._last
        self._last = self._camera.read(timeout_s) or self._last
        return self._last

    def _wait(self, wait_s: float) -> None:
        self._clock.sleep_until(self._clock.now_ns() + round(wait_s * NS_PER_S))


class FailingPlanner:
    """Moves the arm steadily along a circle; can be slow, or plan nonsense."""

    def __init__(self, fault: Fault) -> None:
        self._circle = CirclePlanner(rows=ROWS, radius_m=0.04, turn_s=3.0)
        self._fault = fault
        self._clock = MonotonicClock()

    def reset(self, seed: int) -> None:
        self._circle.reset(seed)

    def plan(self, observation: Observation) -> np.ndarray:
        row_HD = self._circle.plan(observation)
        match self._fault.words():
            case ["takes", seconds]:
                self._clock.sleep_until(self._clock.now_ns() + round(float(seconds) * NS_PER_S))
            case ["nan"]:
                row_HD[ROWS // 2 :] = np.nan
        return row_HD


def make_camera(name: str, directory: str, **timing: Any) -> FailingCamera:
    from scripts.live.sensors import make_camera as make

    clock_follows(directory)
    camera = make(name, f"{directory}/world.ring", **timing)
    return FailingCamera(camera, Fault(directory, name))


def make_planner(directory: str) -> FailingPlanner:
    clock_follows(directory)
    return FailingPlanner(Fault(directory, "policy"))


def make_arm(directory: str) -> RemoteArm:
    clock_follows(directory)
    return RemoteArm(directory)


def make_world(directory: str) -> Any:
    from sim.realtime import make_world as make

    clock_follows(directory)
    return make()


def clock_follows(directory: str) -> None:
    """While the fault `clock` is on, this process's wall clock jumps an hour back and forth.

    Whatever Python code asks for the wall clock through `time` gets another hour each time. The
    machine's own clock stays as it is.
    """
    fault, sign = Fault(directory, "clock"), itertools.cycle((1, -1))

    def jumping(read: Callable[..., float], units_per_s: int) -> Callable[..., float]:
        def now(*clock: int) -> float:
            jumps = fault.words() and clock in ((), (time.CLOCK_REALTIME,))
            return read(*clock) + (next(sign) * WALL_JUMP_S * units_per_s if jumps else 0)

        return now

    for name, units_per_s in WALL_CLOCKS.items():
        setattr(time, name, jumping(getattr(time, name), units_per_s))
