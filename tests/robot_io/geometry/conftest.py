"""The FR3's description, its kinematics, and the same arm in MuJoCo."""

import mujoco
import numpy as np
import pytest

from robot_io.geometry.description import ArmDescription
from robot_io.geometry.kinematics import ArmKinematics
from robot_io.geometry.obstacles import Box, Obstacle, Rod, Sphere
from scripts.body.picture import GROUP_CAPSULES, add_capsules, load_arm
from sim.fr3 import fr3_spec

SLANTED_BOX = Box(
    name="crate",
    shape="box",
    centre_m=(0.6, 0.3, 0.2),
    half_m=(0.1, 0.2, 0.15),
    quat_wxyz=(0.8, 0.0, 0.36, 0.48),
)
POST = Rod(name="post", shape="rod", from_m=(-0.4, -0.4, 0), to_m=(-0.3, -0.4, 0.9), radius_m=0.05)
BALL = Sphere(name="ball", shape="sphere", centre_m=(0.2, -0.5, 0.6), radius_m=0.12)


@pytest.fixture(scope="session")
def obstacles() -> tuple[Obstacle, ...]:
    return (SLANTED_BOX, POST, BALL)


@pytest.fixture(scope="session")
def arm() -> ArmDescription:
    return load_arm()


@pytest.fixture(scope="session")
def kinematics(arm: ArmDescription) -> ArmKinematics:
    return ArmKinematics(arm)


@pytest.fixture(scope="session")
def model(arm: ArmDescription) -> mujoco.MjModel:
    """The FR3 of `sim.fr3` with its full meshes, the capsules beside them, and the obstacles."""
    spec = fr3_spec(full_mesh=True)
    add_capsules(spec, arm)
    world, untouched = spec.worldbody, {"group": GROUP_CAPSULES, "contype": 0, "conaffinity": 0}
    world.add_geom(
        name="crate/0",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=SLANTED_BOX.centre_m,
        quat=SLANTED_BOX.quat_wxyz,
        size=SLANTED_BOX.half_m,
        **untouched,
    )
    world.add_geom(
        name="post/0",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=(*POST.from_m, *POST.to_m),
        size=(POST.radius_m, 0, 0),
        **untouched,
    )
    world.add_geom(
        name="ball/0",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        pos=BALL.centre_m,
        size=(BALL.radius_m, 0, 0),
        **untouched,
    )
    return spec.compile()


@pytest.fixture
def data(model: mujoco.MjModel) -> mujoco.MjData:
    return mujoco.MjData(model)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
