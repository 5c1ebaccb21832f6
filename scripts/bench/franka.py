"""What `feelforward bench franka` runs: the Franka driver behind buffer, loop and gate for minutes.

    scripted plan, 10 Hz ─▶ Controller, 100 Hz ─▶ FrankaArm ══ libfranka, 1 kHz ══ sim.franka_bench
                                                                                       │ witness
    stale? the pose in a state must be where the tool was at the state's stamp ◀───────┘

The driver, its impedance in C++ and the loop run here, the arm in a process of its own. What the
arm says of itself through its witness ring goes round the protocol and the driver.
"""

import os
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.control.controller import Controller
from robot_io.control.loop import Rung
from robot_io.devices.franka import FrankaArm, make_arm
from robot_io.errors import FeelforwardError
from robot_io.session import realtime
from robot_io.types import ActionChunk, MonoNs
from scripts.bench.control import Spread
from scripts.checkpoints import REPOSITORY
from scripts.live.parts import franka_given
from scripts.robot import RobotConfig
from sim.franka_process import FrankaProcess

FR3 = REPOSITORY / "configs" / "robots" / "fr3.toml"
STEP_NS = 100 * NS_PER_MS
ROWS = 16
PLAN_DELAY_NS = 50 * NS_PER_MS  # from observation to splice, as of a quick policy
RADIUS_M = 0.06
TURN_S = 4.0  # 9 cm/s
WRONG_M = 0.005  # at that speed: a state whose stamp is 50 ms and more beside the truth


@dataclass(slots=True)
class Log:
    """One number per tick."""

    late_ns: list[int] = field(default_factory=list)
    read_ns: list[int] = field(default_factory=list)
    stamp_ns: list[int] = field(default_factory=list)
    measured_m: list[np.ndarray] = field(default_factory=list)  # (3,)
    sent_m: list[np.ndarray] = field(default_factory=list)
    rung: list[Rung] = field(default_factory=list)
    truth_ns: list[int] = field(default_factory=list)
    truth_m: list[np.ndarray] = field(default_factory=list)
    missed_ticks: int = 0
    lost: str | None = None  # why the run ended early


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it."""

    seconds: float
    lost_connections: int
    lost_because: str | None
    stale_noticed: int  # ticks whose state was too old by its own stamp
    stale_unnoticed: int  # ticks whose state was young by its stamp, and wrong
    on_plan: float  # share of the ticks
    tracking_mm: Spread  # between a command and where the tool was a tick later
    state_age_ms: Spread
    states_per_s: float  # new ones, as the loop sees them
    arm_ms_per_s: float  # how fast the arm's clock runs on ours
    commands_per_s: float
    late_ms: Spread
    missed_ticks: int

    @property
    def kept(self) -> bool:
        return self.lost_connections == 0 and self.stale_unnoticed == 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def franka_on(bench: FrankaProcess, robot: RobotConfig) -> FrankaArm:
    """The same arm, but on a bench, whose computer needs no real-time kernel."""
    given = franka_given(robot)
    given["settings"].update(address=bench.address, realtime_kernel=False)
    return make_arm(**given)


def measure(robot: RobotConfig, seconds: float) -> tuple[Figures, str]:
    """Runs for so long, or until the arm is lost. Returns figures, and what real time we got."""
    with FrankaProcess() as bench, franka_on(bench, robot) as arm:
        granted = realtime.ask(realtime.share_cores(os.sched_getaffinity(0)), fifo=True)
        with realtime.no_garbage_collection():
            log = _run(robot, arm, bench, seconds)
    return figures(log, robot), realtime.line(granted)


def _run(robot: RobotConfig, arm: FrankaArm, bench: FrankaProcess, seconds: float) -> Log:
    clock, log, begin_ns = MonotonicClock(), Log(), MonotonicClock().now_ns()
    controller = Controller(robot.control_spec(), begin_ns)
    planner = _Planner(arm.read().row_D, begin_ns)
    next_ns = begin_ns + robot.period_ns
    while next_ns < begin_ns + seconds * NS_PER_S:
        clock.sleep_until(next_ns)
        log.late_ns.append(clock.now_ns() - next_ns)
        for chunk in planner.due(next_ns):
            controller.take(chunk, next_ns)
        try:
            state = arm.read()
            log.read_ns.append(clock.now_ns())
            tick = controller.tick(next_ns, state)
            arm.command(tick.verdict.row_D)
            controller.look_ahead(next_ns)
        except FeelforwardError as error:
            log.lost = str(error)
            return log
        if arm.stopped_by is not None:
            log.lost = f"stopped: {arm.stopped_by}"
            return log
        truth = bench.newest()
        log.stamp_ns.append(state.stamp_ns)
        log.measured_m.append(state.row_D[:3])
        log.sent_m.append(tick.verdict.row_D[:3])
        log.rung.append(tick.rung)
        log.truth_ns.append(truth.stamp_ns)
        log.truth_m.append(truth.tool_m_3)
        next_ns += robot.period_ns
        late_ns = clock.now_ns() - next_ns
        if late_ns > 0:
            skip = -(-late_ns // robot.period_ns)
            log.missed_ticks += skip
            next_ns += skip * robot.period_ns
    return log


class _Planner:
    """A circle in the horizontal plane around the start; each plan is there after a while."""

    def __init__(self, start_D: np.ndarray, begin_ns: int) -> None:
        self._start_D, self._begin_ns = start_D, begin_ns
        self._next_ns = begin_ns
        self._coming: deque[ActionChunk] = deque()
        self._count = 0

    def due(self, now_ns: int) -> list[ActionChunk]:
        """Plans that are finished now."""
        if now_ns >= self._next_ns:
            self._coming.append(self._plan(now_ns))
            self._next_ns = now_ns + STEP_NS
        finished = []
        while self._coming and now_ns >= self._coming[0].observed_ns + PLAN_DELAY_NS:
            finished.append(self._coming.popleft())
        return finished

    def _plan(self, now_ns: int) -> ActionChunk:
        elapsed_s = (now_ns - self._begin_ns) / NS_PER_S + STEP_NS / NS_PER_S * np.arange(ROWS)
        angle = 2 * np.pi * elapsed_s / TURN_S
        row_HD = np.tile(self._start_D, (ROWS, 1))
        row_HD[:, 0] += RADIUS_M * (1 - np.cos(angle))
        row_HD[:, 1] += RADIUS_M * np.sin(angle)
        self._count += 1
        stamp_ns = MonoNs(now_ns)
        return ActionChunk(self._count, stamp_ns, stamp_ns, STEP_NS, row_HD)


def figures(log: Log, robot: RobotConfig) -> Figures:
    count = len(log.sent_m)
    if count < 2:
        raise FeelforwardError(f"The run ended before it began: {log.lost}")
    stamp_N, read_N = np.array(log.stamp_ns), np.array(log.read_ns[:count])
    measured_N3, sent_N3 = np.array(log.measured_m), np.array(log.sent_m)
    age_N = read_N - stamp_N
    seconds = (read_N[-1] - read_N[0]) / NS_PER_S
    stale_N = age_N > robot.loop.max_state_age_s * NS_PER_S
    wrong_N = np.linalg.norm(measured_N3 - _truth_at(log, stamp_N), axis=-1) > WRONG_M
    error_m_N = np.linalg.norm(sent_N3[:-1] - measured_N3[1:], axis=-1)
    return Figures(
        seconds=round(seconds, 1),
        lost_connections=int(log.lost is not None),
        lost_because=log.lost,
        stale_noticed=int(stale_N.sum()),
        stale_unnoticed=int((wrong_N & ~stale_N).sum()),
        on_plan=sum(rung is Rung.PLAN for rung in log.rung) / count,
        tracking_mm=Spread.of_ns(error_m_N * 1000 * NS_PER_MS),
        state_age_ms=Spread.of_ns(age_N),
        states_per_s=len(np.unique(stamp_N)) / seconds,
        arm_ms_per_s=(stamp_N[-1] - stamp_N[0]) / NS_PER_MS / seconds,
        commands_per_s=count / seconds,
        late_ms=Spread.of_ns(np.array(log.late_ns)),
        missed_ticks=log.missed_ticks,
    )


def _truth_at(log: Log, stamp_N: np.ndarray) -> np.ndarray:
    """(N, 3) where the tool was, by the bench's own witness."""
    truth_ns, truth_m = np.array(log.truth_ns), np.array(log.truth_m)
    columns = [np.interp(stamp_N, truth_ns, truth_m[:, axis]) for axis in range(3)]
    return np.stack(columns, axis=-1)
