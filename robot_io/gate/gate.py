"""The last word on every command before the arm sees it.

Order of the checks: finite, shape, unit quaternion → sequence, stamp, expiry → a measured pose
that an arm can have got to → measured force and torque → workspace → speed, acceleration and jerk
against the last ACCEPTED command → leash against the MEASURED pose → joints and geometry → finite
again. `docs/gate.md` says what each is worth.

What can be clipped is clipped (MODIFIED). What cannot be used makes the command brake to rest
within the limits and stay (HOLD). A stop is latched: only `release`, a human act, ends it. Where
limits contradict each other the leash (force) wins over all others.

This is software on a general-purpose computer: it limits commands, it does not protect people.
"""

from dataclasses import dataclass
from math import dist, inf

import numpy as np

from robot_io import so3
from robot_io.clock import NS_PER_S
from robot_io.errors import FeelforwardError
from robot_io.gate.body import Body
from robot_io.gate.limits import GateLimits, OnViolation
from robot_io.gate.look_ahead import Foreseen
from robot_io.gate.measured import Believed
from robot_io.gate.motion import SLACK, Bounds, Orientations, Positions
from robot_io.gate.part import Codes, Part
from robot_io.gate.pose import Pose, patched, row_fault, state_fault
from robot_io.gate.posture import Judged, Posture, PostureWatch
from robot_io.gate.reasons import GROUPS, Reason
from robot_io.gate.region import BeforePlane, InsideBox, OutsideBox, OutsideSphere, Region
from robot_io.gate.slow_down import SlowDown
from robot_io.gate.track import Chosen, Track, at_rest
from robot_io.gate.vectors import norm
from robot_io.so3 import Quaternion, Vector
from robot_io.types import ArmState, Command, Verdict, VerdictKind

_NO_TIME = 1e-3  # of a period: too short for a velocity


@dataclass(frozen=True, slots=True)
class _Last:
    """The last accepted row, and what went on with it."""

    row_8: np.ndarray
    travel: Track[Vector]
    turn: Track[Quaternion]
    width: float
    posture: Posture

    @property
    def pose(self) -> Pose:
        return Pose(self.travel.moving.point, self.turn.moving.point, self.width)


class CommandGate:
    """The gate for tool rows. See the module for what it checks and in which order.

    A command that keeps every limit passes bit for bit. The first command of a session starts at
    the measured pose; an arm whose measured pose is unusable then is not armed.
    """

    def __init__(self, limits: GateLimits, body: Body | None = None) -> None:
        if limits.geometry != "unchecked" and body is None:
            raise FeelforwardError(
                "gate.geometry has limits, but nobody gave the gate a model of the arm, so the arm"
                ' is not armed. Give it one, or say geometry = "unchecked".'
            )
        self._limits = limits
        self._travel, self._turn = _parts(limits)
        self._posture = PostureWatch(limits, body)
        self._believed = Believed(limits)
        self._rejects = _rejecting(limits.on_violation)
        self._last: _Last | None = None
        self._rejected: int | None = None  # chunk of which nothing passes any more
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
        """Raises FeelforwardError when the measured pose is unusable or jumped: the stop stays."""
        self._anchor(state)
        self._stop_reason = None

    def foresee(self, chunk_id: int, foreseen: Foreseen) -> None:
        """Somebody looked ahead: nothing of this chunk passes any more, if the limits say so.

        Where they say "clip", its commands are slowed down when they come to it.
        """
        if foreseen.reason in self._rejects:
            self._rejected = chunk_id

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        last = self._last if self._last is not None else self._anchor(state)
        dt_s = self._elapsed_s(now_ns)
        believed, fault = self._look(state, dt_s)
        reason = self._unusable(command, now_ns) or (Reason.CLOCK if dt_s == 0 else fault)
        self._feel(state)
        if self._stop_reason is not None or reason is not None or believed is None:
            return self._rest(str(reason), last, believed, dt_s)
        self._sequence = command.sequence
        if (
            command.provenance.chunk_id is not None
            and command.provenance.chunk_id == self._rejected
        ):
            return self._rest(Reason.CHUNK_REJECTED, last, believed, dt_s)
        return self._limited(command, last, believed, dt_s)

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        last = self._last if self._last is not None else self._anchor(state)
        dt_s = self._elapsed_s(now_ns)
        believed, _ = self._look(state, dt_s)
        self._feel(state)
        return self._rest(reason, last, believed, dt_s)

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> SlowDown:
        return SlowDown(row_D, velocity_V, travel=self._travel.bounds, turn=self._turn.bounds)

    def _anchor(self, state: ArmState) -> _Last:
        fault = self._state_fault(state)
        if fault is None and self._believed.jumps(state):
            fault = Reason.STATE_JUMPED
        if fault is not None:
            raise FeelforwardError(
                f"What the arm measures is unusable ({fault}: {state.row_D},"
                f" joints {state.joint_rad_J}, wrench {state.wrench_6}), so the arm is not armed;"
                " check the arm's connection and what its config says that it measures."
            )
        self._believed.anchor(state)
        pose = Pose.of(state.row_D)
        posture = self._posture.at_rest(state)
        self._last = _Last(
            state.row_D.copy(), at_rest(pose.position), at_rest(pose.quat), pose.width, posture
        )
        return self._last

    def _elapsed_s(self, now_ns: int) -> float:
        """Seconds since the last tick, at most two periods; 0 when time did not advance."""
        period_s, before_ns = self._limits.period_s, self._now_ns
        if before_ns is None:
            self._now_ns = now_ns
            return period_s
        self._now_ns = max(now_ns, before_ns)
        elapsed_s = max(now_ns - before_ns, 0) / NS_PER_S
        return 0.0 if elapsed_s < _NO_TIME * period_s else min(elapsed_s, 2 * period_s)

    def _unusable(self, command: Command, now_ns: int) -> Reason | None:
        fault = row_fault(command.row_D)
        if fault is not None:
            return fault
        if self._sequence is not None and not command.sequence > self._sequence:
            return Reason.SEQUENCE
        age_ns = now_ns - command.due_ns
        most_ns = self._limits.max_command_age_s * NS_PER_S
        if not age_ns <= most_ns:
            return Reason.EXPIRED
        return None if age_ns >= -most_ns else Reason.CLOCK

    def _state_fault(self, state: ArmState) -> Reason | None:
        feels = self._limits.touch.measured_force == "absent" or _wrench(state) is not None
        if state_fault(state.row_D) is not None or not feels:
            return Reason.STATE_UNUSABLE
        return self._posture.fault(state)

    def _look(self, state: ArmState, dt_s: float) -> tuple[ArmState | None, Reason | None]:
        """What to go by instead of what was measured, if anything, and why not by that itself."""
        fault = self._state_fault(state)
        if fault is not None:
            return None, fault
        believed, agrees = self._believed.look(state, dt_s)
        return believed, None if agrees else Reason.STATE_JUMPED

    def _feel(self, state: ArmState) -> None:
        """Latches a stop when the arm feels more than it may."""
        touch, wrench = self._limits.touch, _wrench(state)
        if touch.measured_force == "absent" or wrench is None:
            return
        fx, fy, fz, tx, ty, tz = wrench
        if not norm((fx, fy, fz)) <= touch.max_force_n:
            self.stop(Reason.FORCE)
        if not norm((tx, ty, tz)) <= touch.max_torque_nm:
            self.stop(Reason.TORQUE)

    def _limited(self, command: Command, last: _Last, state: ArmState, dt_s: float) -> Verdict:
        asked, measured = Pose.of(command.row_D), Pose.of(state.row_D)
        tool = self._tool(last, asked, measured, dt_s)
        given_8 = patched(command.row_D, asked, tool.pose)
        body = self._body(given_8, tool, last, state, dt_s)
        reasons = (*tool.reasons, *body.reasons)
        if self._rejects.intersection(reasons):
            self._rejected = command.provenance.chunk_id
            return self._rest(reasons[0], last, state, dt_s, more=reasons[1:])
        if body.reasons:
            tool = self._tool(last, asked, measured, dt_s, max_share=body.share)
            given_8 = patched(command.row_D, asked, tool.pose)
            body = self._body(given_8, tool, last, state, dt_s)
        if body.reasons:
            tool = self._to_rest(last, measured, dt_s)
            given_8 = patched(command.row_D, asked, tool.pose)
            body = self._body(given_8, tool, last, state, dt_s)
        if row_fault(given_8) is not None:
            return self._rest(Reason.NOT_FINITE, last, None, dt_s)
        self._last = _Last(given_8, tool.travel.track, tool.turn.track, tool.width, body.posture)
        if given_8 is command.row_D:
            return Verdict(VerdictKind.ACCEPTED, given_8)
        moved_m = dist(asked.position, tool.pose.position)
        turned_rad = norm(so3.between(asked.quat, tool.pose.quat))
        why = tuple(dict.fromkeys(reasons))
        return Verdict(VerdictKind.MODIFIED, given_8, why, moved_m, turned_rad)

    def _tool(
        self, last: _Last, asked: Pose, measured: Pose, dt_s: float, *, max_share: float = inf
    ) -> "_Tool":
        travel = self._travel.choose(
            last.travel, asked.position, measured.position, dt_s, max_share=max_share
        )
        turn = self._turn.choose(last.turn, asked.quat, measured.quat, dt_s, max_share=max_share)
        width, reasons = self._opened(asked.width, last.width, dt_s)
        return _Tool(travel, turn, width, (*travel.reasons, *turn.reasons, *reasons))

    def _to_rest(self, last: _Last, measured: Pose | None, dt_s: float) -> "_Tool":
        position, quat = (None, None) if measured is None else (measured.position, measured.quat)
        travel = self._travel.rest(last.travel, position, dt_s)
        turn = self._turn.rest(last.turn, quat, dt_s)
        return _Tool(travel, turn, last.width, (*travel.reasons, *turn.reasons))

    def _opened(self, asked: float, last: float, dt_s: float) -> tuple[float, list[Reason]]:
        reasons, width = [], min(max(asked, 0.0), self._limits.max_width_m)
        if width != asked:
            reasons.append(Reason.WIDTH)
        step = self._limits.max_width_speed_m_per_s * dt_s
        if not abs(width - last) <= step * (1 + SLACK):
            reasons.append(Reason.WIDTH_SPEED)
            width = last + (step if width > last else -step)
        return width, reasons

    def _body(
        self, row_8: np.ndarray, tool: "_Tool", last: _Last, state: ArmState, dt_s: float
    ) -> Judged:
        halves = (
            self._travel.speed_shares(tool.travel.track),
            self._turn.speed_shares(tool.turn.track),
        )
        now, soon = (max(shares) for shares in zip(*halves, strict=True))
        growth = soon / now if now > 0 else 1.0
        return self._posture.judge(row_8, last.posture, state, used=soon, growth=growth, dt_s=dt_s)

    def _rest(
        self,
        reason: str,
        last: _Last,
        state: ArmState | None,
        dt_s: float,
        *,
        more: tuple[Reason, ...] = (),
    ) -> Verdict:
        """Brakes to rest within the limits, keeps the leash, and says why."""
        tool = self._to_rest(last, None if state is None else Pose.of(state.row_D), dt_s)
        row_8 = patched(last.row_8, last.pose, tool.pose)
        posture = last.posture
        if state is not None and dt_s > 0:
            posture = self._body(row_8, tool, last, state, dt_s).posture
        self._last = _Last(row_8, tool.travel.track, tool.turn.track, tool.width, posture)
        first = self._stop_reason if self._stop_reason is not None else str(reason)
        kind = VerdictKind.STOPPED if self.stopped else VerdictKind.HOLD
        return Verdict(kind, row_8, tuple(dict.fromkeys((first, *more, *tool.reasons))))


@dataclass(frozen=True, slots=True)
class _Tool:
    """What the parts make of a command."""

    travel: Chosen[Vector]
    turn: Chosen[Quaternion]
    width: float
    reasons: tuple[Reason, ...]

    @property
    def pose(self) -> Pose:
        return Pose(self.travel.point, self.turn.point, self.width)


def _parts(limits: GateLimits) -> tuple[Part[Vector], Part[Quaternion]]:
    travel = Part(
        Positions(),
        Codes(Reason.SPEED, Reason.ACCELERATION, Reason.JERK, Reason.LEASH_FORCE),
        Bounds(limits.max_speed_m_per_s, limits.max_accel_m_per_s2, limits.max_jerk_m_per_s3),
        leash=limits.leash_m,
        period_s=limits.period_s,
        region=_region(limits),
    )
    turn = Part(
        Orientations(),
        Codes(Reason.TURN_SPEED, Reason.TURN_ACCELERATION, Reason.TURN_JERK, Reason.LEASH_TORQUE),
        Bounds(
            limits.max_turn_rad_per_s,
            limits.max_turn_accel_rad_per_s2,
            limits.max_turn_jerk_rad_per_s3,
        ),
        leash=limits.leash_rad,
        period_s=limits.period_s,
    )
    return travel, turn


def _region(limits: GateLimits) -> Region:
    return Region(
        [
            InsideBox(limits.workspace_low_m, limits.workspace_high_m),
            *(BeforePlane(each.point_m, each.normal) for each in limits.planes),
            *(OutsideBox(each.low_m, each.high_m) for each in limits.keep_out_boxes),
            *(OutsideSphere(each.centre_m, each.radius_m) for each in limits.keep_out_spheres),
        ]
    )


def _rejecting(chosen: OnViolation) -> frozenset[Reason]:
    """The reasons for which the rest of a chunk is dropped."""
    groups = chosen.model_dump()
    return frozenset(
        reason
        for name, reasons in GROUPS.items()
        if groups[name] == "reject_chunk"
        for reason in reasons
    )


def _wrench(state: ArmState) -> list[float] | None:
    """Six numbers that the arm feels, N and N·m; None where that is not what it measured."""
    wrench_6 = state.wrench_6
    if not isinstance(wrench_6, np.ndarray) or wrench_6.dtype.kind != "f":
        return None
    usable = wrench_6.shape == (6,) and np.isfinite(wrench_6).all()
    return wrench_6.tolist() if usable else None
