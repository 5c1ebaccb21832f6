"""What `feelforward bench stopping` runs: how far the FR3 still goes, whatever makes it stop.

The arm moves straight, or turns, at a steady speed under the real control loop and gate; then one
thing happens, just after a tick, so that a whole period passes before anybody can notice. Measured
in MuJoCo from there until the tool stands: distance and time. The lag of the arm behind its command
(2/60 s of the reference's filter) is part of it, as it is on the table. Units: m, rad, s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product

import numpy as np

from robot_io import so3
from robot_io.clock import NS_PER_S
from robot_io.control.loop import ControlLoop
from robot_io.gate.gate import CommandGate
from robot_io.rows import ToolRows
from robot_io.session.watchdog import TargetWatchdog
from robot_io.types import ArmState, Command, MonoNs, Provenance
from scripts.bench.gate.limits import tool_limits
from scripts.robot import load_robot
from sim.impedance import Stiffness
from sim.wall import STEP_NS, WallWorld


class Cause(StrEnum):
    """What happens to a moving arm."""

    PLAN_ENDS = "plan ends"  # slow-down along the path
    OPERATOR = "software stop"  # a key or a message
    NOT_FINITE = "NaN in the plan"  # from now on
    EXPIRED = "frozen plan"  # the same command again and again, ever older
    STATE_FROZEN = "frozen arm state"  # the measurement does not advance
    CONTROL_DEAD = "control process dead"  # nothing comes any more: the arm's own watchdog


SPEEDS = {"m/s": (0.05, 0.10, 0.25, 0.50), "rad/s": (0.25, 0.5, 1.0, 2.0)}
START = np.array([0.45, -0.20, 0.30, 0.0, 1.0, 0.0, 0.0, 0.04])
START_TURN_RAD = -1.0
RUN_UP = {"m/s": 2.0, "rad/s": 8.0}  # per s
STEADY_S = 0.3  # at full speed, before it happens
STANDS = {"m/s": 0.001, "rad/s": 0.01}  # slower than this for `STANDS_S`
STANDS_S = 0.2
LIMIT_S = 8.0
COUNT = len(Cause) * sum(len(speeds) for speeds in SPEEDS.values())


@dataclass(frozen=True, slots=True)
class Stopped:
    """One stop: the way from the event until the tool stands."""

    cause: str
    unit: str  # "m/s" or "rad/s"
    speed: float  # measured at the event
    distance: float  # m or rad
    time_s: float
    stood: bool  # at last


def measure() -> Iterator[Stopped]:
    """Every cause at every speed, straight and turning."""
    world = WallWorld(Stiffness())
    for cause, (unit, speeds) in product(Cause, SPEEDS.items()):
        for speed in speeds:
            yield _Run(world, cause, unit, speed).play()


@dataclass(slots=True)
class _Plan:
    """A motion from rest to a speed; and what becomes of it."""

    start_8: np.ndarray
    unit: str
    speed: float
    period_ns: int
    broken: Cause | None = None
    last: Command | None = field(default=None)

    def sample(self, now_ns: int) -> Command | None:
        if self.broken is Cause.PLAN_ENDS:
            return None
        if self.broken is Cause.EXPIRED:
            return self.last
        row_8 = self._row(now_ns / NS_PER_S)
        if self.broken is Cause.NOT_FINITE:
            row_8[:] = np.nan
        self.last = Command(0, MonoNs(now_ns), row_8, Provenance("bench"))
        return self.last

    def _row(self, time_s: float) -> np.ndarray:
        ramp_s = self.speed / RUN_UP[self.unit]
        ramping_s = min(time_s, ramp_s)
        along = RUN_UP[self.unit] * ramping_s**2 / 2 + self.speed * (time_s - ramping_s)
        row_8 = self.start_8.copy()
        if self.unit == "m/s":
            row_8[1] += along
        else:
            row_8[3:7] = _yawed(row_8[3:7], along)
        return row_8


def _yawed(quat_4: np.ndarray, yaw_rad: float) -> tuple[float, ...]:
    w, x, y, z = quat_4.tolist()
    return so3.multiply(so3.exponential((0.0, 0.0, yaw_rad)), (w, x, y, z))


class _Run:
    """One arm that moves, one event, and the way to rest."""

    def __init__(self, world: WallWorld, cause: Cause, unit: str, speed: float) -> None:
        robot = load_robot()
        self._world, self._cause, self._unit = world, cause, unit
        self._period_ns = robot.period_ns
        self._watchdog = TargetWatchdog(robot.arm.max_target_age_s)
        start_8 = START.copy()
        if unit == "rad/s":
            start_8[1], start_8[3:7] = 0.0, _yawed(start_8[3:7], START_TURN_RAD)
        world.reset(start_8)
        self._plan = _Plan(world.state().row_D, unit, speed, self._period_ns)
        self._loop = ControlLoop(self._plan, CommandGate(tool_limits()), ToolRows(), robot.loop)
        self._event_s = speed / RUN_UP[unit] + STEADY_S
        self._frozen: ArmState | None = None
        self._held = False

    def play(self) -> Stopped:
        self._until(self._event_s)
        self._happen()
        begun_ns, way, stood_s = self._world.now_ns, [self._place()], 0.0
        speed = self._speed()
        while stood_s < STANDS_S and self._world.now_ns - begun_ns < LIMIT_S * NS_PER_S:
            self._step()
            way.append(self._place())
            stood_s = stood_s + STEP_NS / NS_PER_S if self._speed() < STANDS[self._unit] else 0.0
        time_s = (self._world.now_ns - begun_ns) / NS_PER_S - stood_s
        furthest = max(abs(place - way[0]) for place in way)
        stood = stood_s >= STANDS_S
        return Stopped(self._cause.value, self._unit, speed, furthest, time_s, stood)

    def _until(self, time_s: float) -> None:
        while self._world.now_ns < time_s * NS_PER_S or self._world.now_ns % self._period_ns:
            self._step()
        self._tick()  # the last one before it happens

    def _happen(self) -> None:
        self._plan.broken = self._cause
        if self._cause is Cause.STATE_FROZEN:
            self._frozen = self._world.state()
        if self._cause is Cause.OPERATOR:
            self._loop.stop()
        self._world.step()

    def _step(self) -> None:
        if self._world.now_ns % self._period_ns == 0:
            self._tick()
        self._world.step()

    def _tick(self) -> None:
        now_ns = self._world.now_ns
        if self._plan.broken is not Cause.CONTROL_DEAD:
            state = self._frozen if self._frozen is not None else self._world.state()
            self._world.command(self._loop.tick(now_ns, state).verdict.row_D)
            self._watchdog.fed(now_ns)
        if self._watchdog.tripped(now_ns) and not self._held:
            self._held = True
            self._world.hold()

    def _speed(self) -> float:
        twist_6 = self._world.twist_6()
        return float(np.linalg.norm(twist_6[:3] if self._unit == "m/s" else twist_6[3:]))

    def _place(self) -> float:
        """Along the motion: m, or rad about the vertical since the start."""
        row_8 = self._world.state().row_D
        if self._unit == "m/s":
            return float(row_8[1])
        w, x, y, z = row_8[3:7].tolist()
        a, b, c, d = self._plan.start_8[3:7].tolist()
        return so3.between((a, b, c, d), (w, x, y, z))[2]


def table(stops: list[Stopped]) -> str:
    """Markdown: a row per cause; for each speed distance and time."""
    parts = []
    for unit, factor, length in (("m/s", 1000.0, "mm"), ("rad/s", 180 / np.pi, "°")):
        speeds = SPEEDS[unit]
        parts.append("| cause | " + " | ".join(f"{speed:g} {unit}" for speed in speeds) + " |")
        parts.append("|---|" + "---|" * len(speeds))
        for cause in Cause:
            own = [stop for stop in stops if (stop.cause, stop.unit) == (cause.value, unit)]
            cells = [f"{stop.distance * factor:.0f} {length}, {stop.time_s:.2f} s" for stop in own]
            parts.append(f"| {cause.value} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)
