"""A scripted expert for `TightenCap`: it knows where the cap is and how tight, and moves like a
person who does not do it twice the same way.

    reach -> correct -> descend -> close -> turn -- end of stroke --> open -> wind back -> close
                                              +---- tight --> let go -> retreat

Speeds, approach, grip yaw and strokes vary with the seed. Often it aims beside the cap first and
corrects on the way, so that a policy sees how to come back from an error. In its corrective manner
it errs further and lower, and sometimes closes the hand on nothing first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from robot_io.clock import NS_PER_S
from robot_io.types import Command, MonoNs, Provenance
from sim.world import CapWorld, tool_down_quat_wxyz

_FELT_NM = 0.06  # tightening torque at which the expert slows down
_TURN_ACCEL_RAD_S2 = 6.0
_MAX_EXTRA_RAD = 0.9  # beyond the stroke's end, once the seat is felt


@dataclass(frozen=True, slots=True)
class Manner:
    """How this episode's person moves."""

    pace: float  # 1 is usual
    hover_m: float
    misses: bool  # closes the hand where it aimed first, above and beside the cap
    aim_error_xy_m: tuple[float, float]
    grip_error_xyz_m: tuple[float, float, float]
    grip_yaw_rad: float  # where a stroke begins
    stroke_rad: float
    turn_rad_s: float
    slow_rad_s: float
    stop_nm: float
    open_width_m: float
    retreat_m: float

    @staticmethod
    def sample(rng: np.random.Generator, *, corrective: bool = False) -> "Manner":
        wild = corrective or rng.random() < 0.5
        aim = rng.normal(0.0, 0.016 if wild else 0.003, 2)
        return Manner(
            pace=rng.uniform(0.85, 1.2),
            hover_m=rng.uniform(0.026, 0.05) if corrective else rng.uniform(0.045, 0.08),
            misses=corrective and bool(rng.random() < 0.3),
            aim_error_xy_m=(float(aim[0]), float(aim[1])),
            grip_error_xyz_m=tuple(rng.uniform(-0.002, 0.002, 3).tolist()),
            grip_yaw_rad=rng.uniform(0.75, 1.05),
            stroke_rad=rng.uniform(1.6, 1.9),
            turn_rad_s=rng.uniform(1.0, 1.3),
            slow_rad_s=rng.uniform(0.40, 0.50),
            stop_nm=rng.uniform(0.57, 0.63),
            open_width_m=rng.uniform(0.062, 0.070),
            retreat_m=rng.uniform(0.11, 0.14),
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """A commanded configuration of a hand that points down."""

    position_m: np.ndarray
    yaw_rad: float
    width_m: float

    def row(self) -> np.ndarray:
        return np.concatenate([self.position_m, tool_down_quat_wxyz(self.yaw_rad), [self.width_m]])


class CapExpert:
    """A command source (`robot_io.loop.CommandSource`) with a view into the world."""

    def __init__(self, world: CapWorld, *, corrective: bool = False) -> None:
        rng = np.random.default_rng([world.seed, 100])
        self._world = world
        self._manner = Manner.sample(rng, corrective=corrective)
        row_8 = world.state().row_D
        self._at = _Target(row_8[:3].copy(), world.layout.start_yaw_rad, float(row_8[7]))
        self._now_ns: int = world.now_ns
        self._dt_s = 0.0
        self._script = self._play()

    def sample(self, now_ns: int) -> Command:
        """The command for this tick; call with rising stamps."""
        self._dt_s = (now_ns - self._now_ns) / NS_PER_S
        self._now_ns = now_ns
        self._at = next(self._script, self._at)
        return Command(0, MonoNs(now_ns), self._at.row(), Provenance("expert"))

    def _play(self) -> Iterator[_Target]:
        manner = self._manner
        over = self._world.cap_position + np.array([0, 0, manner.hover_m])
        aside = over + np.array([*manner.aim_error_xy_m, 0])
        grip = self._world.cap_position + manner.grip_error_xyz_m
        yield from self._move(aside, manner.grip_yaw_rad, speed_m_s=0.16)
        if manner.misses:
            yield from self._squeeze()
            yield from self._let_go()
        yield from self._move(over, manner.grip_yaw_rad, speed_m_s=0.08)
        yield from self._move(grip, manner.grip_yaw_rad, speed_m_s=0.08)
        while True:
            yield from self._squeeze()
            yield from self._turn()
            tight = self._world.tightening_nm >= manner.stop_nm
            yield from self._let_go()
            if tight:
                break
            yield from self._move(self._at.position_m, manner.grip_yaw_rad, speed_m_s=0.1)
        up = self._at.position_m + np.array([0, 0, manner.retreat_m])
        yield from self._move(up, self._at.yaw_rad, speed_m_s=0.16)

    def _move(
        self, position_m: np.ndarray, yaw_rad: float, *, speed_m_s: float, turn_rad_s: float = 1.1
    ) -> Iterator[_Target]:
        """A minimum-jerk segment; `speed` and `turn` are averages along it."""
        start = self._at
        travel_s = float(np.linalg.norm(position_m - start.position_m)) / speed_m_s
        turn_s = abs(yaw_rad - start.yaw_rad) / turn_rad_s
        duration_s = max(travel_s, turn_s, 0.1) / self._manner.pace
        elapsed_s = 0.0
        while elapsed_s < duration_s:
            elapsed_s = min(duration_s, elapsed_s + self._dt_s)
            s = elapsed_s / duration_s
            blend = s**3 * (10 - 15 * s + 6 * s * s)
            yield _Target(
                start.position_m + blend * (position_m - start.position_m),
                start.yaw_rad + blend * (yaw_rad - start.yaw_rad),
                start.width_m,
            )

    def _squeeze(self) -> Iterator[_Target]:
        """Closes until the fingers stand still on the cap, and a moment more."""
        yield from self._fingers(0.0, settle_s=0.25)

    def _let_go(self) -> Iterator[_Target]:
        yield from self._fingers(self._manner.open_width_m, settle_s=0.05)

    def _fingers(self, width_m: float, *, settle_s: float) -> Iterator[_Target]:
        speed_m_s, waited_s = 0.09, 0.0
        while waited_s < settle_s:
            limit_m = speed_m_s * self._dt_s
            step_m = float(np.clip(width_m - self._at.width_m, -limit_m, limit_m))
            if step_m == 0:
                waited_s += self._dt_s
            yield replace(self._at, width_m=self._at.width_m + step_m)

    def _turn(self) -> Iterator[_Target]:
        """Turns clockwise to the end of the stroke, or until the cap is tight."""
        manner, rate_rad_s = self._manner, 0.0
        end_rad = manner.grip_yaw_rad - manner.stroke_rad
        while True:
            torque_nm = self._world.tightening_nm
            if torque_nm >= manner.stop_nm:
                return
            felt = torque_nm > _FELT_NM
            left_rad = self._at.yaw_rad - (end_rad - _MAX_EXTRA_RAD if felt else end_rad)
            if left_rad <= 1e-3:
                return
            brake_rad_s = float(np.sqrt(2 * _TURN_ACCEL_RAD_S2 * left_rad))
            goal_rad_s = min(manner.slow_rad_s if felt else manner.turn_rad_s, brake_rad_s)
            change = _TURN_ACCEL_RAD_S2 * self._dt_s
            rate_rad_s += float(np.clip(goal_rad_s - rate_rad_s, -2 * change, change))
            yield replace(self._at, yaw_rad=self._at.yaw_rad - rate_rad_s * self._dt_s)
