"""The last word on every command before the arm sees it.

Order of the checks: finite, shape, unit quaternion → sequence, expiry → workspace → speed and
acceleration against the last ACCEPTED command → leash against the MEASURED pose → finite again.

What can be clipped is clipped (MODIFIED). What cannot be used makes the command brake to rest
within the limits and stay (HOLD). A stop is latched: only `release`, a human act, ends it. Where
limits contradict each other the leash (force) wins over the workspace, the workspace over speed
and acceleration.

This is software on a general-purpose computer: it limits commands, it does not protect people.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import dist, isfinite, sqrt
from typing import Annotated, Protocol, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from robot_io import so3
from robot_io.clock import NS_PER_S
from robot_io.control.brake import SlowDown
from robot_io.control.follow import (
    SLACK,
    ZERO,
    Bounds,
    Room,
    brake,
    follow,
    is_legal,
    is_steady,
    minus,
    norm,
    plus,
    scaled,
    shortened,
)
from robot_io.errors import FeelforwardError
from robot_io.rows import UNIT_TOLERANCE
from robot_io.so3 import Quaternion, Vector
from robot_io.types import ArmState, Command, Verdict, VerdictKind

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]


class Reason(StrEnum):
    """Why a command was changed, held or stopped."""

    SHAPE = "shape"
    NOT_FINITE = "not_finite"
    NOT_UNIT = "not_unit"
    SEQUENCE = "sequence"  # not newer than the last command
    EXPIRED = "expired"
    CLOCK = "clock"  # the tick's stamp did not advance, or the command is due in the future
    STATE_UNUSABLE = "state_unusable"  # measured pose: shape, not finite, not unit
    WORKSPACE = "workspace"
    WIDTH = "width"
    SPEED = "speed"
    ACCELERATION = "acceleration"
    TURN_SPEED = "turn_speed"
    TURN_ACCELERATION = "turn_acceleration"
    WIDTH_SPEED = "width_speed"
    LEASH_FORCE = "leash_force"
    LEASH_TORQUE = "leash_torque"
    NO_PLAN = "no_plan"
    STATE_STALE = "state_stale"
    OPERATOR = "operator"  # a person pressed the software stop


class GateLimits(BaseModel):
    """Every limit of the gate. None has a default: a missing limit means the arm is not armed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period_s: Positive  # of commands; after a stall no more than two periods are made up for
    max_command_age_s: Positive
    workspace_low_m: Triple  # tool position in base
    workspace_high_m: Triple
    max_width_m: Positive
    max_speed_m_per_s: Positive
    max_accel_m_per_s2: Positive
    max_turn_rad_per_s: Positive
    max_turn_accel_rad_per_s2: Positive
    max_width_speed_m_per_s: Positive
    force_max_n: Positive
    stiffness_n_per_m: Positive  # the arm's own Cartesian stiffness
    torque_max_nm: Positive
    stiffness_nm_per_rad: Positive

    @model_validator(mode="after")
    def _workspace_has_volume(self) -> Self:
        low, high = self.workspace_low_m, self.workspace_high_m
        if not all(lo < hi for lo, hi in zip(low, high, strict=True)):
            raise ValueError(f"workspace_low_m = {low} must be below workspace_high_m = {high}")
        return self

    @property
    def leash_m(self) -> float:
        """How far a command may be ahead of the measured position: further is more force."""
        return self.force_max_n / self.stiffness_n_per_m

    @property
    def leash_rad(self) -> float:
        return self.torque_max_nm / self.stiffness_nm_per_rad


class Gate(Protocol):
    """What the control loop needs of a gate."""

    @property
    def stopped(self) -> bool:
        """Whether a stop is latched."""
        ...

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        """What may go to the arm in place of `command`. Once per tick."""
        ...

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        """What may go to the arm when there is no command. Once per tick."""
        ...

    def stop(self, reason: str) -> None:
        """Latches a stop; a second one changes nothing."""
        ...

    def release(self, state: ArmState) -> None:
        """A person ends the stop: the next command starts at the measured pose."""
        ...

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> SlowDown | None:
        """The way to rest from a moving row; None where rows have no inertia."""
        ...


@dataclass(frozen=True, slots=True)
class _Pose:
    """A tool row as floats."""

    position: Vector
    quat: Quaternion
    width: float

    @classmethod
    def of(cls, row_D: np.ndarray) -> "_Pose":
        x, y, z, qw, qx, qy, qz, width = row_D.tolist()
        unit = 1 / sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        return cls((x, y, z), (qw * unit, qx * unit, qy * unit, qz * unit), width)


@dataclass(frozen=True, slots=True)
class _Motion:
    """The last accepted command and how it moved (m/s; rad/s in base), for the next check."""

    row_D: np.ndarray
    pose: _Pose
    velocity: Vector = ZERO
    turning: Vector = ZERO


@dataclass(frozen=True, slots=True)
class _Target:
    """The last commanded pose and its velocity, to tell a moving target from a jump."""

    pose: _Pose
    velocity: Vector = ZERO
    turning: Vector = ZERO


class CommandGate:
    """The gate for tool rows. See the module for what it checks and in which order.

    A command that keeps every limit passes bit for bit. The first command of a session starts at
    the measured pose; an arm whose measured pose is unusable then is not armed.
    """

    def __init__(self, limits: GateLimits) -> None:
        self._limits = limits
        self._travel = Bounds(limits.max_speed_m_per_s, limits.max_accel_m_per_s2)
        self._turn = Bounds(limits.max_turn_rad_per_s, limits.max_turn_accel_rad_per_s2)
        self._motion: _Motion | None = None
        self._target: _Target | None = None
        self._sequence: int | None = None
        self._now_ns: int | None = None
        self._stop_reason: str | None = None

    @property
    def stopped(self) -> bool:
        return self._stop_reason is not None

    def stop(self, reason: str) -> None:
        if self._stop_reason is None:
            self._stop_reason = str(reason)

    def release(self, state: ArmState) -> None:
        """Raises FeelforwardError when the measured pose is unusable: the stop stays."""
        self._anchor(state)
        self._stop_reason = None

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        motion = self._motion if self._motion is not None else self._anchor(state)
        dt_s = self._elapsed_s(now_ns)
        reason = self._unusable(command, now_ns) or (Reason.CLOCK if dt_s == 0 else None)
        if reason is None and _row_fault(state.row_D) is not None:
            reason = Reason.STATE_UNUSABLE
        if self._stop_reason is not None or reason is not None:
            return self._rest(str(reason), motion, state, dt_s)
        self._sequence = command.sequence
        return self._limited(command, motion, _Pose.of(state.row_D), dt_s)

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        motion = self._motion if self._motion is not None else self._anchor(state)
        return self._rest(reason, motion, state, self._elapsed_s(now_ns))

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> SlowDown:
        return SlowDown(row_D, velocity_V, travel=self._travel, turn=self._turn)

    def _anchor(self, state: ArmState) -> _Motion:
        fault = _row_fault(state.row_D)
        if fault is not None:
            raise FeelforwardError(
                f"The arm's measured pose is unusable ({fault}: {state.row_D}), so the arm is not"
                " armed; check the arm's connection."
            )
        self._motion = _Motion(state.row_D.copy(), _Pose.of(state.row_D))
        self._target = None
        return self._motion

    def _elapsed_s(self, now_ns: int) -> float:
        """Seconds since the last tick, at most two periods; 0 when time did not advance."""
        period_s = self._limits.period_s
        before_ns, self._now_ns = self._now_ns, now_ns
        if before_ns is None:
            return period_s
        return min(max(now_ns - before_ns, 0) / NS_PER_S, 2 * period_s)

    def _unusable(self, command: Command, now_ns: int) -> Reason | None:
        fault = _row_fault(command.row_D)
        if fault is not None:
            return fault
        if self._sequence is not None and not command.sequence > self._sequence:
            return Reason.SEQUENCE
        age_ns = now_ns - command.due_ns
        if age_ns > self._limits.max_command_age_s * NS_PER_S:
            return Reason.EXPIRED
        if age_ns < -self._limits.max_command_age_s * NS_PER_S:
            return Reason.CLOCK
        return None

    def _limited(self, command: Command, last: _Motion, measured: _Pose, dt_s: float) -> Verdict:
        asked = _Pose.of(command.row_D)
        reasons: list[str] = []
        target = self._aim(asked, dt_s, reasons)
        position = self._travelled(target, last, dt_s, reasons)
        quat = self._turned(target, last, dt_s, reasons)
        width = self._opened(target.pose.width, last.pose.width, dt_s, reasons)
        leashed = self._leashed(_Pose(position, quat, width), measured, reasons)
        row_D = _patched(command.row_D, asked, leashed)
        if _row_fault(row_D) is not None:
            return self._rest(Reason.NOT_FINITE, last, None, dt_s)
        self._target = target
        self._advance(row_D, leashed, last, dt_s)
        if not reasons:
            return Verdict(VerdictKind.ACCEPTED, row_D)
        moved_m = dist(asked.position, leashed.position)
        turned_rad = norm(so3.between(asked.quat, leashed.quat))
        return Verdict(VerdictKind.MODIFIED, row_D, tuple(reasons), moved_m, turned_rad)

    def _aim(self, asked: _Pose, dt_s: float, reasons: list[str]) -> _Target:
        """The command inside the workspace, and how it moved since the last one."""
        limits = self._limits
        position = _boxed(asked.position, limits.workspace_low_m, limits.workspace_high_m)
        width = min(max(asked.width, 0.0), limits.max_width_m)
        if position != asked.position:
            reasons.append(Reason.WORKSPACE)
        if width != asked.width:
            reasons.append(Reason.WIDTH)
        pose, last = _Pose(position, asked.quat, width), self._target
        if last is None:
            return _Target(pose)
        velocity = scaled(minus(position, last.pose.position), 1 / dt_s)
        turning = scaled(so3.between(last.pose.quat, pose.quat), 1 / dt_s)
        return _Target(pose, velocity, turning)

    def _travelled(self, target: _Target, last: _Motion, dt_s: float, reasons: list[str]) -> Vector:
        here = last.pose.position
        gap = minus(target.pose.position, here)
        wanted = scaled(gap, 1 / dt_s)
        room = self._room(here)
        before = ZERO if self._target is None else self._target.velocity
        moving = _steady(target.velocity, before, self._travel, dt_s)
        speed_ok, accel_ok, room_ok = is_legal(
            wanted, moving, last.velocity, self._travel, dt_s, room
        )
        if speed_ok and accel_ok and room_ok:
            return target.pose.position
        if not speed_ok:
            reasons.append(Reason.SPEED)
        if not accel_ok:
            reasons.append(Reason.ACCELERATION)
        if not room_ok and Reason.WORKSPACE not in reasons:
            reasons.append(Reason.WORKSPACE)
        velocity = follow(gap, moving, last.velocity, self._travel, dt_s, room)
        return self._reached(here, velocity, dt_s)

    def _turned(
        self, target: _Target, last: _Motion, dt_s: float, reasons: list[str]
    ) -> Quaternion:
        here = last.pose.quat
        gap = so3.between(here, target.pose.quat)
        wanted = scaled(gap, 1 / dt_s)
        before = ZERO if self._target is None else self._target.turning
        moving = _steady(target.turning, before, self._turn, dt_s)
        speed_ok, accel_ok, _ = is_legal(wanted, moving, last.turning, self._turn, dt_s, None)
        if speed_ok and accel_ok:
            return target.pose.quat
        if not speed_ok:
            reasons.append(Reason.TURN_SPEED)
        if not accel_ok:
            reasons.append(Reason.TURN_ACCELERATION)
        turning = follow(gap, moving, last.turning, self._turn, dt_s, None)
        return so3.multiply(so3.exponential(scaled(turning, dt_s)), here)

    def _opened(self, width: float, last_width: float, dt_s: float, reasons: list[str]) -> float:
        step = self._limits.max_width_speed_m_per_s * dt_s
        if abs(width - last_width) <= step * (1 + SLACK):
            return width
        reasons.append(Reason.WIDTH_SPEED)
        return last_width + (step if width > last_width else -step)

    def _leashed(self, pose: _Pose, measured: _Pose, reasons: list[str]) -> _Pose:
        limits = self._limits
        ahead = minus(pose.position, measured.position)
        twist = so3.between(measured.quat, pose.quat)
        position, quat = pose.position, pose.quat
        if not norm(ahead) <= limits.leash_m:
            reasons.append(Reason.LEASH_FORCE)
            position = plus(measured.position, shortened(ahead, limits.leash_m))
        if not norm(twist) <= limits.leash_rad:
            reasons.append(Reason.LEASH_TORQUE)
            part = shortened(twist, limits.leash_rad)
            quat = so3.multiply(so3.exponential(part), measured.quat)
        return _Pose(position, quat, pose.width)

    def _room(self, here: Vector) -> Room:
        low, high = self._limits.workspace_low_m, self._limits.workspace_high_m
        bx, by, bz = (max(p - lo, 0.0) for p, lo in zip(here, low, strict=True))
        ax, ay, az = (max(hi - p, 0.0) for p, hi in zip(here, high, strict=True))
        return Room((bx, by, bz), (ax, ay, az))

    def _reached(self, here: Vector, velocity: Vector, dt_s: float) -> Vector:
        """Where the velocity leads; rounding does not lead out of the workspace."""
        low, high = self._limits.workspace_low_m, self._limits.workspace_high_m
        there = plus(here, scaled(velocity, dt_s))
        return _boxed(there, low, high) if here == _boxed(here, low, high) else there

    def _rest(self, reason: str, last: _Motion, state: ArmState | None, dt_s: float) -> Verdict:
        """Brakes to rest within the limits, keeps the leash, and says why."""
        here = last.pose
        pose = here
        if dt_s > 0 and (last.velocity != ZERO or last.turning != ZERO):
            velocity = brake(last.velocity, self._travel, dt_s, self._room(here.position))
            turning = brake(last.turning, self._turn, dt_s, None)
            quat = so3.multiply(so3.exponential(scaled(turning, dt_s)), here.quat)
            pose = _Pose(self._reached(here.position, velocity, dt_s), quat, here.width)
        reasons = [self._stop_reason if self._stop_reason is not None else str(reason)]
        if state is not None and _row_fault(state.row_D) is None:
            pose = self._leashed(pose, _Pose.of(state.row_D), reasons)
        row_D = _patched(last.row_D, here, pose)
        self._target = None
        if dt_s > 0:
            self._advance(row_D, pose, last, dt_s)
        kind = VerdictKind.STOPPED if self.stopped else VerdictKind.HOLD
        return Verdict(kind, row_D, tuple(reasons))

    def _advance(self, row_D: np.ndarray, pose: _Pose, last: _Motion, dt_s: float) -> None:
        """Remembers what was accepted, with the velocity it really had.

        The leash may have pulled further than a speed limit allows: that is no motion to go on
        with, so the next command starts from rest.
        """
        velocity = scaled(minus(pose.position, last.pose.position), 1 / dt_s)
        turning = scaled(so3.between(last.pose.quat, pose.quat), 1 / dt_s)
        if norm(velocity) > self._travel.speed * (1 + 2 * SLACK):
            velocity = ZERO
        if norm(turning) > self._turn.speed * (1 + 2 * SLACK):
            turning = ZERO
        self._motion = _Motion(row_D, pose, velocity, turning)


class VectorGate:
    """The gate for plain vectors: shape, finite, inside a box."""

    def __init__(self, low_D: np.ndarray, high_D: np.ndarray) -> None:
        low_D, high_D = np.asarray(low_D, np.float64), np.asarray(high_D, np.float64)
        if low_D.shape != high_D.shape or not np.all(low_D < high_D):
            raise ValueError(f"low_D = {low_D} must be below high_D = {high_D}, of equal shape.")
        self._low_D, self._high_D = low_D, high_D
        self._last_D: np.ndarray | None = None
        self._stop_reason: str | None = None

    @property
    def stopped(self) -> bool:
        return self._stop_reason is not None

    def stop(self, reason: str) -> None:
        if self._stop_reason is None:
            self._stop_reason = str(reason)

    def release(self, state: ArmState) -> None:
        self._anchor(state)
        self._stop_reason = None

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        fault = _vector_fault(command.row_D, len(self._low_D))
        if fault is not None or self.stopped:
            return self.hold(str(fault), state, now_ns)
        row_D = np.clip(command.row_D, self._low_D, self._high_D)
        self._last_D = row_D
        moved = float(np.linalg.norm(row_D - command.row_D))
        if moved == 0:
            return Verdict(VerdictKind.ACCEPTED, command.row_D)
        return Verdict(VerdictKind.MODIFIED, row_D, (Reason.WORKSPACE,), moved)

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        last_D = self._last_D if self._last_D is not None else self._anchor(state)
        if self._stop_reason is not None:
            return Verdict(VerdictKind.STOPPED, last_D, (self._stop_reason,))
        return Verdict(VerdictKind.HOLD, last_D, (str(reason),))

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> None:
        return None

    def _anchor(self, state: ArmState) -> np.ndarray:
        fault = _vector_fault(state.row_D, len(self._low_D))
        if fault is not None:
            raise FeelforwardError(
                f"The measured position is unusable ({fault}: {state.row_D}), so nothing is"
                " armed; check the task."
            )
        self._last_D = state.row_D.copy()
        return self._last_D


def _vector_fault(row_D: np.ndarray, size: int) -> Reason | None:
    if not isinstance(row_D, np.ndarray) or row_D.shape != (size,) or row_D.dtype.kind != "f":
        return Reason.SHAPE
    return None if np.isfinite(row_D).all() else Reason.NOT_FINITE


def _row_fault(row_D: np.ndarray) -> Reason | None:
    if not isinstance(row_D, np.ndarray) or row_D.shape != (8,) or row_D.dtype.kind != "f":
        return Reason.SHAPE
    numbers = row_D.tolist()
    if not all(isfinite(number) for number in numbers):
        return Reason.NOT_FINITE
    w, x, y, z = numbers[3:7]
    if not abs(sqrt(w * w + x * x + y * y + z * z) - 1) <= UNIT_TOLERANCE:
        return Reason.NOT_UNIT
    return None


def _steady(now: Vector, before: Vector, bounds: Bounds, dt_s: float) -> Vector:
    """The velocity of a target that moves as a legal point does; none when it jumped."""
    return now if is_steady(now, before, bounds, dt_s) else ZERO


def _boxed(position: Vector, low: Vector, high: Vector) -> Vector:
    x, y, z = (min(max(p, lo), hi) for p, lo, hi in zip(position, low, high, strict=True))
    return (x, y, z)


def _patched(row_D: np.ndarray, asked: _Pose, given: _Pose) -> np.ndarray:
    """The row with only those parts rewritten that were changed: the rest bit for bit."""
    if given == asked:
        return row_D
    patched_D = row_D.copy()
    if given.position != asked.position:
        patched_D[:3] = given.position
    if given.quat != asked.quat:
        patched_D[3:7] = given.quat
    if given.width != asked.width:
        patched_D[7] = given.width
    return patched_D
