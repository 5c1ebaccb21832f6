"""The arm with the capsules that the gate measures between, as a PNG.

python -m scripts.body.picture docs/geometry.png
"""

import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mujoco
import numpy as np

from robot_io.geometry.description import ArmDescription
from scripts.checkpoints import REPOSITORY
from sim.fr3 import ARM_JOINTS, GROUP_FULL_MESH, GROUP_SCENE, HOME_RAD
from sim.tighten_cap import tighten_cap_spec

FR3_HAND = REPOSITORY / "configs" / "bodies" / "fr3_hand.toml"
GROUP_CAPSULES = 4
WIDTH_PX, HEIGHT_PX = 560, 520
_RGBA = ((0.95, 0.55, 0.15, 0.35), (0.20, 0.55, 0.95, 0.35))  # links in turn


@dataclass(frozen=True, slots=True)
class Pose:
    """What a panel of the picture shows."""

    joint_rad: np.ndarray
    azimuth_deg: float


POSES = (
    Pose(HOME_RAD, 125.0),
    Pose(np.array([0.0, -0.5, 0.0, -2.9, 0.0, 1.0, 0.785]), 125.0),  # the hand near the shoulder
)


def load_arm(path: Path = FR3_HAND) -> ArmDescription:
    return ArmDescription.model_validate(tomllib.loads(path.read_text())["body"]["arm"])


def add_capsules(spec: mujoco.MjSpec, arm: ArmDescription) -> None:
    """Gives the FR3 of `sim.fr3` the capsules of its description as geoms `link/index`."""
    for number, link in enumerate(arm.links):
        body = spec.body(f"fr3_link{link.behind}")
        for index, capsule in enumerate(link.capsules):
            body.add_geom(
                name=f"{link.name}/{index}",
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                fromto=(*capsule.from_m, *capsule.to_m),
                size=(capsule.radius_m, 0, 0),
                group=GROUP_CAPSULES,
                contype=0,
                conaffinity=0,
                mass=0,
                rgba=_RGBA[number % len(_RGBA)],
            )


def draw(arm: ArmDescription) -> np.ndarray:
    """Returns the panels side by side, HWC uint8 RGB."""
    spec = tighten_cap_spec(full_mesh=True)
    add_capsules(spec, arm)
    spec.visual.quality.offsamples = 4
    spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDTH_PX, HEIGHT_PX
    spec.visual.headlight.ambient = (0.45, 0.45, 0.45)
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=(1, 1, 1),
        width=8,
        height=48,
    )
    model = spec.compile()
    data, option = mujoco.MjData(model), mujoco.MjvOption()
    option.sitegroup[:] = 0
    option.geomgroup[:] = 0
    option.geomgroup[[GROUP_SCENE, GROUP_FULL_MESH, GROUP_CAPSULES]] = 1
    camera = mujoco.MjvCamera()
    camera.lookat, camera.distance, camera.elevation = (0.2, 0.0, 0.38), 1.55, -12.0
    panels = []
    with mujoco.Renderer(model, HEIGHT_PX, WIDTH_PX) as renderer:
        for pose in POSES:
            data.qpos[: len(ARM_JOINTS)] = pose.joint_rad
            mujoco.mj_forward(model, data)
            camera.azimuth = pose.azimuth_deg
            renderer.update_scene(data, camera, option)
            panels.append(renderer.render())
    return np.concatenate(panels, axis=1)


def main(arguments: Sequence[str]) -> None:
    (path,) = arguments
    if not cv2.imwrite(path, cv2.cvtColor(draw(load_arm()), cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} cannot be written")


if __name__ == "__main__":
    main(sys.argv[1:])
