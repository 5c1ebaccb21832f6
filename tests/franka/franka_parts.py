"""What the tests of the Franka driver are made of: the shipped config on a bench's address."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.control.buffer import CommandBuffer
from robot_io.control.loop import ControlLoop, Tick
from robot_io.devices.franka import FrankaArm
from robot_io.gate.gate import CommandGate
from robot_io.rows import ToolRows
from robot_io.types import ActionChunk, ArmState, MonoNs
from scripts.bench.franka import FR3, franka_on
from scripts.robot import load_robot
from sim.franka_process import FrankaProcess

ROBOT = load_robot(FR3)
PERIOD_NS = ROBOT.period_ns
STEP_NS = 100 * NS_PER_MS
CHUNK_ROWS = 16
CLOCK = MonotonicClock()
GAP_NS = round(ROBOT.arm.max_target_age_s * NS_PER_S / 2)


class Halted(Exception):  # noqa: N818 - an accident of the machine, no error of what is tested
    """This process or the bench stood still for so long that the arm had to hold or stop."""


def arm_on(bench: FrankaProcess, **changes: object) -> FrankaArm:
    """The driver as configs/robots/fr3.toml wants it, but on the bench."""
    assert ROBOT.franka is not None
    changed = ROBOT.franka.model_copy(update=changes)
    return franka_on(bench, ROBOT.model_copy(update={"franka": changed}))


def wait_for(condition: Callable[[], bool], limit_s: float) -> float:
    """Seconds until the condition held; fails after the limit."""
    begun_ns = CLOCK.now_ns()
    while not condition():
        elapsed_s = (CLOCK.now_ns() - begun_ns) / NS_PER_S
        assert elapsed_s < limit_s, f"not within {limit_s} s"
        CLOCK.sleep_until(CLOCK.now_ns() + NS_PER_MS)
    return (CLOCK.now_ns() - begun_ns) / NS_PER_S


@dataclass
class Run:
    """What happened in a run of the loop."""

    ticks: list[Tick] = field(default_factory=list)
    states: list[ArmState] = field(default_factory=list)
    age_s: list[float] = field(default_factory=list)  # of the state, when it was read

    @property
    def error_m(self) -> np.ndarray:
        """(N,): between what was sent and where the tool was a tick later."""
        sent_N3 = np.array([tick.verdict.row_D[:3] for tick in self.ticks[:-1]])
        measured_N3 = np.array([state.row_D[:3] for state in self.states[1:]])
        return np.linalg.norm(sent_N3 - measured_N3, axis=-1)


def run_chunks(arm: FrankaArm, path: Callable[[np.ndarray], np.ndarray], seconds: float) -> Run:
    """Chunks at 10 Hz of `path` through buffer, loop and gate at 100 Hz.

    `path` gives the offsets (H, 3) of the tool from where it began, at times (H,) in s.
    """
    rows = ToolRows()
    buffer = CommandBuffer(rows, max_age_ns=ROBOT.max_age_ns, seam_ns=ROBOT.seam_ns)
    gate = CommandGate(ROBOT.gate, ROBOT.control_spec().build_body())
    loop = ControlLoop(buffer, gate, rows, ROBOT.loop)
    run = Run()
    begin_ns = next_ns = CLOCK.now_ns()
    start_D = arm.read().row_D
    last_ns = begin_ns
    for tick_index in range(round(seconds * NS_PER_S / PERIOD_NS)):
        CLOCK.sleep_until(next_ns)
        now_ns = _not_halted("command", last_ns)
        state = arm.read()
        _not_halted("state", state.stamp_ns)
        if tick_index % (STEP_NS // PERIOD_NS) == 0:
            ahead_s = (next_ns - begin_ns) / NS_PER_S + 0.1 * np.arange(CHUNK_ROWS)
            row_HD = np.tile(start_D, (CHUNK_ROWS, 1))
            row_HD[:, :3] += path(ahead_s)
            stamp_ns = MonoNs(next_ns)
            buffer.splice(ActionChunk(tick_index, stamp_ns, stamp_ns, STEP_NS, row_HD), next_ns)
        tick = loop.tick(next_ns, state)
        arm.command(tick.verdict.row_D)
        run.ticks.append(tick)
        run.states.append(state)
        run.age_s.append((now_ns - state.stamp_ns) / NS_PER_S)
        next_ns = max(next_ns + PERIOD_NS, CLOCK.now_ns())
        last_ns = now_ns
    return run


def hold(arm: FrankaArm, seconds: float) -> None:
    """Commands, at 100 Hz, that the arm stays where it is."""
    row_D = arm.read().row_D
    last_ns = CLOCK.now_ns()
    for _ in range(round(seconds * NS_PER_S / PERIOD_NS)):
        arm.command(row_D)
        CLOCK.sleep_until(last_ns + PERIOD_NS)
        last_ns = _not_halted("command", last_ns)


def _not_halted(what: str, last_ns: int) -> int:
    """Now, on our clock; raises Halted if too long after the last of these."""
    now_ns = CLOCK.now_ns()
    if now_ns - last_ns > GAP_NS:
        raise Halted(f"{(now_ns - last_ns) / NS_PER_MS:.0f} ms without a {what}")
    return now_ns


def circle(ahead_s: np.ndarray) -> np.ndarray:
    """4 cm across, one turn in 3 s: 4 cm/s."""
    angle = 2 * np.pi * ahead_s / 3.0
    return 0.02 * np.stack([np.cos(angle) - 1, np.sin(angle), 0 * angle], axis=-1)


def forward(ahead_s: np.ndarray) -> np.ndarray:
    """8 cm along x at 4 cm/s, and there it stays."""
    x_m = np.minimum(0.04 * ahead_s, 0.08)
    return np.stack([x_m, 0 * x_m, 0 * x_m], axis=-1)
