"""The arm and the cameras of a robot's config, as a session makes them in its processes."""

from typing import Any

from robot_io.errors import FeelforwardError
from robot_io.session.processes import Factory
from scripts.robot import RobotConfig

_SNAPSHOTS = "{session}/world.ring"


def arm_of(robot: RobotConfig) -> Factory:
    """What makes its `robot_io.interfaces.Arm`."""
    if robot.franka is not None:
        return Factory("robot_io.devices.franka:make_arm", franka_given(robot))
    if robot.ur is not None:
        return Factory("robot_io.devices.ur:make_arm", ur_given(robot))
    return Factory("robot_io.session.remote_arm:RemoteArm", {"directory": "{session}"})


def camera_of(robot: RobotConfig, name: str) -> Factory:
    """What makes the `robot_io.interfaces.Camera` of this stream."""
    if robot.is_simulated:
        given = {"name": name, "snapshots": _SNAPSHOTS, **robot.sensors[name].timing()}
        return Factory("scripts.live.sensors:make_camera", given)
    settings = robot.cameras[name].model_dump(mode="json")
    given = {"name": name, "settings": settings}
    return Factory("robot_io.devices.policy_camera:make_camera", given)


def franka_given(robot: RobotConfig) -> dict[str, Any]:
    """What `robot_io.devices.franka:make_arm` needs: the arm with the gate's spring and grip."""
    if robot.franka is None:
        raise FeelforwardError(
            "The robot's config has no table [franka]. Take one that has: configs/robots/fr3.toml."
        )
    return {
        "settings": robot.franka.model_dump(mode="json"),
        "stiffness_n_per_m": robot.gate.stiffness_n_per_m,
        "leash_m": robot.gate.leash_m,
        "stiffness_nm_per_rad": robot.gate.stiffness_nm_per_rad,
        "leash_rad": robot.gate.leash_rad,
        "grip_force_n": robot.gate.max_grip_force_n,
        "max_target_age_s": robot.arm.max_target_age_s,
    }


def ur_given(robot: RobotConfig) -> dict[str, Any]:
    """What `robot_io.devices.ur:make_arm` needs."""
    assert robot.ur is not None
    return {
        "settings": robot.ur.model_dump(mode="json"),
        "period_s": robot.gate.period_s,
        "max_target_age_s": robot.arm.max_target_age_s,
    }
