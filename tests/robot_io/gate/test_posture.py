"""Near joint limits, itself, obstacles and singularities the arm slows down, and stops."""

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, gate_limits, moved
from fake_body import COLUMN_X_M, GEOMETRY, JOINTS, SINGULAR_Y_M, TABLE_Z_M, fake_body
from gate_toys import ACCEPTED, DT_S, HOLD, Run
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.types import ArmState, MonoNs

WHOLE = {"joints": JOINTS, "geometry": GEOMETRY, "force_max_n": 1e3}


class Gantry(Run):
    """A run whose joints are where its tool is."""

    def __init__(self, **limits: object) -> None:
        super().__init__(body=fake_body(), **{**WHOLE, **limits})

    def state(self) -> ArmState:
        return ArmState(MonoNs(self.now_ns), self.measured, self.measured[:3].copy())


def approach(run: Run, goal_8: np.ndarray, ticks: int = 300) -> set[str]:
    reasons: set[str] = set()
    for _ in range(ticks):
        reasons.update(run.check(goal_8).reasons)
    return reasons


@pytest.mark.parametrize(
    ("by_m", "reason", "axis", "stop_m"),
    [
        ((0, 0, -0.2), Reason.OBSTACLE_DISTANCE, 2, TABLE_Z_M + GEOMETRY["obstacle_stop_m"]),
        ((-0.2, 0, 0), Reason.SELF_DISTANCE, 0, COLUMN_X_M + GEOMETRY["self_stop_m"]),
        (
            (0, 0.29, 0),
            Reason.SINGULARITY,
            1,
            SINGULAR_Y_M - GEOMETRY["singular_stop_m_per_rad"],
        ),
        ((0.2, 0, 0), Reason.JOINT_LIMIT, 0, JOINTS["high_rad"][0] - JOINTS["stop_rad"]),
    ],
)
def test_a_motion_slows_down_in_the_margin_and_does_not_pass_its_end(by_m, reason, axis, stop_m):
    run, goal_8 = Gantry(), moved(by_m=by_m)
    assert reason in approach(run, goal_8)
    path_N, toward = run.path(axis), np.sign(goal_8[axis] - HOME[axis])
    left_N = (stop_m - path_N) * toward
    assert left_N.min() >= -1e-4 and left_N[-1] <= 0.005, "up to the margin's end, not beyond"
    speed_N = np.abs(np.diff(path_N)) / DT_S
    assert speed_N[-1] < 0.02 and speed_N.max() > 0.2
    slowing_N = speed_N[speed_N.argmax() :]
    assert np.diff(slowing_N).max() < 0.01, "no stop and go"


def test_two_links_that_are_near_each_other_do_not_hide_an_obstacle():
    run = Gantry()
    run.measured = moved(by_m=(-0.07, 0, -0.14))  # 3 cm from its column, 6 cm above the table
    goal_8 = moved(by_m=(-0.05, 0, -0.2))  # away from the one, onto the other
    assert Reason.OBSTACLE_DISTANCE in approach(run, goal_8, ticks=20)
    speed_N = np.abs(np.diff(run.path(2))) / DT_S
    assert speed_N.max() < 0.2, "slow although two links are nearer"


def test_away_from_a_limit_anything_goes():
    run = Gantry()
    run.measured = moved(by_m=(0, 0, -0.17))  # within the table's margin
    goal_8 = moved(by_m=(0, 0, -0.05))
    assert Reason.OBSTACLE_DISTANCE not in approach(run, goal_8)
    assert np.array_equal(run.sent[-1], goal_8)


def test_a_fast_joint_makes_the_tool_slower():
    run = Gantry()
    assert Reason.JOINT_SPEED in approach(run, moved(by_m=(0.1, 0.0, 0.0)))
    assert np.abs(np.diff(run.path(0))).max() / DT_S <= 0.4 * (1 + 1e-5)


def test_what_no_joint_angles_reach_is_not_gone_to():
    run = Gantry()
    assert Reason.UNREACHABLE in approach(run, moved(by_m=(0, 0, 0.24)))
    assert run.path(2).max() <= 0.55, "it stops where it first finds none"


def test_a_legal_motion_passes_bit_for_bit_with_all_checks():
    run = Gantry()
    for k in range(300):
        row_8 = moved(by_m=(0.03 * (1 - np.cos(0.02 * k)), 0, 0))
        verdict = run.check(row_8)
        assert verdict.kind is ACCEPTED and verdict.row_D is row_8


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_a_gate_with_a_body_gave_a_second_one_lets_pass(seed):
    rng, first, second = np.random.default_rng(seed), Gantry(), Gantry()
    for k in range(200):
        if k % 25 == 0:
            goal_8 = moved(by_m=rng.uniform(-0.25, 0.25, 3), yaw_rad=rng.uniform(-1, 1))
        second.measured = first.measured
        given_8 = first.check(goal_8).row_D
        assert np.array_equal(second.check(given_8).row_D, given_8)


@pytest.mark.parametrize("joint_J", [np.empty(0), np.full(3, np.nan), np.zeros(4), None])
def test_joints_that_are_not_measured_are_not_armed_and_hold(joint_J):
    gate = CommandGate(gate_limits(joints=JOINTS))
    with pytest.raises(FeelforwardError, match="not armed"):
        gate.check(command(1, 0, HOME), ArmState(MonoNs(0), HOME, joint_J), 0)
    gate.check(command(1, 0, HOME), ArmState(MonoNs(0), HOME, np.full(3, 0.2)), 0)
    broken = ArmState(MonoNs(PERIOD_NS), HOME, joint_J)
    verdict = gate.check(command(2, PERIOD_NS, HOME), broken, PERIOD_NS)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.STATE_UNUSABLE,))


def test_without_a_model_the_measured_joints_slow_the_tool_down():
    run = Run(joints=JOINTS, force_max_n=1e3)
    run.state = lambda: ArmState(MonoNs(run.now_ns), run.measured, run.measured[:3].copy())
    reasons = approach(run, moved(by_m=(0.2, 0, 0)))
    assert Reason.JOINT_LIMIT in reasons
    assert run.path(0).max() <= JOINTS["high_rad"][0]


def test_a_reject_drops_the_rest_of_the_chunk_until_another_one_comes():
    on_violation = gate_limits().on_violation.model_dump() | {"geometry": "reject_chunk"}
    run = Gantry(on_violation=on_violation)
    down_8, seen = moved(by_m=(0, 0, -0.2)), []
    for _ in range(120):
        seen.append(run.check(down_8, chunk_id=3).reasons)
    assert any(Reason.OBSTACLE_DISTANCE in reasons for reasons in seen)
    assert seen[-1] == (Reason.CHUNK_REJECTED,)
    assert np.array_equal(run.sent[-1], run.sent[-2]), "at rest"
    assert run.path(2)[-1] > TABLE_Z_M + GEOMETRY["obstacle_stop_m"]
    assert run.check(run.sent[-1], chunk_id=4).kind is ACCEPTED
