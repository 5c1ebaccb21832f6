"""Devices that need no hardware and behave: for tests and for `feelforward doctor`."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from robot_io.clock import NS_PER_S, Clock, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.rows import ToolRows
from robot_io.session.watchdog import REQUESTED
from robot_io.types import ArmState, Frame, MonoNs, Observation

HOME_ROW = (0.45, 0.0, 0.35, 0.0, 1.0, 0.0, 0.0, 0.04)  # x y z (m), wxyz, width (m): hand down


class FakeArm:
    """Follows its target with a first-order lag, d measured/dt = (target - measured) / tau.

    `freeze()` makes it repeat its last measurement, as a dead driver does; `wall_z_m` is a table
    that the tool cannot go below, however far below the target is.
    """

    def __init__(
        self,
        start_row_D: Sequence[float] | np.ndarray = HOME_ROW,
        *,
        time_constant_s: float = 0.05,
        wall_z_m: float = -math.inf,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock if clock is not None else MonotonicClock()
        self._time_constant_s = time_constant_s
        self._wall_z_m = wall_z_m
        self._rows = ToolRows()
        self._measured_D = np.array(start_row_D, np.float64)
        self._target_D = self._measured_D.copy()
        self._stamp_ns = self._clock.now_ns()
        self._open = self._frozen = False
        self.commands_N: list[np.ndarray] = []
        self.stops = 0
        self.stopped_by: str | None = None

    def __enter__(self) -> Self:
        self._stamp_ns = self._clock.now_ns()
        self._open, self.stopped_by = True, None
        return self

    def __exit__(self, *exc: object) -> None:
        if self._open:
            self.stop()
        self._open = False

    def freeze(self) -> None:
        self._frozen = True

    def read(self) -> ArmState:
        self._require_open()
        if not self._frozen:
            self._move()
        return ArmState(self._stamp_ns, self._measured_D.copy(), np.empty(0))

    def command(self, row_D: np.ndarray) -> None:
        self._require_open()
        self._move()
        if self.stopped_by is None:
            self._target_D = row_D.copy()
        self.commands_N.append(row_D.copy())

    def stop(self) -> None:
        """Holds where it is."""
        self._move()
        self._target_D = self._measured_D.copy()
        self.stopped_by = REQUESTED
        self.stops += 1

    def _require_open(self) -> None:
        if not self._open:
            raise FeelforwardError("The arm is not connected. Enter it first.")

    def _move(self) -> None:
        now_ns = self._clock.now_ns()
        elapsed_s = (now_ns - self._stamp_ns) / NS_PER_S
        done = 1.0 - math.exp(-elapsed_s / self._time_constant_s)
        ends = np.stack((self._measured_D, self._target_D))
        at = np.array([int(done * NS_PER_S)])
        self._measured_D = self._rows.interpolate(np.array([0, NS_PER_S]), ends, at)[0]
        self._measured_D[2] = max(self._measured_D[2], self._wall_z_m)
        self._stamp_ns = now_ns


class FakeCamera:
    """Exposes an image every period; each is one grey, the exposure's number modulo 256.

    `freeze_after` exposures it repeats the last frame, stamps and all, as a frozen camera does.
    """

    def __init__(
        self,
        name: str,
        *,
        rate_hz: float = 10.0,
        shape: Sequence[int] = (96, 96, 3),
        freeze_after: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._shape = tuple(shape)
        self._period_ns = round(NS_PER_S / rate_hz)
        self._freeze_after = freeze_after
        self._clock = clock if clock is not None else MonotonicClock()
        self._begin_ns: int | None = None
        self._sequence = 0
        self._frame: Frame | None = None

    def __enter__(self) -> Self:
        self._begin_ns = self._clock.now_ns()
        return self

    def __exit__(self, *exc: object) -> None:
        self._begin_ns = None

    def read(self, timeout_s: float) -> Frame | None:
        if self._begin_ns is None:
            raise FeelforwardError(f"Camera {self.name!r} is not connected. Enter it first.")
        end_ns = self._clock.now_ns() + int(timeout_s * NS_PER_S)
        if self._freeze_after is not None and self._sequence >= self._freeze_after:
            self._clock.sleep_until(min(end_ns, self._clock.now_ns() + self._period_ns))
            return self._frame
        due_ns = self._begin_ns + (self._sequence + 1) * self._period_ns
        if due_ns > end_ns:
            self._clock.sleep_until(end_ns)
            return None
        self._clock.sleep_until(due_ns)
        self._frame = self._expose()
        return self._frame

    def _expose(self) -> Frame:
        """The newest exposure; those missed meanwhile are lost, as in a real camera."""
        assert self._begin_ns is not None
        now_ns = self._clock.now_ns()
        self._sequence = (now_ns - self._begin_ns) // self._period_ns
        exposed_ns = MonoNs(self._begin_ns + self._sequence * self._period_ns)
        image = np.full(self._shape, self._sequence % 256, np.uint8)
        return Frame(self.name, self._sequence, exposed_ns, now_ns, image)


class StillPlanner:
    """Plans to stay where the arm was told to be: for a person who takes it over, or to look on."""

    def __init__(self, *, rows: int = 16, inference_s: float = 0.05) -> None:
        self._rows, self._inference_s = rows, inference_s
        self._clock = MonotonicClock()

    def reset(self, seed: int) -> None: ...

    def plan(self, observation: Observation) -> np.ndarray:
        """Rows (H, 8)."""
        self._clock.sleep_until(self._clock.now_ns() + round(self._inference_s * NS_PER_S))
        return np.tile(observation.vectors["commanded"][-1], (self._rows, 1))


class CirclePlanner:
    """A stand-in for a policy: moves the tool along a circle around where the episode began.

    `inference_s` is how long each plan takes.
    """

    def __init__(
        self,
        *,
        rows: int = 16,
        step_s: float = 0.1,
        radius_m: float = 0.02,
        turn_s: float = 4.0,
        inference_s: float = 0.02,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock if clock is not None else MonotonicClock()
        self._ahead_s = step_s * np.arange(rows)
        self._radius_m = radius_m
        self._turn_s = turn_s
        self._inference_s = inference_s
        self._origin: tuple[int, np.ndarray] | None = None

    def reset(self, seed: int) -> None:
        self._origin = None

    def plan(self, observation: Observation) -> np.ndarray:
        """Rows (H, 8)."""
        self._clock.sleep_until(self._clock.now_ns() + int(self._inference_s * NS_PER_S))
        if self._origin is None:
            self._origin = (observation.observed_ns, observation.vectors["measured"][-1])
        begin_ns, centre_D = self._origin
        elapsed_s = (observation.observed_ns - begin_ns) / NS_PER_S + self._ahead_s
        angle_rad = 2 * np.pi * elapsed_s / self._turn_s
        row_HD = np.tile(centre_D, (len(angle_rad), 1))
        row_HD[:, 0] += self._radius_m * (np.cos(angle_rad) - 1)
        row_HD[:, 1] += self._radius_m * np.sin(angle_rad)
        return row_HD
