"""What `feelforward bench tick` times: the gate on the simulated FR3, and looking at the whole arm.

A plan has 16 rows 100 ms apart; it is looked at in each row and `BETWEEN` points after it.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.gate.body import Body
from robot_io.gate.gate import CommandGate
from robot_io.gate.look_ahead import LookAhead
from robot_io.geometry.config import BodyConfig
from robot_io.geometry.kinematics import ArmKinematics
from robot_io.geometry.obstacles import Box
from robot_io.rows import ToolRows
from robot_io.session.timing import Percentiles
from robot_io.types import ArmState, Command, MonoNs, Provenance, VerdictKind
from scripts.body.picture import load_arm
from scripts.robot import SIM_FR3, load_robot
from sim.fr3 import ARM_JOINTS, HOME_RAD

TABLE = Box(name="table", shape="box", centre_m=(0.45, 0, -0.02), half_m=(0.5, 0.6, 0.02))
ROWS, STEP_NS, BETWEEN = 16, 100 * NS_PER_MS, 3
TICK_S = 0.01
TICK_RAD = 0.004  # 0.4 rad/s at 100 Hz, in each joint
ROW_RAD = 0.04
WARM_UP = 50  # ticks, and plans
BUDGET_MS = {"the gate, one tick": 0.5, "a plan looked at ahead": 15.0}  # p99


def measure(ticks: int) -> dict[str, Percentiles]:
    """Part by part, the gate with all its checks last; a tenth as many plans as ticks."""
    return {**_parts_of_a_look(ticks), **_gate(ticks)}


def _parts_of_a_look(ticks: int) -> dict[str, Percentiles]:
    body = BodyConfig(arm=load_arm(), obstacles=(TABLE,)).build()
    rng = np.random.default_rng(0)
    near = [_near_home(rng) for _ in range(ticks + WARM_UP)]
    rows = [(_row_from(body, joint_J, TICK_RAD, rng), joint_J) for joint_J in near]
    plans = [(_plan(body, rng), HOME_RAD) for _ in range(ticks // 10 + WARM_UP)]
    joints = [(joint_J,) for joint_J in near]
    return {
        "nearest": _timed(body.clearances.nearest, joints),
        "joints for one tick": _timed(body.kinematics.joints_for, rows),
        "manipulability": _timed(body.kinematics.manipulability, joints),
        "one tick, all three": _timed(lambda row, joint: _look(body, row, joint), rows),
        f"a plan, {ROWS} x {BETWEEN + 1}": _timed(
            lambda row, joint: _ahead(body, row, joint), plans
        ),
    }


def _gate(ticks: int) -> dict[str, Percentiles]:
    """All checks, round a circle that keeps every limit; the arm is where it was sent."""
    spec = load_robot(SIM_FR3).control_spec()
    body = spec.build_body()
    assert isinstance(body, Body)
    gate, kinematics = CommandGate(spec.gate, body), body.kinematics
    assert isinstance(kinematics, ArmKinematics)
    one_tick, a_plan = BUDGET_MS
    asked, plans, joint_J = [], [], HOME_RAD
    row_N8 = _circle(kinematics.pose_for(HOME_RAD), ticks + 10 * (WARM_UP + ROWS))
    before_8 = row_N8[0]
    for k, row_8 in enumerate(row_N8):
        now_ns = MonoNs(round(k * TICK_S * NS_PER_S))
        state = ArmState(now_ns, before_8, joint_J)
        asked.append((Command(k, now_ns, row_8, Provenance("bench")), state, now_ns))
        if k % 10 == 0 and k + 10 * ROWS <= len(row_N8):
            plans.append((row_N8[k : k + 10 * ROWS : 10], joint_J))
        found_J, before_8 = kinematics.joints_for(row_8, joint_J), row_8
        assert found_J is not None
        joint_J = found_J
    verdicts = []
    of_a_tick = _timed(lambda *tick: verdicts.append(gate.check(*tick)), asked[: ticks + WARM_UP])
    assert all(verdict.kind is VerdictKind.ACCEPTED for verdict in verdicts)
    of_a_plan = _timed(LookAhead(spec.gate, body).first_violation, plans)
    return {one_tick: of_a_tick, a_plan: of_a_plan}


def _circle(home_7: np.ndarray, ticks: int) -> np.ndarray:
    """Rows (ticks, 8) round a circle of 0.1 m through home, from rest to 2 rad/s."""
    passed_s = TICK_S * np.arange(ticks)
    angle = 2.0 * (passed_s - np.tanh(passed_s))
    way_N3 = 0.1 * np.stack([np.sin(angle), np.cos(angle) - 1, np.zeros_like(angle)], -1)
    return np.append(home_7, 0.04) + np.pad(way_N3, ((0, 0), (0, 5)))


def _near_home(rng: np.random.Generator) -> np.ndarray:
    return HOME_RAD + rng.normal(size=len(ARM_JOINTS)) * 0.3


def _row_from(
    body: Body, joint_J: np.ndarray, step_rad: float, rng: np.random.Generator
) -> np.ndarray:
    """The row (8,) of the pose that a step of the joints leads to."""
    assert isinstance(body.kinematics, ArmKinematics)
    step_J = rng.uniform(-step_rad, step_rad, size=len(joint_J))
    return np.append(body.kinematics.pose_for(joint_J + step_J), 0.04)


def _plan(body: Body, rng: np.random.Generator) -> np.ndarray:
    """Rows (H, 8) on a way of the joints that does not turn back."""
    way_J = rng.uniform(-ROW_RAD, ROW_RAD, size=len(ARM_JOINTS))
    return np.stack([_row_from(body, HOME_RAD + h * way_J, 0.0, rng) for h in range(1, ROWS + 1)])


def _look(body: Body, row_8: np.ndarray, joint_J: np.ndarray) -> np.ndarray | None:
    found_J = body.kinematics.joints_for(row_8, joint_J)
    if found_J is not None:
        body.clearances.nearest(found_J)
        body.kinematics.manipulability(found_J)
    return found_J


def _ahead(body: Body, row_H8: np.ndarray, joint_J: np.ndarray) -> None:
    curve = ToolRows().curve(row_H8, STEP_NS)
    for point in range(ROWS * (BETWEEN + 1)):
        row_8, _ = curve.at(point * STEP_NS // (BETWEEN + 1))
        found_J = _look(body, row_8, joint_J)
        assert found_J is not None
        joint_J = found_J


def _timed(call: Callable[..., object], arguments: Iterable[tuple]) -> Percentiles:
    clock, took_ns = MonotonicClock(), []
    for argument in arguments:
        before_ns = clock.now_ns()
        call(*argument)
        took_ns.append(clock.now_ns() - before_ns)
    return Percentiles.of_ns(np.array(took_ns[WARM_UP:]))


def import_ms() -> float:
    """Of pinocchio, coal and daqp beside numpy: the least of five fresh interpreters."""
    code = (
        "import numpy; from time import perf_counter as now; t = now();"
        "import robot_io.geometry.kinematics, robot_io.geometry.clearances; print(now() - t)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    return 1000 * min(runs)
