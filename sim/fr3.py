"""The FR3 arm with the Franka hand, as an `mujoco.MjSpec` that tasks build their world around.

Model and meshes come from the `franky-sim` wheel (MuJoCo Menagerie's FR3 and Panda hand,
Apache-2.0). What changes here, and why:

- the position servos go: `sim.impedance` acts through joint torques;
- the joints' friction and damping go: the real arm's inner torque loop, closed over torque
  sensors behind the gears, compensates them, and with them the arm would not feel a cap;
- each finger gets one flat rubber pad, so that `sim.tactile` has one surface to read;
- arm links get low-poly capsules in group 1 for the policy's cameras (the full meshes cost 12 to
  22 ms an image in software rendering); films show the meshes of group 2 instead.
"""

from pathlib import Path

import franky_sim
import mujoco
import numpy as np

ARM_JOINTS = tuple(f"fr3_joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("finger_joint1", "finger_joint2")
PADS = ("pad_left", "pad_right")
TOOL_SITE = "tool"
GRIPPER = "hand"
WRIST_CAMERA = "wrist"
HOME_RAD = np.array([0.0, -0.35, 0.0, -2.35, 0.0, 2.0, 0.785])
MAX_TORQUE_NM = np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])  # FR3 data sheet
MAX_WIDTH_M = 0.08

# Geom groups: what both the policy's cameras and films see, and what only one of them sees.
GROUP_SCENE = 0
GROUP_LOW_POLY = 1
GROUP_FULL_MESH = 2
GROUP_HIDDEN = 3

# Contact bits: things of the task touch everything, the arm touches things of the task only.
THING_BIT = 1
ARM_BIT = 2

PAD_HALF_M = np.array([0.0095, 0.005, 0.0095])  # across, thickness, along the finger
PAD_CENTRE_ALONG_FINGER_M = 0.0445
FINGER_LENGTH_OFFSET_M = 0.0584  # hand frame to finger frame (model)
TOOL_OFFSET_M = FINGER_LENGTH_OFFSET_M + PAD_CENTRE_ALONG_FINGER_M
GRIP_FORCE_N = 45.0  # per finger; the Franka hand holds up to 70 N
GRIP_GAIN_N_PER_M = 20_000.0
GRIP_DAMPING_NS_PER_M = 200.0
_PAD_RGBA = (0.16, 0.16, 0.18, 1.0)


def fr3_spec(*, timestep_s: float = 0.001, full_mesh: bool = False) -> mujoco.MjSpec:
    """Returns the arm alone, base at the origin, ready to get a table and things.

    `full_mesh` keeps the visual meshes, for films; without them the model compiles in a moment.
    """
    assets = Path(franky_sim.__file__).parent / "assets"
    spec = mujoco.MjSpec.from_file(str(assets / "fr3.xml"))
    spec.meshdir = str(assets / "meshes")
    for element in (*spec.actuators, *spec.keys):
        spec.delete(element)
    spec.option.timestep = timestep_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.visual.quality.offsamples = 0
    for name in ARM_JOINTS:
        joint = spec.joint(name)
        joint.frictionloss = np.zeros_like(joint.frictionloss)
        joint.damping = np.zeros_like(joint.damping)
    for name in FINGER_JOINTS:
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = 0.1, np.zeros_like(joint.frictionloss)
    if not full_mesh:
        _drop_visual_meshes(spec)
    _simplify_collision(spec)
    _add_low_poly(spec)
    for finger, pad in zip(("left_finger", "right_finger"), PADS, strict=True):
        _add_pad(spec.body(finger), pad)
    _add_tool(spec.body("hand"))
    _add_gripper_drive(spec)
    return spec


def _drop_visual_meshes(spec: mujoco.MjSpec) -> None:
    visual = [geom for geom in spec.geoms if geom.group == GROUP_FULL_MESH]
    for geom in visual:
        spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)


def _simplify_collision(spec: mujoco.MjSpec) -> None:
    """Keeps hand and forearm as obstacles; the fingers get pads of their own."""
    for geom in list(spec.geoms):
        if geom.group != GROUP_HIDDEN:
            continue
        if geom.parent.name.endswith("finger"):
            spec.delete(geom)
        else:
            geom.contype, geom.conaffinity = ARM_BIT, THING_BIT


def _add_low_poly(spec: mujoco.MjSpec) -> None:
    for index in range(8):
        fit = mujoco.mjtGeom.mjGEOM_CYLINDER if index == 0 else mujoco.mjtGeom.mjGEOM_CAPSULE
        _add_fit(spec.body(f"fr3_link{index}"), f"link{index}_coll", fit, (0.93, 0.93, 0.93, 1))
    _add_fit(spec.body("hand"), "hand_coll", mujoco.mjtGeom.mjGEOM_BOX, (0.85, 0.86, 0.88, 1))


def _add_fit(
    body: mujoco.MjsBody, mesh: str, fit: mujoco.mjtGeom, rgba: tuple[float, float, float, float]
) -> None:
    """Adds a primitive fitted to a mesh: seen by the policy's cameras, touched by nothing."""
    body.add_geom(
        type=fit, meshname=mesh, group=GROUP_LOW_POLY, contype=0, conaffinity=0, mass=0, rgba=rgba
    )


def _add_pad(finger: mujoco.MjsBody, name: str) -> None:
    across_m, thick_m, along_m = PAD_HALF_M
    finger.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=PAD_HALF_M,
        pos=(0, thick_m, PAD_CENTRE_ALONG_FINGER_M),
        mass=0.01,
        rgba=_PAD_RGBA,
        group=GROUP_SCENE,
        contype=ARM_BIT,
        conaffinity=THING_BIT,
        condim=4,
        friction=(1.0, 0.005, 0.0001),
        solref=(0.01, 1.0),
        priority=0,
    )
    finger.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(across_m, 0.006, 0.016),
        pos=(0, 2 * thick_m + 0.006, PAD_CENTRE_ALONG_FINGER_M - along_m - 0.002),
        mass=0,
        rgba=(0.85, 0.86, 0.88, 1),
        group=GROUP_LOW_POLY,
        contype=0,
        conaffinity=0,
    )


def _add_tool(hand: mujoco.MjsBody) -> None:
    hand.add_site(name=TOOL_SITE, pos=(0, 0, TOOL_OFFSET_M))
    # Beside the hand, tilted towards the fingertips: sees fingers, cap and bottle.
    hand.add_camera(
        name=WRIST_CAMERA,
        pos=(0.07, 0, 0.04),
        quat=look_quat_wxyz(np.array([-0.70, 0.0, 1.0]), up=np.array([1.0, 0, 0])),
        fovy=75,
    )


def look_quat_wxyz(forward: np.ndarray, *, up: np.ndarray) -> np.ndarray:
    """Returns the quaternion (wxyz) of a camera that looks along `forward` in its body's frame."""
    z = -forward / np.linalg.norm(forward)  # MuJoCo cameras look along -z, y is up
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    quat_wxyz = np.empty(4)
    mujoco.mju_mat2Quat(quat_wxyz, np.stack([x, np.cross(z, x), z], axis=1).ravel())
    return quat_wxyz


def _add_gripper_drive(spec: mujoco.MjSpec) -> None:
    """A width servo with a ceiling on its force, like a grasp of the Franka hand.

    The fingers move as one (equality in the model). Control: finger travel (m), half the width.
    """
    drive = spec.add_actuator(
        name=GRIPPER,
        target="split",
        trntype=mujoco.mjtTrn.mjTRN_TENDON,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        forcelimited=True,
        ctrllimited=True,
        ctrlrange=(0, MAX_WIDTH_M / 2),
    )
    gain = np.zeros_like(drive.gainprm)
    bias = np.zeros_like(drive.biasprm)
    gain[0], bias[1], bias[2] = GRIP_GAIN_N_PER_M, -GRIP_GAIN_N_PER_M, -GRIP_DAMPING_NS_PER_M
    drive.gainprm, drive.biasprm = gain, bias
    drive.forcerange = (-2 * GRIP_FORCE_N, 2 * GRIP_FORCE_N)
