"""The bench refuses what the real arm refuses: otherwise it would prove nothing."""

import numpy as np
import pytest
from franka_parts import CLOCK, wait_for

from robot_io.devices.franka_faults import import_sdk
from sim.franka_process import FrankaProcess

pytestmark = pytest.mark.slow

JOINT_VELOCITY_VIOLATION = 3
CONTROLLER_TORQUE_DISCONTINUITY = 32


def pull(bench: FrankaProcess, *, far_m: float, stiffness_n_per_m: float, step_nm: float) -> None:
    """An impedance with its reference far away, and its torque steps limited or not."""
    sdk = import_sdk()
    robot = sdk.Robot(bench.address, realtime_config=sdk.RealtimeConfig.Ignore)
    robot.set_collision_behavior(1000.0, 1000.0)
    motion = sdk.CartesianImpedanceTrackingMotion(
        translational_stiffness=stiffness_n_per_m,
        translational_error_clip=np.full(3, 10.0),
        max_delta_tau=step_nm,
    )
    pose = robot.current_pose.end_effector_pose
    at_3 = np.ravel(pose.translation) + np.array([0.0, far_m, 0.0])
    target = sdk.Affine(at_3, np.ravel(pose.quaternion))
    motion.set_reference(sdk.CartesianReference(target=target))
    robot.move(motion, asynchronous=True)
    wait_for(lambda: bench.newest().error is not None, 2.0)
    with pytest.raises(sdk.ControlException, match="reflex"):
        robot.join_motion(1.0)


def test_a_jump_of_the_torque_aborts_the_motion() -> None:
    with FrankaProcess() as bench:
        pull(bench, far_m=0.05, stiffness_n_per_m=400.0, step_nm=20.0)
        assert bench.newest().error == CONTROLLER_TORQUE_DISCONTINUITY


def test_a_joint_that_turns_too_fast_aborts_the_motion() -> None:
    with FrankaProcess() as bench:
        pull(bench, far_m=1.0, stiffness_n_per_m=40.0, step_nm=0.9)
        assert bench.newest().error == JOINT_VELOCITY_VIOLATION


def test_contact_is_what_mujoco_says_and_nothing_in_free_air() -> None:
    with FrankaProcess() as bench:
        CLOCK.sleep_until(CLOCK.now_ns() + 200_000_000)
        assert all(truth.force_n == 0 for truth in bench.unseen())
        sdk = import_sdk()
        robot = sdk.Robot(bench.address, realtime_config=sdk.RealtimeConfig.Ignore)
        assert np.abs(robot.state.O_F_ext_hat_K).max() == 0
        assert np.abs(robot.state.tau_ext_hat_filtered).max() == 0
