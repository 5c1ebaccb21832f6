"""A scripted expert for `TightenCap`: it knows where the cap is and how tight, and moves like a
person who does not do it twice the same way. It begins in any state of a running episode, and
looks before each step, so that it comes back from its own mistakes and from those of others:

    not around the cap        let go, rise where low and beside, over it, descend
    around it, wound up       wind back
    around it                 close
    holds it, end of stroke   let go
    holds it                  turn                        tight: let go, retreat

Once free of the cap it does not wait for the hand to be open: it winds back or retreats meanwhile.
So the motion says what was decided while the memory of what was felt is still fresh.

Speeds, approach, grip yaw and strokes vary with the seed. Coming from afar it often aims beside the
cap first and corrects on the way, so that a policy sees how to come back from an error. In its
corrective manner it errs further and lower, and sometimes closes the hand on nothing first.

Its hand is not quite steady: what it sends strays around what it intends. Recorded beside each
other, the two show a policy how to come back from the small errors that its own plans will make
(DART: Laskey et al. 2017, "Noise injection for robust imitation learning").
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.types import Command, MonoNs, Provenance
from sim.fr3 import MAX_WIDTH_M
from sim.tighten_cap import RETREAT_M
from sim.world import CapWorld, tool_down_quat_wxyz

_FELT_NM = 0.06  # tightening torque at which the expert slows down
_TURN_ACCEL_RAD_S2 = 6.0
_MAX_EXTRA_RAD = 0.9  # beyond the stroke's end, once the seat is felt
_SHORT_RAD = 0.05  # of stroke: not worth turning
_GIVE_M = 0.012  # of the soft pads on the cap, both together: beyond, there is no cap between them
_SHORT_MOVE_M_S2, _SHORT_MOVE_RAD_S2 = 0.33, 1.6  # way / time²; the peak is 5.8 times as much
_FAR_M = 0.04  # from here on it aims anew
_NUDGE_M = 0.008  # beside: so much an open hand may correct without rising over the cap first
_FINGER_SPEED_M_S = 0.09  # of the width
_CLEAR_M = 0.008  # between fingers and cap, both together: from here an opening hand may move on
_LOW_HOVER_M = 0.055  # an open hand that has gripped and rises to RETREAT_M ends the episode
# How far the hand strays (standard deviations) in position, in rotation as a vector in the tool
# frame, and in width: a new error every 100 ms, gone over to as smoothly as from plan to plan.
_STRAY_7 = np.array([0.0025, 0.0025, 0.0025, 0.012, 0.012, 0.025, 0.004])  # m, rad, m
_STRAY_EVERY_NS = 100 * NS_PER_MS
_STRAY_KEPT = 0.6  # of an error in the next


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
    reaction_s: float  # from the first feel of the seat to turning slowly
    stop_nm: float
    open_width_m: float
    retreat_m: float
    unsteady: float  # times the usual straying

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
            turn_rad_s=rng.uniform(0.55, 0.75),
            slow_rad_s=rng.uniform(0.30, 0.38),
            reaction_s=rng.uniform(0.0, 0.5),
            stop_nm=rng.uniform(0.49, 0.55),
            open_width_m=rng.uniform(0.062, 0.070),
            retreat_m=rng.uniform(0.11, 0.14),
            unsteady=rng.uniform(0.0, 1.5),
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """A commanded configuration of a hand that points down, or nearly so."""

    position_m: np.ndarray
    yaw_rad: float
    tilt_rad: np.ndarray  # (3,) rotation vector in the tool frame: how it fails to point down
    width_m: float

    @staticmethod
    def of(row_8: np.ndarray) -> "_Target":
        yaw_rad = _wrapped(2 * np.arctan2(row_8[5], row_8[4]))
        tilt_rad = np.empty(3)
        mujoco.mju_subQuat(tilt_rad, row_8[3:7], tool_down_quat_wxyz(yaw_rad))
        return _Target(row_8[:3].copy(), yaw_rad, tilt_rad, float(row_8[7]))

    def row(self) -> np.ndarray:
        quat_wxyz = tool_down_quat_wxyz(self.yaw_rad)
        mujoco.mju_quatIntegrate(quat_wxyz, self.tilt_rad, 1.0)
        return np.concatenate([self.position_m, quat_wxyz, [self.width_m]])


class _Stray:
    """Errors of position, rotation (vector in the tool frame) and width, drawn and blended."""

    def __init__(self, rng: np.random.Generator, scale: float, now_ns: int) -> None:
        self._rng, self._scale_7 = rng, scale * _STRAY_7
        self._since_ns = now_ns
        self._from_7, self._to_7 = np.zeros(7), np.zeros(7)  # it begins where it was handed over

    def at(self, now_ns: int) -> np.ndarray:
        """(7,) x y z, rotation vector, width; ask with rising stamps."""
        while now_ns - self._since_ns >= _STRAY_EVERY_NS:
            self._since_ns += _STRAY_EVERY_NS
            fresh_7 = np.sqrt(1 - _STRAY_KEPT**2) * self._scale_7 * self._rng.standard_normal(7)
            self._from_7, self._to_7 = self._to_7, _STRAY_KEPT * self._to_7 + fresh_7
        share = (now_ns - self._since_ns) / _STRAY_EVERY_NS
        return self._from_7 + share * (self._to_7 - self._from_7)


@dataclass(frozen=True, slots=True)
class _Sight:
    """How the measured hand stands to the cap."""

    beside_m: float
    above_m: float  # of the tool over the cap's centre
    gap_m: float  # between the fingers, beyond the cap's diameter

    @property
    def around(self) -> bool:
        """Whether closing the hand would grip the cap."""
        return self.beside_m < 0.004 and abs(self.above_m) < 0.007 and self.gap_m > -_GIVE_M

    @property
    def on(self) -> bool:
        """Whether closed fingers hold the cap; the arm is soft, and may give way a little."""
        return self.beside_m < 0.007 and abs(self.above_m) < 0.009 and -_GIVE_M < self.gap_m < 0


class CapExpert:
    """A command source (`robot_io.control.loop.CommandSource`) with a view into the world."""

    def __init__(
        self, world: CapWorld, *, commanded_8: np.ndarray | None = None, corrective: bool = False
    ) -> None:
        """It goes on from `commanded_8`, where others had the hand; by default it starts afresh."""
        rng = np.random.default_rng([world.seed, 100])
        self._world = world
        self._manner = Manner.sample(rng, corrective=corrective)
        self._at = _Target.of(commanded_8 if commanded_8 is not None else world.state().row_D)
        self._now_ns: int = world.now_ns
        stray_rng = np.random.default_rng([world.seed, 102])
        self._stray = _Stray(stray_rng, self._manner.unsteady, world.now_ns)
        self._dt_s = 0.0
        self._script = self._play()

    def sample(self, now_ns: int) -> Command:
        """The command for this tick, strayed from the intended row; call with rising stamps."""
        self._dt_s = (now_ns - self._now_ns) / NS_PER_S
        self._now_ns = now_ns
        self._at = next(self._script, self._at)
        return Command(0, MonoNs(now_ns), self._strayed(), Provenance("expert"))

    @property
    def intended_8(self) -> np.ndarray:
        """The row of the last tick as it was meant."""
        return self._at.row()

    def _strayed(self) -> np.ndarray:
        row_8, stray_7 = self._at.row(), self._stray.at(self._now_ns)
        row_8[:3] += stray_7[:3]
        mujoco.mju_quatIntegrate(row_8[3:7], stray_7[3:6], 1.0)
        row_8[7] = np.clip(row_8[7] + stray_7[6], 0.0, MAX_WIDTH_M)
        return row_8

    def _play(self) -> Iterator[_Target]:
        manner = self._manner
        while not self._is_tight:
            sight = self._look()
            if sight.on and self._left_rad <= _SHORT_RAD:
                yield from self._unclasp()
            elif sight.on:
                yield from self._squeeze() if self._at.width_m > 0 else self._turn()
            elif not sight.around:
                yield from self._come(sight)
            elif self._left_rad < manner.stroke_rad / 2:
                yield from self._wind_back()
            else:
                yield from self._squeeze()
        if not self._is_open:
            yield from self._unclasp()
        yield from self._opening(self._rise(self._world.cap_position[2] + manner.retreat_m))

    def _look(self) -> _Sight:
        """The straying of its open hand it knows, and does not mind; a closed one the cap holds."""
        row_8 = self._world.state().row_D
        gap_m = float(row_8[7] - 2 * self._world.layout.cap_radius_m)
        off_3 = row_8[:3] - self._world.cap_position
        if gap_m > 0:
            off_3 -= self._stray.at(self._now_ns)[:3]
        return _Sight(float(np.hypot(*off_3[:2])), float(off_3[2]), gap_m)

    @property
    def _is_tight(self) -> bool:
        return self._world.tightening_nm >= self._manner.stop_nm

    @property
    def _feels_seat(self) -> bool:
        return self._world.tightening_nm > _FELT_NM

    @property
    def _is_open(self) -> bool:
        return self._at.width_m >= self._manner.open_width_m

    @property
    def _left_rad(self) -> float:
        """What is left of the stroke."""
        end_rad = self._manner.grip_yaw_rad - self._manner.stroke_rad
        return self._at.yaw_rad - (end_rad - _MAX_EXTRA_RAD if self._feels_seat else end_rad)

    def _come(self, sight: _Sight) -> Iterator[_Target]:
        """Brings the open hand around the cap, from wherever it is."""
        manner, fresh = self._manner, self._is_open and sight.above_m > RETREAT_M
        hover_m = manner.hover_m if fresh else min(manner.hover_m, _LOW_HOVER_M)
        over = self._world.cap_position + np.array([0, 0, hover_m])
        if self._clutches:
            yield from self._let_go()
        if not self._is_open or sight.beside_m > _NUDGE_M:
            yield from self._rise(over[2])
            if np.linalg.norm(self._at.position_m - over) > _FAR_M:
                aside = over + np.array([*manner.aim_error_xy_m, 0])
                yield from self._move(aside, manner.grip_yaw_rad, speed_m_s=0.16)
                if manner.misses:
                    yield from self._squeeze()
            if not self._is_open:
                yield from self._let_go()
            yield from self._move(over, manner.grip_yaw_rad, speed_m_s=0.08)
        grip = self._world.cap_position + manner.grip_error_xyz_m
        yield from self._move(grip, manner.grip_yaw_rad, speed_m_s=0.08)

    @property
    def _clutches(self) -> bool:
        """Whether something between the fingers keeps them from closing."""
        return bool(self._world.state().row_D[7] - self._at.width_m > 0.003)

    def _wind_back(self) -> Iterator[_Target]:
        if not self._is_open:
            yield from self._unclasp()
        back = self._move(self._at.position_m, self._manner.grip_yaw_rad, speed_m_s=0.1)
        yield from self._opening(back)

    def _rise(self, top_m: float) -> Iterator[_Target]:
        """Straight up, where the hand is lower."""
        x, y, z = self._at.position_m
        if z < top_m:
            yield from self._move(np.array([x, y, top_m]), self._at.yaw_rad, speed_m_s=0.16)

    def _move(
        self, position_m: np.ndarray, yaw_rad: float, *, speed_m_s: float, turn_rad_s: float = 1.1
    ) -> Iterator[_Target]:
        """A minimum-jerk segment to an upright hand; `speed` and `turn` are averages along it."""
        start = self._at
        travel_m = float(np.linalg.norm(position_m - start.position_m))
        angle_rad = float(np.hypot(yaw_rad - start.yaw_rad, np.linalg.norm(start.tilt_rad)))
        duration_s = max(
            travel_m / speed_m_s,
            angle_rad / turn_rad_s,
            np.sqrt(travel_m / _SHORT_MOVE_M_S2),
            np.sqrt(angle_rad / _SHORT_MOVE_RAD_S2),
            0.1,
        )
        duration_s /= self._manner.pace
        elapsed_s = 0.0
        while elapsed_s < duration_s:
            elapsed_s = min(duration_s, elapsed_s + self._dt_s)
            s = elapsed_s / duration_s
            blend = s**3 * (10 - 15 * s + 6 * s * s)
            yield _Target(
                start.position_m + blend * (position_m - start.position_m),
                start.yaw_rad + blend * (yaw_rad - start.yaw_rad),
                (1 - blend) * start.tilt_rad,
                start.width_m,
            )

    def _squeeze(self) -> Iterator[_Target]:
        """Closes until the fingers stand still on the cap, and a moment more."""
        yield from self._fingers(0.0, settle_s=0.25)

    def _let_go(self) -> Iterator[_Target]:
        yield from self._fingers(self._manner.open_width_m, settle_s=0.05)

    def _unclasp(self) -> Iterator[_Target]:
        """Opens until the fingers are clear of the cap."""
        for target in self._let_go():
            yield target
            if self._look().gap_m > _CLEAR_M:
                return

    def _fingers(self, width_m: float, *, settle_s: float) -> Iterator[_Target]:
        waited_s = 0.0
        while waited_s < settle_s:
            before_m, after_m = self._at.width_m, self._towards(width_m)
            if after_m == before_m:
                waited_s += self._dt_s
            yield replace(self._at, width_m=after_m)

    def _opening(self, way: Iterator[_Target]) -> Iterator[_Target]:
        """The same way, while the hand goes on opening."""
        for target in way:
            yield replace(target, width_m=self._towards(self._manner.open_width_m))

    def _towards(self, width_m: float) -> float:
        """The width of this tick on the way to another."""
        limit_m = _FINGER_SPEED_M_S * self._dt_s
        return self._at.width_m + float(np.clip(width_m - self._at.width_m, -limit_m, limit_m))

    def _turn(self) -> Iterator[_Target]:
        """Turns clockwise until the stroke ends, the cap is tight, or the grip slips off."""
        manner, rate_rad_s = self._manner, 0.0
        felt_s = np.inf if self._feels_seat else 0.0  # known from the last stroke: no surprise
        while not self._is_tight and self._look().on and (left_rad := self._left_rad) > 1e-3:
            felt_s += self._dt_s if self._feels_seat else 0.0
            slowly = felt_s > manner.reaction_s
            brake_rad_s = float(np.sqrt(2 * _TURN_ACCEL_RAD_S2 * left_rad))
            goal_rad_s = min(manner.slow_rad_s if slowly else manner.turn_rad_s, brake_rad_s)
            change = _TURN_ACCEL_RAD_S2 * self._dt_s
            rate_rad_s += float(np.clip(goal_rad_s - rate_rad_s, -2 * change, change))
            yield replace(self._at, yaw_rad=self._at.yaw_rad - rate_rad_s * self._dt_s)


def _wrapped(angle_rad: float) -> float:
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)
