"""Joint angles and tool poses agree with MuJoCo; no search ends outside its bounds.

Legend: J joints.
"""

import mink
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robot_io.geometry.clearances import ArmClearances
from robot_io.geometry.description import ArmDescription
from robot_io.geometry.kinematics import LEVER_M, REACH_RAD, TOLERANCE_M, ArmKinematics
from robot_io.rows import quat_distance_rad
from sim.fr3 import ARM_JOINTS, HOME_RAD, TOOL_SITE

J = len(ARM_JOINTS)


def tool_in_mujoco(
    model: mujoco.MjModel, data: mujoco.MjData, joint_J: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Position (m) and quaternion wxyz of the simulated arm's tool."""
    data.qpos[:J] = joint_J
    mujoco.mj_kinematics(model, data)
    site, quat_wxyz = data.site(TOOL_SITE), np.empty(4)
    mujoco.mju_mat2Quat(quat_wxyz, site.xmat)
    return site.xpos.copy(), quat_wxyz


def row_at(kinematics: ArmKinematics, joint_J: np.ndarray) -> np.ndarray:
    return np.append(kinematics.pose_for(joint_J), 0.04)


def near_home(rng: np.random.Generator, arm: ArmDescription, spread_rad: float = 0.4) -> np.ndarray:
    return np.clip(HOME_RAD + rng.normal(size=J) * spread_rad, arm.low_rad, arm.high_rad)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_numbers_of_fewer_bits_are_numbers_too(arm, kinematics, kind):
    """Found by hostile streams: a gate that raises is a gate that is gone."""
    joint_J = HOME_RAD.astype(kind)
    row_8 = row_at(kinematics, joint_J.astype(np.float64)).astype(kind)

    assert kinematics.joints_for(row_8, joint_J) is not None
    assert kinematics.manipulability(joint_J) > 0.05
    assert ArmClearances(arm, ()).nearest(joint_J).itself.distance_m > 0.05


def test_the_tool_is_where_the_simulated_arm_has_it(arm, kinematics, model, data, rng):
    for _ in range(200):
        joint_J = rng.uniform(arm.low_rad, arm.high_rad)

        pose_7 = kinematics.pose_for(joint_J)

        position_3, quat_wxyz = tool_in_mujoco(model, data, joint_J)
        assert np.linalg.norm(pose_7[:3] - position_3) < 1e-6
        assert quat_distance_rad(pose_7[3:], quat_wxyz) < 1e-6


def test_the_joint_limits_are_those_of_the_simulated_arm(arm, model):
    for joint, name in zip(arm.joints, ARM_JOINTS, strict=True):
        assert (joint.low_rad, joint.high_rad) == tuple(model.joint(name).range)


def test_a_tool_that_is_there_already_moves_no_joint(arm, kinematics, rng):
    for _ in range(20):
        joint_J = near_home(rng, arm)

        assert np.array_equal(kinematics.joints_for(row_at(kinematics, joint_J), joint_J), joint_J)


@pytest.mark.parametrize("step_rad", [0.002, 0.03, 0.15])
def test_a_pose_in_reach_is_reached_within_limits(arm, kinematics, model, data, rng, step_rad):
    for _ in range(100):
        near_J = near_home(rng, arm)
        goal_J = np.clip(
            near_J + rng.uniform(-step_rad, step_rad, size=J), arm.low_rad, arm.high_rad
        )
        row_8 = row_at(kinematics, goal_J)

        joint_J = kinematics.joints_for(row_8, near_J)

        assert joint_J is not None
        assert np.all((arm.low_rad <= joint_J) & (joint_J <= arm.high_rad))
        position_3, quat_wxyz = tool_in_mujoco(model, data, joint_J)
        assert np.linalg.norm(position_3 - row_8[:3]) < 2 * TOLERANCE_M
        assert quat_distance_rad(quat_wxyz, row_8[3:7]) < 2 * TOLERANCE_M / LEVER_M


def test_the_joints_take_the_way_that_mink_finds(arm, kinematics, model, rng):
    """One small step of the tool; mink (MuJoCo, the same kind of solver) moves the arm likewise."""
    configuration = mink.Configuration(model)
    task = mink.FrameTask(TOOL_SITE, "site", position_cost=1.0, orientation_cost=LEVER_M)
    for _ in range(50):
        near_J = near_home(rng, arm, 0.3)
        row_8 = row_at(kinematics, near_J + rng.normal(size=J) * 0.005)
        qpos = np.zeros(model.nq)
        qpos[:J] = near_J
        task.set_target(mink.SE3(np.r_[row_8[3:7], row_8[:3]]))
        for _ in range(3):
            configuration.update(qpos)
            step = mink.solve_ik(configuration, [task], 1.0, "daqp", damping=1e-9)
            qpos = configuration.integrate(step, 1.0)

        joint_J = kinematics.joints_for(row_8, near_J)

        assert np.abs(joint_J - qpos[:J]).max() < 2e-4


def test_a_pose_out_of_reach_has_no_joints(kinematics):
    row_8 = row_at(kinematics, HOME_RAD)
    row_8[0] += 2.0

    assert kinematics.joints_for(row_8, HOME_RAD) is None


def test_a_pose_behind_a_joint_limit_has_no_joints(arm, kinematics):
    """The last joint stands at its limit, and only it can turn the tool further."""
    near_J = HOME_RAD.copy()
    near_J[6] = arm.high_rad[6]
    wanted_J = near_J.copy()
    wanted_J[6] += 0.3

    joint_J = kinematics.joints_for(row_at(kinematics, wanted_J), near_J)

    assert joint_J is None or np.all(joint_J <= arm.high_rad)


@pytest.mark.parametrize("turn_rad", [-2.0, 2.0])
def test_a_pose_that_needs_a_far_joint_is_another_branch(kinematics, turn_rad):
    """A third of a turn is nothing to be done at once, though the joint has room for it."""
    near_J = HOME_RAD.copy()
    near_J[6] = 0.0
    wanted_J = near_J.copy()
    wanted_J[6] += turn_rad

    assert kinematics.joints_for(row_at(kinematics, wanted_J), near_J) is None


def test_a_measurement_just_outside_its_limits_is_led_back(arm, kinematics):
    near_J = HOME_RAD.copy()
    near_J[6] = arm.high_rad[6] + 0.01
    inside_J = HOME_RAD.copy()
    inside_J[6] = arm.high_rad[6] - 0.05

    joint_J = kinematics.joints_for(row_at(kinematics, inside_J), near_J)

    assert joint_J is not None
    assert np.all(joint_J <= arm.high_rad)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", range(7))
def test_a_pose_that_is_not_finite_has_no_joints(kinematics, bad, at):
    row_8 = row_at(kinematics, HOME_RAD)
    row_8[at] = bad

    assert kinematics.joints_for(row_8, HOME_RAD) is None


def test_a_quaternion_of_zeros_has_no_joints(kinematics):
    row_8 = row_at(kinematics, HOME_RAD)
    row_8[3:7] = 0.0

    assert kinematics.joints_for(row_8, HOME_RAD) is None


def test_no_joints_are_found_from_a_measurement_that_is_not_finite(kinematics):
    near_J = HOME_RAD.copy()
    near_J[2] = np.nan

    assert kinematics.joints_for(row_at(kinematics, HOME_RAD), near_J) is None
    assert kinematics.manipulability(near_J) == 0.0


wild = st.floats(-1e300, 1e300, allow_subnormal=True)


@settings(max_examples=150, deadline=None)
@given(
    pose_8=st.one_of(
        arrays(np.float64, 8, elements=wild), arrays(np.float64, 8, elements=st.floats(-1, 1))
    ),
    near_J=st.one_of(
        arrays(np.float64, J, elements=wild), arrays(np.float64, J, elements=st.floats(-3, 3))
    ),
)
def test_whatever_is_asked_no_joint_leaves_its_bounds(arm, kinematics, pose_8, near_J):
    """Nor does a number overflow or turn into a NaN on the way."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        joint_J = kinematics.joints_for(pose_8, near_J)

    if joint_J is not None:
        assert np.all((arm.low_rad <= joint_J) & (joint_J <= arm.high_rad))
        assert np.all(np.abs(joint_J - near_J) <= REACH_RAD)
        assert np.linalg.norm(kinematics.pose_for(joint_J)[:3] - pose_8[:3]) <= 2 * TOLERANCE_M
    assert kinematics.manipulability(near_J) >= 0.0


def test_a_path_through_the_stretched_arm_never_jumps(arm, kinematics):
    """Straight out until the arm is stretched and past it, 2 mm a step: bounded, then nothing."""
    joint_J, row_8 = HOME_RAD.copy(), row_at(kinematics, HOME_RAD)
    largest_rad, reached = 0.0, 0
    for _ in range(300):
        row_8[0] += 0.002
        next_J = kinematics.joints_for(row_8, joint_J)
        if next_J is None:
            break
        largest_rad = max(largest_rad, float(np.abs(next_J - joint_J).max()))
        joint_J, reached = next_J, reached + 1

    assert reached > 50
    assert largest_rad < 0.1
    assert kinematics.joints_for(row_8, joint_J) is None


def test_near_a_singularity_an_answer_is_near_or_there_is_none(arm, kinematics, rng):
    """The upper arm upright and the elbow stretched; there are joints within 0.02 rad."""
    answers = 0
    for _ in range(200):
        near_J = rng.uniform(arm.low_rad, arm.high_rad)
        near_J[1], near_J[3] = rng.normal() * 0.02, arm.high_rad[3] - abs(rng.normal()) * 0.02
        step_J = rng.uniform(-0.02, 0.02, size=J)
        goal_J = np.clip(near_J + step_J, arm.low_rad, arm.high_rad)

        joint_J = kinematics.joints_for(row_at(kinematics, goal_J), near_J)

        if joint_J is not None:
            answers += 1
            assert np.abs(joint_J - near_J).max() < 0.06
    assert answers > 100


def test_manipulability_is_the_least_of_mujocos_jacobian(arm, kinematics, model, data, rng):
    for _ in range(50):
        joint_J = rng.uniform(arm.low_rad, arm.high_rad)
        data.qpos[:J] = joint_J
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        jacobian_6V = np.empty((6, model.nv))
        site = model.site(TOOL_SITE).id
        mujoco.mj_jacSite(model, data, jacobian_6V[:3], jacobian_6V[3:], site)
        jacobian_6V[3:] *= LEVER_M

        least = np.linalg.svd(jacobian_6V[:, :J], compute_uv=False)[-1]

        assert kinematics.manipulability(joint_J) == pytest.approx(least, abs=1e-6)


def test_manipulability_is_zero_where_all_axes_are_parallel():
    upright = (1.0, 0.0, 0.0, 0.0)
    joints = [
        {"name": f"{n}", "position_m": (0.1, 0, 0), "quat_wxyz": upright, "low_rad": -2,
         "high_rad": 2} for n in range(6)
    ]  # fmt: skip
    capsule = {"from_m": (0, 0, 0), "to_m": (0.1, 0, 0), "radius_m": 0.02}
    flat = ArmDescription.model_validate(
        {
            "joints": joints,
            "tool": {"position_m": (0.1, 0, 0), "quat_wxyz": upright},
            "links": [{"name": "rod", "behind": 1, "capsules": [capsule]}],
            "kept_apart": [],
        }
    )

    assert ArmKinematics(flat).manipulability(np.full(6, 0.3)) == pytest.approx(0, abs=1e-12)
