"""Translation or rotation of the tool: what of a command's half may pass, and what instead.

One judge for everything: a point passes when the step to it keeps speed, acceleration and jerk,
when the motion that it leads to can still be stopped within them, when neither the point nor the
way to rest leaves the region, and when the leash holds. Where the asked point does not pass, the
first that does of these is taken: the nearest allowed point, a step after it, half of that step,
the next point on the way to rest. The last one was judged before, so there always is one.

All of this follows from the rows that were emitted, from nothing else. So a second gate that is
given what the first one emitted judges alike, and changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Generic, NamedTuple

from robot_io.gate.follow import accel_at_tick, follow
from robot_io.gate.motion import SLACK, Borders, Bounds, Moving, PointT, Space, broken
from robot_io.gate.reasons import Reason
from robot_io.gate.stop_path import Stopping, Way, stopping
from robot_io.gate.track import Chosen, Track, at_rest
from robot_io.gate.vectors import ZERO, minus, norm, plus, scaled, shortened
from robot_io.so3 import Vector

_LEASHED = 1 - 1e-9  # of the leash: what was pulled to its end is within it, whatever the rounding
_EASING = 0.9  # of the share is aimed at: it shrinks on the way, and braking hard is stop and go
_SLOWEST = 1e-3  # share of the speed below which nothing is followed


class Codes(NamedTuple):
    """What the limits of a part are called."""

    speed: Reason
    accel: Reason
    jerk: Reason
    leash: Reason


@dataclass(frozen=True)
class Part(Generic[PointT]):
    """The limits of one half of the tool's motion. It remembers nothing: see `Track`."""

    space: Space[PointT]
    codes: Codes
    bounds: Bounds
    leash: float  # how far a point may lead the measured one
    period_s: float
    region: Borders[PointT] | None = None

    def choose(
        self,
        track: Track[PointT],
        asked: PointT,
        measured: PointT,
        dt_s: float,
        *,
        max_share: float = inf,
    ) -> Chosen[PointT]:
        """Where to go instead of `asked`: there, if nothing speaks against it.

        `max_share` of the speed is allowed, unless coming to rest takes more.
        """
        return _Step(self, track, dt_s, measured, max_share).towards(asked)

    def rest(self, track: Track[PointT], measured: PointT | None, dt_s: float) -> Chosen[PointT]:
        """On the way to rest, and on the leash of the measured point where there is one."""
        return _Step(self, track, dt_s, measured, inf).to_rest()

    def speed_shares(self, track: Track[PointT]) -> tuple[float, float]:
        """The speed as a share of the limit: now, and once the acceleration has run out."""
        return norm(track.moving.velocity) / self.bounds.speed, _peak(track) / self.bounds.speed

    def steady(self, target: Moving[PointT]) -> Moving[PointT]:
        """The target as it moves, without its jump where it jumped: a jump does not go on.

        It is one in three rows: for its velocity, and for the change of that and the change back.
        What moved before and goes on behind it is as slow as the slowest of them.
        """
        too_fast, too_sudden, too_abrupt = broken(target, self.bounds)
        if too_fast or too_sudden:
            return Moving(target.point)
        if not too_abrupt:
            return target
        before = minus(target.velocity, scaled(target.accel, self.period_s))
        return Moving(target.point, min(target.velocity, before, key=norm))


@dataclass
class _Step(Generic[PointT]):
    """One part in one tick."""

    part: Part[PointT]
    track: Track[PointT]
    dt_s: float
    measured: PointT | None
    max_share: float

    def towards(self, asked: PointT) -> Chosen[PointT]:
        part = self.part
        pulled = self._pulled()
        if pulled is not None:
            return Chosen(self._dragged(pulled), () if pulled == asked else (part.codes.leash,))
        target = self._to(self.track.target, asked)
        passing, faults = self._judged(asked, target)
        if passing is not None:
            return Chosen(passing._replace(target=target))
        target, reasons = self._target(asked)
        aim = self._reachable(target)
        why = tuple(dict.fromkeys((*reasons, *faults)))
        for point, accel_now in self._instead(asked, aim):
            passing, _ = self._judged(point, aim if point == aim.point else None)
            if passing is not None:
                return Chosen(passing._replace(target=target, accel_now=accel_now), why)
        return Chosen(self._resting()._replace(target=target), why)

    def to_rest(self) -> Chosen[PointT]:
        pulled = self._pulled()
        if pulled is not None:
            return Chosen(self._dragged(pulled), (self.part.codes.leash,))
        return Chosen(self._resting() if self.dt_s > 0 else self.track)

    # ---- what may be gone to

    def _pulled(self) -> PointT | None:
        """The end of the leash, where even the way to rest leads beyond it.

        Force comes first: this step keeps no other limit. It does not depend on what is asked.
        """
        if self.measured is None:
            return None
        to_rest = self.track.to_rest
        furthest = self.dt_s * (to_rest.peak if isinstance(to_rest, Stopping) else inf)
        ahead = norm(self.part.space.between(self.measured, self.track.moving.point))
        if ahead + (0.0 if to_rest is None else furthest) <= self.part.leash:
            return None
        return self._on_leash(self._rest_point)

    def _dragged(self, pulled: PointT) -> Track[PointT]:
        """Goes on as fast as it was pulled, unless that is too fast to go on with."""
        part = self.part
        if self.dt_s == 0:
            return at_rest(pulled)
        velocity = self._to(self.track.moving, pulled).velocity
        if not norm(velocity) <= part.bounds.speed:
            return at_rest(pulled)
        moving = Moving(pulled, velocity)
        return Track(moving, moving, stopping(moving, part.bounds, part.period_s))

    def _on_leash(self, point: PointT) -> PointT | None:
        """The point at the end of the leash instead of one beyond it."""
        assert self.measured is not None
        space, leash = self.part.space, self.part.leash
        ahead = space.between(self.measured, point)
        if norm(ahead) <= leash:
            return None
        return space.moved(self.measured, shortened(ahead, leash * _LEASHED))

    def _target(self, asked: PointT) -> tuple[Moving[PointT], list[Reason]]:
        """The nearest point to `asked` that the region allows, and what forbade it."""
        region = self.part.region
        point, reasons = (asked, []) if region is None else region.aim(asked)
        return self._to(self.track.target, point), reasons

    def _reachable(self, target: Moving[PointT]) -> Moving[PointT]:
        """The target, or the end of the leash, which rests: it only moves as the arm does."""
        leashed = self._on_leash(target.point)
        return target if leashed is None else Moving(leashed)

    def _instead(
        self, asked: PointT, aim: Moving[PointT]
    ) -> Iterator[tuple[PointT, Vector | None]]:
        """Points to try, and the acceleration that one comes with, where it is known."""
        part, here = self.part, self.track.moving
        if aim.point != asked:
            yield aim.point, None
        bounds = part.bounds.slower(min(max(_EASING * self.max_share, _SLOWEST), 1.0))
        gap = part.space.between(here.point, aim.point)
        steady, accel = part.steady(aim), self.track.accel_now
        if accel is None:
            first = follow(gap, here, here.accel, steady, bounds, self.dt_s)
            wanted = here.accel if first is None else first[1]
            accel = accel_at_tick(here, wanted, part.bounds, part.period_s)
        followed = follow(gap, here, accel, steady, bounds, self.dt_s)
        if followed is not None:
            velocity, accel = followed
            yield self._moved(velocity), accel
            yield self._moved(scaled(plus(velocity, self._rest_velocity), 0.5)), None

    # ---- the judge

    def _judged(
        self, point: PointT, target: Moving[PointT] | None
    ) -> tuple[Track[PointT] | None, list[Reason]]:
        """What follows when the part goes to `point`; None, and why, where it may not.

        `target` is given where the point is the target: there it must be able to go on with it.
        """
        codes = self.part.codes
        moving = self._to(self.track.moving, point)
        faults, to_rest = self._faults(moving)
        if self._on_leash(point) is not None:
            faults.append(codes.leash)
        if target is not None and target != moving and self._overshoots(moving, target):
            faults.append(codes.accel)
        if self.max_share < inf and not self._slow_enough(Track(moving, moving, to_rest)):
            faults.append(codes.speed)
        if not faults:
            return Track(moving, moving, to_rest), []
        return (self._resting(), []) if point == self._rest_point else (None, faults)

    def _faults(self, moving: Moving[PointT]) -> tuple[list[Reason], Stopping | Way | None]:
        """What a step breaks by itself or on the way to rest behind it, and that way."""
        part = self.part
        speed, accel, jerk = broken(moving, part.bounds)
        faults = [code for code, bad in zip(part.codes, (speed, accel, jerk), strict=False) if bad]
        if faults:
            return faults, None
        if moving.rests:
            return self._misplaced(moving.point), None
        stop = stopping(moving, part.bounds, part.period_s)
        if stop is None:
            return [part.codes.accel], None
        if not stop.peak <= part.bounds.speed * (1 + SLACK):
            return [part.codes.speed], None
        return self._led_astray(moving.point, stop)

    def _misplaced(self, point: PointT) -> list[Reason]:
        region = self.part.region
        return [] if region is None else region.broken(point, before=self.track.moving.point)

    def _led_astray(
        self, point: PointT, stop: Stopping
    ) -> tuple[list[Reason], Stopping | Way | None]:
        """What the region has against the point or against the way to rest from there."""
        region, period_s = self.part.region, self.part.period_s
        if region is None or region.distance_m(point) >= stop.reach(period_s):
            return [], stop
        way = stop.way()
        velocity, ticks = None, 0
        while velocity != ZERO:
            misplaced = self._misplaced(point)
            if misplaced:
                return misplaced, None
            ticks += 1
            velocity = way.velocity(ticks * period_s)
            point = self.part.space.moved(point, scaled(velocity, period_s))
        return [], way

    def _overshoots(self, moving: Moving[PointT], target: Moving[PointT]) -> bool:
        """Whether a point that is on its target now could not go on with it.

        Without this a step onto a target that rests would be followed by one past it.
        """
        bounds, period_s = self.part.bounds, self.part.period_s
        target = self.part.steady(target)
        velocity = plus(target.velocity, scaled(target.accel, period_s))
        accel = scaled(minus(velocity, moving.velocity), 1 / period_s)
        change = bounds.jerk * period_s * (1 + SLACK)
        return not (
            norm(accel) <= bounds.accel * (1 + SLACK)
            and norm(minus(accel, moving.accel)) <= change
            and norm(minus(target.accel, accel)) <= change
        )

    def _slow_enough(self, track: Track[PointT]) -> bool:
        most = max(self.max_share * self.part.bounds.speed, norm(self._rest_velocity))
        return _peak(track) <= most * (1 + SLACK)

    # ---- coming to rest

    def _resting(self) -> Track[PointT]:
        """The next point on the way to rest, and a newer way from there if there is one."""
        moving = self._to(self.track.moving, self._rest_point)
        faults, to_rest = self._faults(moving)
        if faults:
            to_rest = None if self._way is None else self._way.later(self.dt_s)
        return Track(moving, moving, to_rest)

    @cached_property
    def _way(self) -> Way | None:
        to_rest = self.track.to_rest
        return to_rest.way() if isinstance(to_rest, Stopping) else to_rest

    @cached_property
    def _rest_velocity(self) -> Vector:
        return ZERO if self._way is None else self._way.velocity(self.dt_s)

    @cached_property
    def _rest_point(self) -> PointT:
        """Inside the region, even if a tick that came early or late leads beyond its border."""
        here = self.track.moving.point
        if self._rest_velocity == ZERO:
            return here
        point = self._moved(self._rest_velocity)
        region = self.part.region
        if region is None or not region.broken(point, before=here):
            return point
        return region.aim(point)[0] if region.distance_m(here) >= 0 else here

    def _moved(self, velocity: Vector) -> PointT:
        return self.part.space.moved(self.track.moving.point, scaled(velocity, self.dt_s))

    def _to(self, moving: Moving[PointT], point: PointT) -> Moving[PointT]:
        return moving.to(point, self.part.space, self.dt_s, self.part.period_s)


def _peak(track: Track[PointT]) -> float:
    """The largest speed from the last step until rest."""
    to_rest = track.to_rest
    return to_rest.peak if isinstance(to_rest, Stopping) else norm(track.moving.velocity)
