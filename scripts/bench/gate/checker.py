"""Did the gate keep its limits, and did the arm? An opinion of its own, for `bench gate`.

It imports nothing of ours: rotations are matrices here, limits are read from the TOML file as they
stand there, and what was unusable is decided anew. What a verdict says of itself counts for nothing
except its kind (a stop must be one). Units: m, rad, s, N. Rows: `x y z qw qx qy qz width`.

Where limits contradict each other the force comes first. So a command may be faster than the speed
limit only when it lies on the leash, and only by as much as the measured pose ran away from the
last command; it may be outside the workspace only as far as the arm itself is, or as it was before.

    last ──speed──▶ free        free lies at most speed * dt from last;
                     ╲          the leash then pulls it straight towards the measured pose,
         measured ◀───╲         by what it is too far away:
            (leash)             |given - last| <= step + max(0, |last - measured| + step - leash)
"""

import tomllib
from collections import Counter, deque
from dataclasses import dataclass, field
from math import acos, atan2, atanh, cos, e, exp, inf, isfinite, pi, sin, sqrt
from pathlib import Path
from typing import Any

import numpy as np

RELATIVE = 1e-5  # tolerance: rounding of differences
UNEVEN = 1e-3  # likewise, of accelerations while ticks do not come a period apart
TINY_M, TINY_RAD = 1e-9, 1e-7
TINY_ACCEL, TINY_JERK = 1e-5, 1e-1  # rounding of positions, twice and thrice over dt
UNIT_OFF = 2e-3  # a quaternion this far from unit is certainly unusable
REACH_M = 2.0  # no arm of ours measures itself further away from its base: such a state is a lie
ARM_OVERSHOOT = 1.3  # an impedance of damping ratio 1 follows a velocity with up to 1.27 of it
STEADY_FORCE = 1.05
STEADY_S = 0.3
STOPPED_ARM_M_PER_S = 0.01
UNSETTLED_TICKS = 60
CALM_S = 1.0  # without pushes, contacts and false states the arm is judged by the commands alone
RESTING = ("hold", "stopped")

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Pose = tuple[Vector, Matrix]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the config says; None for a limit that it does not have."""

    period_s: float
    max_command_age_s: float
    low_m: Vector
    high_m: Vector
    planes: tuple[tuple[Vector, Vector], ...]  # point, normal: the tool is where that points to
    boxes: tuple[tuple[Vector, Vector], ...]  # low, high: the tool is outside
    spheres: tuple[tuple[Vector, float], ...]  # centre, radius: likewise
    felt: tuple[float, float] | None  # N, N·m: more than this must stop the gate
    max_width_m: float
    speed: tuple[float, float]  # of translation, of rotation
    accel: tuple[float, float]
    jerk: tuple[float, float] | None
    width_speed_m_per_s: float
    leash: tuple[float, float]
    force_max_n: float
    torque_max_nm: float
    stiffness_n_per_m: float
    measured_speed: tuple[float, float]  # no arm is faster: what it measures neither

    @classmethod
    def read(cls, robot: Path, changed: dict[str, Any] | None = None) -> "Limits":
        gate = tomllib.loads(robot.read_text(encoding="utf-8"))["gate"]
        return cls.of({**gate, **(changed if changed is not None else {})})

    @classmethod
    def of(cls, gate: dict[str, Any]) -> "Limits":
        has_jerk = "max_jerk_m_per_s3" in gate
        jerk = (gate["max_jerk_m_per_s3"], gate["max_turn_jerk_rad_per_s3"]) if has_jerk else None
        return cls(
            period_s=gate["period_s"],
            max_command_age_s=gate["max_command_age_s"],
            low_m=tuple(gate["workspace_low_m"]),
            high_m=tuple(gate["workspace_high_m"]),
            planes=tuple((tuple(p["point_m"]), tuple(p["normal"])) for p in gate.get("planes", ())),
            boxes=tuple(
                (tuple(b["low_m"]), tuple(b["high_m"])) for b in gate.get("keep_out_boxes", ())
            ),
            spheres=tuple(
                (tuple(s["centre_m"]), s["radius_m"]) for s in gate.get("keep_out_spheres", ())
            ),
            felt=_felt(gate.get("touch", {})),
            max_width_m=gate["max_width_m"],
            speed=(gate["max_speed_m_per_s"], gate["max_turn_rad_per_s"]),
            accel=(gate["max_accel_m_per_s2"], gate["max_turn_accel_rad_per_s2"]),
            jerk=jerk,
            width_speed_m_per_s=gate["max_width_speed_m_per_s"],
            leash=(
                gate["force_max_n"] / gate["stiffness_n_per_m"],
                gate["torque_max_nm"] / gate["stiffness_nm_per_rad"],
            ),
            force_max_n=gate["force_max_n"],
            torque_max_nm=gate["torque_max_nm"],
            stiffness_n_per_m=gate["stiffness_n_per_m"],
            measured_speed=(
                gate["measured"]["max_speed_m_per_s"],
                gate["measured"]["max_turn_rad_per_s"],
            ),
        )

    def depths_m(self, place: Vector) -> list[tuple[str, float]]:
        """Of each rule about places: how far it is broken; below 0 where it is kept."""
        beyond = _minus(self.low_m, place) + _minus(place, self.high_m)
        found = [("outside_workspace_m", max(beyond))]
        for point, normal in self.planes:
            found.append(("behind_plane_m", -_dot(_minus(place, point), normal)))
        for low, high in self.boxes:
            found.append(("in_keep_out_box_m", min(_minus(place, low) + _minus(high, place))))
        for centre, radius in self.spheres:
            found.append(("in_keep_out_sphere_m", radius - _norm(_minus(place, centre))))
        return found

    def swing_m(self, heft: "Heft") -> float:
        """The furthest that an arm swings beyond commands that end at a border.

        Of commands up to full speed v the worst stop dead there, and a spring's answer to that is
        v / w at most times p, w² = k/m, z = damping / (2 sqrt(k m)):

            z < 1   p = exp(-z/s acos z),  s = sqrt(1 - z²)
            z = 1   p = 1/e
            z > 1   p = exp(-z/s atanh(s/z)),  s = sqrt(z² - 1)

        With z < 1 it also swings back, by the share q = exp(-pi z/s), and commands that turned
        round at each of these times before (2 v) add 2 (q + q² + ...). Braking within the limits
        takes some of it away, how much depends on ticks that may be late.
        """
        w = sqrt(self.stiffness_n_per_m / heft.mass_kg)
        z = heft.damping_n_s_per_m / (2 * w * heft.mass_kg)
        s = sqrt(abs(1 - z * z))
        if s < 1e-6:
            return self.speed[0] / (w * e)
        if z > 1:
            return self.speed[0] / w * exp(-z / s * atanh(s / z))
        back = exp(-pi * z / s)
        return self.speed[0] / w * exp(-z / s * acos(z)) * (1 + back) / (1 - back)

    def rest_s(self, axis: int) -> float:
        """The longest that braking from full speed may take, a jerk limit's ramps included."""
        ramp_s = 0.0 if self.jerk is None else self.accel[axis] / self.jerk[axis]
        return self.speed[axis] / self.accel[axis] + 4 * ramp_s + 3 * self.period_s


@dataclass(frozen=True, slots=True)
class Seen:
    """One tick: what the gate was told, and what it gave."""

    now_ns: int
    row: Any  # commanded, whatever that was; None for a tick without a command
    sequence: Any
    due_ns: Any
    measured: Any
    wrench: Any  # that the arm measured; None where it does not
    kind: str  # of the verdict: "accepted", "modified", "hold", "stopped"
    given: Any


@dataclass(frozen=True, slots=True)
class Heft:
    """How the spring that pulls the arm feels it, along the way in which it is heaviest."""

    mass_kg: float
    damping_n_s_per_m: float


@dataclass(frozen=True, slots=True)
class ArmSeen:
    """What the simulated arm did since the last tick, and whether others had a hand in it."""

    position: Vector
    speed_m_per_s: float  # the largest
    contact_n: float  # with what blocks it; along its normal
    # What the tool does when that contact goes 1 m into what blocks it: m/m, rad/m; and the work
    # on that way that is not the spring's, N: `_share`.
    lever: tuple[float, float, float]
    heft: Heft
    disturbed: bool  # pushed, touching something, or misled
    pushed: bool  # or misled: the command that it followed came of a false pose


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken limit."""

    limit: str
    got: float
    allowed: float
    tick: int

    def __str__(self) -> str:
        return f"{self.limit} = {self.got:.6g} at tick {self.tick}, allowed {self.allowed:.6g}"


@dataclass(slots=True)
class _Way:
    """One half of the motion (translation or rotation) up to the last tick."""

    velocity: Vector = (0.0, 0.0, 0.0)
    accel: Vector = (0.0, 0.0, 0.0)
    torn: bool = False  # the leash pulled harder than the speed limit: no motion to go on from
    free: int = 9  # ticks since the leash had a say
    rest_s: float = 0.0  # how long there has been nothing usable to follow
    rest_speed: float = 0.0  # when that began, or when the leash last pulled

    @property
    def speed(self) -> float:
        return _norm(self.velocity)


@dataclass(slots=True)
class Checker:
    """Tell it everything in order: `anchor`, then `tick` by `tick`, `stop` and `release`."""

    limits: Limits
    judged: Counter[str] = field(default_factory=Counter)  # how often each limit was judged
    largest: dict[str, float] = field(default_factory=dict)  # share of each limit that was used
    _ticks: int = 0
    _found: list[Violation] = field(default_factory=list)
    _now_ns: int | None = None
    _place: Vector = (0.0, 0.0, 0.0)
    _depths_m: list[tuple[str, float]] = field(default_factory=list)  # of that place
    _rotation: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    _width: float = 0.0
    _ways: tuple[_Way, _Way] = field(default_factory=lambda: (_Way(), _Way()))
    _pose: Pose | None = None  # that is believed of what the arm measured
    _doubts: bool = False  # it is not what was measured
    _agreed: int = 0  # states that moved no faster than an arm
    _sequence: Any = None
    _stopped: bool = False
    _even: bool = True  # the last tick came a period after the one before
    _unsettled_ticks: int = 0  # in which a wall may ask for more than the acceleration
    _calm_s: float = 0.0
    _swing_m: float = 0.0  # that the arm is capable of, the most since it has been calm
    _inside_s: float = 0.0  # the commands have been inside the workspace
    _presses: deque[tuple[float, float]] = field(default_factory=deque)  # (s, share), unpushed
    _pressed_s: float = 0.0  # of all of them

    def anchor(self, measured_8: np.ndarray) -> None:
        """The session begins at this measured pose, at rest; a stop from before stays."""
        self._place, self._rotation, self._width = _parts(measured_8)
        self._pose = self._place, self._rotation
        self._depths_m = self.limits.depths_m(self._place)
        self._ways = (_Way(), _Way())

    def release(self, measured_8: np.ndarray) -> None:
        """A person ended the stop."""
        self._stopped = False
        self.anchor(measured_8)

    def stop(self) -> None:
        """Somebody stopped the gate."""
        if not self._stopped:
            self._stopped = True
            for way in self._ways:
                way.rest_s = 0.0

    @property
    def doubts(self) -> bool:
        """Whether the last measured pose is further from before than an arm gets."""
        return self._doubts

    def tick(self, seen: Seen) -> list[Violation]:
        """The limits that this tick broke."""
        self._found = []
        self._ticks += 1
        dt_s = self._elapsed_s(seen.now_ns)
        if not self._well_formed(seen.given):
            return self._found
        place, rotation, width = _parts(seen.given)
        feels = self._feels(seen.wrench)  # which may be a stop
        usable = feels and _state_fault(seen.measured) is None
        measured = self._believed(*_parts(seen.measured)[:2], dt_s) if usable else None
        self._kind(seen, dt_s, followable=measured is not None and not self._doubts)
        resting = self._resting(seen, measured is not None and not self._doubts, dt_s)
        ahead = self._ahead(place, rotation, measured)
        depths_m = self.limits.depths_m(place)
        self._places(depths_m, width, measured, ahead[0])
        if _deepest_m(depths_m) > 0:
            self._unsettled_ticks = UNSETTLED_TICKS
        self._opening(width, dt_s, resting=resting)
        moved = (_minus(place, self._place), _turn(self._rotation, rotation))
        last_ahead = self._ahead(self._place, self._rotation, measured, judge=False)
        for axis in (0, 1):
            self._motion(axis, moved[axis], ahead[axis], last_ahead[axis], dt_s, resting=resting)
        self._place, self._rotation, self._width = place, rotation, width
        self._depths_m = depths_m
        return self._found

    def arm(self, seen: ArmSeen, dt_s: float) -> list[Violation]:
        """What the arm itself broke; call it after the tick whose command it followed."""
        self._found = []
        self._calm_s = 0.0 if seen.disturbed else self._calm_s + dt_s
        self._inside_s = 0.0 if _deepest_m(self._depths_m) > 0 else self._inside_s + dt_s
        limits, calm = self.limits, self._calm_s > 0
        self._swing_m = max(self._swing_m, limits.swing_m(seen.heft)) if calm else 0.0
        if self._calm_s > CALM_S:
            fastest = limits.speed[0] * ARM_OVERSHOOT
            self._above("arm_speed_m_per_s", seen.speed_m_per_s, fastest)
            if self._inside_s > CALM_S:
                outside_m = max(_deepest_m(limits.depths_m(seen.position)), 0.0)
                self._above("arm_outside_workspace_m", outside_m, self._swing_m)
            if self._stopped and self._ways[0].rest_s > limits.rest_s(0) + CALM_S:
                self._above("arm_moves_when_stopped", seen.speed_m_per_s, STOPPED_ARM_M_PER_S)
        lasting_share = self._lasting_share(seen, dt_s)
        if lasting_share > 0:
            most_n = limits.force_max_n
            self._above("arm_force_n", lasting_share * most_n, most_n * STEADY_FORCE)
        return self._found

    def _share(self, seen: ArmSeen) -> float:
        """Of what the spring may press with at this place: the law of the lever.

        Let the place of contact go 1 m into what it presses, as the arm's joints allow it. The
        spring then takes the tool `travel` m along and turns it by `turn` rad: its work is at most
        force * travel + torque * turn, and what is pressed takes up that and the work of the rest.
        """
        travel, turn, rest_n = seen.lever
        most_n = self.limits.force_max_n * travel + self.limits.torque_max_nm * turn
        return (seen.contact_n - rest_n) / most_n

    def _lasting_share(self, seen: ArmSeen, dt_s: float) -> float:
        """All the last `STEADY_S`, unpushed, at rest; a blow passes."""
        if seen.pushed or seen.speed_m_per_s > STOPPED_ARM_M_PER_S:
            self._presses.clear()
            self._pressed_s = 0.0
            return 0.0
        self._presses.append((dt_s, self._share(seen)))
        self._pressed_s += dt_s
        while self._pressed_s - self._presses[0][0] >= STEADY_S:
            self._pressed_s -= self._presses.popleft()[0]
        if self._pressed_s < STEADY_S:
            return 0.0
        return min(share for _, share in self._presses)

    # ---- one kind of limit each

    def _elapsed_s(self, now_ns: int) -> float:
        """Seconds that a motion may have taken: time that went by, of which two periods count.

        A stamp that is not newer than the newest so far is no time at all.
        """
        period_s = self.limits.period_s
        if self._now_ns is None:
            self._now_ns = now_ns
            return period_s
        dt_s = max(now_ns - self._now_ns, 0) / 1e9
        self._now_ns = max(now_ns, self._now_ns)
        if dt_s > 0:
            self._even = abs(dt_s / period_s - 1) < 1e-6
            left = max(self._unsettled_ticks - 1, 0)
            self._unsettled_ticks = left if self._even else UNSETTLED_TICKS
        return min(dt_s, 2 * period_s)

    def _well_formed(self, given: Any) -> bool:
        """Whether there is anything to judge further."""
        self.judged["well_formed"] += 1
        fault = _fault(given)
        if fault is not None:
            self._found.append(Violation(f"given_{fault}", inf, 0.0, self._ticks))
        return fault is None

    def _feels(self, wrench: Any) -> bool:
        """Whether the arm measured what it should; more than is allowed is a stop."""
        if self.limits.felt is None:
            return True
        if not self.measures(wrench):
            return False
        fx, fy, fz, tx, ty, tz = wrench.tolist()
        most_n, most_nm = self.limits.felt
        if _norm((fx, fy, fz)) > most_n or _norm((tx, ty, tz)) > most_nm:
            self.stop()
        return True

    def measures(self, wrench: Any) -> bool:
        """Whether this is what an arm says that feels what it must; no other is armed."""
        if self.limits.felt is None:
            return True
        if not isinstance(wrench, np.ndarray) or wrench.shape != (6,) or wrench.dtype.kind != "f":
            return False
        return all(isfinite(each) for each in wrench.tolist())

    def _believed(self, place: Vector, rotation: Matrix, dt_s: float) -> Pose:
        """Where the arm is by what it measured, as far as it can have got there since before.

        It goes there by `measured_speed`, in a period at least, straight and by the shortest turn.
        `_doubts` says whether it is elsewhere. The first state of all may itself be false: until
        two agreed, another one takes its place.
        """
        before, self._pose = self._pose, (place, rotation)
        self._doubts = False
        if before is None:
            return self._pose
        time_s = max(dt_s, self.limits.period_s)
        way, turn = _minus(place, before[0]), _turn(before[1], rotation)
        most_m, most_rad = (speed * time_s for speed in self.limits.measured_speed)
        share = max(_norm(way) / most_m, _norm(turn) / most_rad)
        self._doubts = not share <= 1 + RELATIVE
        self._agreed += not self._doubts
        if self._doubts and self._agreed >= 2:
            there = _minus(before[0], _scaled(_cut(way, most_m), -1.0))
            self._pose = there, _turned(before[1], _cut(turn, most_rad))
        return self._pose

    def _kind(self, seen: Seen, dt_s: float, *, followable: bool) -> None:
        """A stop is latched, and what cannot be used is not followed."""
        self.judged["latched"] += self._stopped
        if (seen.kind == "stopped") is not self._stopped:
            self._found.append(Violation("left_or_entered_stopped_by_itself", 1, 0, self._ticks))
        if seen.kind in RESTING:
            return
        problem = "clock" if dt_s == 0 else self._unusable(seen, followable=followable)
        self.judged["usable"] += 1
        if problem is not None:
            self._found.append(Violation(f"followed_{problem}", 1, 0, self._ticks))
        self._sequence = seen.sequence

    def _unusable(self, seen: Seen, *, followable: bool) -> str | None:
        """Why this command or state must not be followed; None when it may be."""
        fault = _fault(seen.row)
        if fault is not None:
            return f"command_{fault}"
        if not followable:
            return "unusable_state"
        if self._sequence is not None and not seen.sequence > self._sequence:
            return "old_sequence"
        age_s = (seen.now_ns - seen.due_ns) / 1e9
        return None if abs(age_s) <= self.limits.max_command_age_s * (1 + 1e-9) else "age"

    def _resting(self, seen: Seen, usable: bool, dt_s: float) -> bool:
        """Whether nothing but braking is allowed, and since when."""
        resting = self._stopped or seen.row is None or not usable or seen.kind in RESTING
        for way in self._ways:
            if way.rest_s == 0.0:
                way.rest_speed = way.speed
            way.rest_s = way.rest_s + dt_s if resting else 0.0
        return resting

    def _ahead(
        self,
        place: Vector,
        rotation: Matrix,
        measured: Pose | None,
        *,
        judge: bool = True,
    ) -> tuple[float, float]:
        """How far a command leads the measured pose, m and rad: more is more force."""
        if measured is None:
            return 0.0, 0.0
        ahead = _norm(_minus(place, measured[0])), _norm(_turn(measured[1], rotation))
        if judge:
            self._above("leash_m", ahead[0], self.limits.leash[0], TINY_M)
            self._above("leash_rad", ahead[1], self.limits.leash[1], TINY_RAD)
        return ahead

    def _places(
        self,
        depths_m: list[tuple[str, float]],
        width: float,
        measured: Pose | None,
        ahead_m: float,
    ) -> None:
        before = self._depths_m
        pulled = measured is not None and ahead_m >= self.limits.leash[0] * (1 - RELATIVE)
        there = self.limits.depths_m(measured[0]) if measured is not None and pulled else before
        rules = zip(depths_m, before, there, strict=True)
        for (name, depth), (_, depth_before), (_, depth_there) in rules:
            if pulled and name.startswith("in_keep_out"):
                continue  # the leash pulls straight, also through what lies in between
            self._above(name, max(depth, 0.0), max(0.0, depth_before, depth_there), TINY_M)
        lowest, widest = min(0.0, self._width), max(self.limits.max_width_m, self._width)
        self._above("width_m", width, widest, TINY_M)
        self._above("width_below_0_m", -width, -lowest, TINY_M)

    def _opening(self, width: float, dt_s: float, *, resting: bool) -> None:
        step_m = 0.0 if resting else self.limits.width_speed_m_per_s * dt_s
        self._above("width_speed_m_per_tick", abs(width - self._width), step_m, TINY_M)

    def _motion(
        self,
        axis: int,
        moved: Vector,
        ahead: float,
        last_ahead: float,
        dt_s: float,
        *,
        resting: bool,
    ) -> None:
        limits, way = self.limits, self._ways[axis]
        name, tiny = ("", TINY_M) if axis == 0 else ("turn_", TINY_RAD)
        leash, far = limits.leash[axis], _norm(moved)
        on_leash = ahead >= leash * (1 - RELATIVE)
        fastest = self._rest_bound(axis) if resting else limits.speed[axis]
        pulled = max(0.0, last_ahead + fastest * dt_s - leash) if on_leash else 0.0
        limit = f"{name}{'resting_' if resting else ''}step"
        self._above(limit, far, fastest * dt_s + pulled, tiny)
        if dt_s == 0:
            way.torn, way.free = way.torn or far > 0, 0
            return
        velocity = _scaled(moved, 1 / dt_s)
        accel = _scaled(_minus(velocity, way.velocity), 1 / dt_s)
        way.free = 0 if on_leash else way.free + 1
        if way.free > 1 and not way.torn and not self._near_wall(axis):
            tiny = TINY_ACCEL if self._even else UNEVEN * limits.accel[axis]
            self._above(f"{name}accel", _norm(accel), limits.accel[axis], tiny)
            if limits.jerk is not None and way.free > 3 and self._unsettled_ticks == 0:
                jerk = _norm(_scaled(_minus(accel, way.accel), 1 / dt_s))
                self._above(f"{name}jerk", jerk, limits.jerk[axis], TINY_JERK)
        way.torn = on_leash and far > limits.speed[axis] * dt_s * (1 + RELATIVE)
        way.velocity, way.accel = velocity, accel
        if on_leash:
            self._unsettled_ticks = UNSETTLED_TICKS
            way.rest_s, way.rest_speed = 0.0, way.speed

    def _rest_bound(self, axis: int) -> float:
        """The speed that braking has come down to; a jerk limit lets it begin and end softly."""
        limits, way = self.limits, self._ways[axis]
        ramp_s = 0.0 if limits.jerk is None else limits.accel[axis] / limits.jerk[axis]
        bump = limits.accel[axis] * ramp_s / 2
        if way.rest_s > limits.rest_s(axis):
            return 0.0
        slower = way.rest_speed - limits.accel[axis] * max(0.0, way.rest_s - 2 * ramp_s)
        bound = max(slower, 0.0) + bump
        return min(bound, way.speed) if ramp_s == 0 else bound

    def _near_wall(self, axis: int) -> bool:
        """Whether leash, uneven ticks or a way back inside left less room than braking takes."""
        if axis == 1 or self._unsettled_ticks == 0:
            return False
        speed = self._ways[0].speed
        needs_m = speed * speed / self.limits.accel[0] + 4 * speed * self.limits.period_s
        return _deepest_m(self._depths_m) > -needs_m

    def _above(self, limit: str, got: float, allowed: float, tiny: float = 0.0) -> None:
        """Judges one value; NaN is above every limit."""
        self.judged[limit] += 1
        if not got <= allowed * (1 + RELATIVE) + tiny:
            self._found.append(Violation(limit, got, allowed, self._ticks))
        if allowed > 0 and (got - tiny) / allowed > self.largest.get(limit, 0.0):
            self.largest[limit] = (got - tiny) / allowed


def _deepest_m(depths_m: list[tuple[str, float]]) -> float:
    """By the rule that is broken most; below 0: how far it is to where one would be."""
    return max([depth for _, depth in depths_m])


def _felt(touch: dict[str, Any]) -> tuple[float, float] | None:
    if touch.get("measured_force") != "required":
        return None
    return touch["max_force_n"], touch["max_torque_nm"]


def _fault(row: Any) -> str | None:
    """Why this is no row at all."""
    if not isinstance(row, np.ndarray) or row.shape != (8,) or row.dtype.kind != "f":
        return "shape"
    numbers = [float(number) for number in row.tolist()]
    if not all(map(isfinite, numbers)):
        return "not_finite"
    _, _, _, w, x, y, z, _ = numbers
    norm = sqrt(w * w + x * x + y * y + z * z)
    return "not_unit" if not abs(norm - 1) <= UNIT_OFF else None


def _state_fault(row: Any) -> str | None:
    fault = _fault(row)
    if fault is None and not max(abs(float(x)) for x in row[:3]) <= REACH_M:
        return "out_of_reach"
    return fault


def _parts(row_8: np.ndarray) -> tuple[Vector, Matrix, float]:
    x, y, z, qw, qx, qy, qz, width = (float(number) for number in row_8.tolist())
    return (x, y, z), _matrix(qw, qx, qy, qz), width


def _matrix(w: float, x: float, y: float, z: float) -> Matrix:
    """The rotation matrix of a quaternion of any length."""
    s = 2 / (w * w + x * x + y * y + z * z)
    return (
        (1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)),
        (s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)),
        (s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)),
    )


def _turn(a: Matrix, b: Matrix) -> Vector:
    """The shortest rotation vector (base frame) that leads from a to b: log of b times a'."""
    (b0, b1, b2), (a0, a1, a2) = b, a
    x = (_dot(b2, a1) - _dot(b1, a2)) / 2  # sine of the angle times the axis
    y = (_dot(b0, a2) - _dot(b2, a0)) / 2
    z = (_dot(b1, a0) - _dot(b0, a1)) / 2
    cosine = (_dot(b0, a0) + _dot(b1, a1) + _dot(b2, a2) - 1) / 2
    sine = sqrt(x * x + y * y + z * z)
    if sine < 1e-9 and cosine < 0:
        return (atan2(sine, cosine), 0.0, 0.0)  # half a turn: some axis, the angle is what counts
    scale = atan2(sine, cosine) / sine if sine > 1e-12 else 1.0
    return (x * scale, y * scale, z * scale)


def _turned(a: Matrix, turn: Vector) -> Matrix:
    """The matrix of the rotation a, then the rotation vector `turn` in the base frame."""
    angle = _norm(turn)
    x, y, z = _scaled(turn, sin(angle / 2) / angle) if angle > 0 else turn
    by = _matrix(cos(angle / 2), x, y, z)
    columns = [
        (_dot(by[0], column), _dot(by[1], column), _dot(by[2], column)) for column in _columns(a)
    ]
    return _columns((columns[0], columns[1], columns[2]))


def _columns(a: Matrix) -> Matrix:
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = a
    return (a0, b0, c0), (a1, b1, c1), (a2, b2, c2)


def _cut(a: Vector, longest: float) -> Vector:
    length = _norm(a)
    return a if length <= longest else _scaled(a, longest / length)


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _norm(a: Vector) -> float:
    return sqrt(_dot(a, a))


def _minus(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def _scaled(a: Vector, factor: float) -> Vector:
    return (a[0] * factor, a[1] * factor, a[2] * factor)
