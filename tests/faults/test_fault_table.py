"""The table of faults is complete and written down, and those who judge by it can be trusted."""

import ast
import time
from pathlib import Path

import numpy as np
import pytest
from fault_checker import Sent, limits_of, violations
from fault_parts import WALL_CLOCKS, WALL_JUMP_S, clock_follows
from fault_table import Fault, document, fault_table

from robot_io.control.loop import Rung
from scripts.checkpoints import REPOSITORY
from scripts.robot import SIM_FR3, load_robot
from scripts.tasks import cap

FAULTS = fault_table(load_robot())
LIMITS = limits_of(SIM_FR3)
PERIOD_NS = 10_000_000
START = np.array([0.45, 0.0, 0.30, 0.0, 1.0, 0.0, 0.0, 0.04])
PROCESSES = ("control", "policy", "world", "camera_wrist", "camera_tactile_right")


def test_the_document_says_what_the_tests_test() -> None:
    path = REPOSITORY / "docs" / "faults.md"
    fix = "out of date: python tests/faults/fault_table.py > docs/faults.md"
    assert path.read_text(encoding="utf-8") == document(FAULTS, load_robot()), fix


def test_every_process_is_killed_and_suspended() -> None:
    texts = [fault.injection.text for fault in FAULTS]
    for process in PROCESSES:
        assert f"SIGKILL to process `{process}`" in texts
        assert f"SIGSTOP to process `{process}`" in texts


def test_faults_have_names_of_their_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_rungs_of_a_fault_come_one_after_the_other_and_in_time(fault: Fault) -> None:
    within_s = [step.within_s for step in fault.steps]
    assert within_s == sorted(within_s)
    known = {*Rung, "arm_stops"}
    assert {step.rung for step in fault.steps} <= known
    assert fault.ending or not fault.fatal


# ---- the checker


def smooth(ticks: int = 300) -> np.ndarray:
    """A motion well within every limit, from rest."""
    time_N = 0.01 * np.arange(ticks)
    row_N8 = np.tile(START, (ticks, 1))
    row_N8[:, 0] += 0.05 * (1 - np.cos(time_N))
    half_N = 0.1 * (1 - np.cos(time_N))
    row_N8[:, 3:7] = np.stack([0 * half_N, np.cos(half_N), np.sin(half_N), 0 * half_N], axis=1)
    row_N8[:, 7] -= 0.01 * (1 - np.cos(time_N))
    return row_N8


def found(row_N8: np.ndarray, *, measured_N8: np.ndarray | None = None) -> list[str]:
    ticks = len(row_N8)
    stamp_ns_N = PERIOD_NS * np.arange(1, ticks + 1)
    measured_N8 = row_N8 if measured_N8 is None else measured_N8
    sent = Sent(stamp_ns_N, row_N8, measured_N8, np.zeros(ticks, bool))
    return [line.split(" = ")[0] for line in violations(sent, LIMITS)]


def test_the_checker_lets_a_smooth_motion_pass() -> None:
    assert found(smooth()) == []


def test_the_checker_finds_a_jump_of_a_millimetre() -> None:
    row_N8 = smooth()
    row_N8[100:, 1] += 0.001
    assert found(row_N8) == ["accel_m_per_s2"]


def test_the_checker_finds_what_is_too_fast() -> None:
    time_N = 0.01 * np.arange(80)
    row_N8 = np.tile(START, (80, 1))
    row_N8[:, 1] += 0.3 * time_N**2  # 0.6 m/s² up to 0.48 m/s: allowed
    assert found(row_N8) == []
    row_N8 = np.tile(START, (95, 1))
    row_N8[:, 1] = np.minimum(0.3 * (0.01 * np.arange(95)) ** 2 * 1.3, 0.29)
    assert "speed_m_per_s" in found(row_N8)


def test_the_checker_finds_a_turn_that_begins_at_once() -> None:
    half_N = np.concatenate([np.zeros(50), 0.005 * np.arange(50)])  # 1 rad/s, allowed at leisure
    row_N8 = np.tile(START, (100, 1))
    row_N8[:, 3:7] = np.stack([0 * half_N, np.cos(half_N), np.sin(half_N), 0 * half_N], axis=1)
    assert found(row_N8) == ["turn_accel_rad_per_s2"]
    row_N8[50:, 3:7] *= -1  # the same orientations
    assert found(row_N8) == ["turn_accel_rad_per_s2"]


def test_the_checker_finds_a_command_that_runs_away_from_the_arm() -> None:
    row_N8 = smooth()
    behind_N8 = row_N8.copy()
    behind_N8[:, 2] -= 0.09
    assert found(row_N8, measured_N8=behind_N8) == ["leash_m"]


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [(2, 0.01, "outside_workspace_m"), (7, 0.09, "width_m"), (3, 0.2, "quaternion_norm_off")],
)
def test_the_checker_finds_a_row_that_lies_outside(column: int, value: float, name: str) -> None:
    row_N8 = np.tile(START, (5, 1))
    row_N8[:, column] = value
    assert name in found(row_N8)


def test_the_checker_finds_nan_and_a_hand_that_snaps() -> None:
    row_N8 = smooth()
    row_N8[7, 1] = np.nan
    assert found(row_N8) == ["a command is not finite"]
    row_N8 = smooth()
    row_N8[100:, 7] -= 0.01
    assert found(row_N8) == ["width_m_per_s"]


# ---- the wall clock


def test_nothing_on_the_robots_side_decides_by_the_wall_clock() -> None:
    """One file reads time; the wall clock in it serves only the dates in recordings."""
    allowed = {
        "time": {"clock.py", "franka.py"},  # franka.py: a state's stamp by the arm's own clock
        "wall_clock_minus_monotonic_ns": {"clock.py", "flight_file.py"},
    }
    for path in (REPOSITORY / "robot_io").rglob("*.py"):
        names = names_in(ast.parse(path.read_text(encoding="utf-8")))
        assert not names & {"now", "utcnow", "today", "st_mtime", "localtime"}, path
        for name, files in allowed.items():
            assert name not in names or path.name in files, (name, path)


def names_in(tree: ast.AST) -> set[str]:
    """Modules and what is imported from them, attributes, and functions that are called."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.name for alias in aliases}
                if isinstance(node, ast.ImportFrom) and node.module is not None:
                    names.add(node.module)
            case ast.Attribute(attr=name):
                names.add(name)
            case ast.FunctionDef(name=name):
                names.add(name)
    return names


def test_the_fault_of_the_wall_clock_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in WALL_CLOCKS:
        monkeypatch.setattr(time, name, getattr(time, name))
    clock_follows(str(tmp_path))
    before_s = time.clock_gettime(time.CLOCK_REALTIME)
    monotonic_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    (tmp_path / "fault_clock").write_text("jump")
    assert abs(time.clock_gettime(time.CLOCK_REALTIME) - before_s) > WALL_JUMP_S / 2
    assert abs(time.time_ns() / 1e9 - before_s) > WALL_JUMP_S / 2
    assert abs(time.clock_gettime(time.CLOCK_MONOTONIC) - monotonic_s) < 60


def test_the_streams_of_the_task_are_those_that_can_fail() -> None:
    assert set(cap.IMAGES) == set(load_robot().sensors)
