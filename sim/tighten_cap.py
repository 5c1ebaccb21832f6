"""`TightenCap`: screw the cap of a bottle tight by feel, let go and retreat.

A bottle stands in a square holder at a random place and yaw. Turning the cap clockwise (seen from
above) lowers it on its thread against a small running torque. Where it seats, and so how far it
must be turned, varies from bottle to bottle and shows nowhere; from there the torque rises with
the angle. The task is done when the tightening torque lies inside `BAND_NM` and the open hand
has retreated.
"""

from dataclasses import dataclass
from enum import Enum

import mujoco
import numpy as np

from sim.fr3 import ARM_BIT, GROUP_SCENE, PADS, THING_BIT, fr3_spec, look_quat_wxyz

BAND_NM = (0.4, 0.8)  # tightening torque that counts as tight: given by the task
TIME_LIMIT_S = 35.0
MAX_TILT_RAD = np.deg2rad(10.0)
MAX_LIFT_M = 0.015
RETREAT_M = 0.07  # how far above the cap the open hand must end
PITCH_M_PER_RAD = 0.003 / (2 * np.pi)  # a 3 mm thread

_NECK_M = 0.012
_CAP_HALF_M = 0.011
_BASE_HALF_M = 0.030
_WALL_M = 0.004
_HOLDER_GAP_M = 0.0006
_RIDGES = 10
SCENE_CAMERA = "scene"


@dataclass(frozen=True, slots=True)
class CapLayout:
    """What varies from episode to episode. Angles about the vertical axis, rad."""

    bottle_x_m: float
    bottle_y_m: float
    bottle_yaw_rad: float
    bottle_height_m: float  # table to the underside of the cap
    bottle_radius_m: float
    cap_radius_m: float
    cap_rgb: tuple[float, float, float]
    pad_friction: float
    running_torque_nm: float
    seat_rad: float  # how far the cap turns before it seats
    seat_nm_per_rad: float  # rise of the torque behind the seat
    start_x_m: float
    start_y_m: float
    start_z_m: float
    start_yaw_rad: float

    @staticmethod
    def sample(rng: np.random.Generator) -> "CapLayout":
        return CapLayout(
            bottle_x_m=rng.uniform(0.42, 0.54),
            bottle_y_m=rng.uniform(-0.09, 0.09),
            bottle_yaw_rad=rng.uniform(-np.pi / 4, np.pi / 4),
            bottle_height_m=rng.uniform(0.12, 0.16),
            bottle_radius_m=rng.uniform(0.024, 0.029),
            cap_radius_m=rng.uniform(0.016, 0.021),
            cap_rgb=tuple(rng.uniform([0.6, 0.1, 0.1], [1.0, 0.5, 0.3]).tolist()),
            pad_friction=rng.uniform(0.9, 1.3),
            running_torque_nm=rng.uniform(0.02, 0.10),
            seat_rad=rng.uniform(0.8, 3.4),
            seat_nm_per_rad=rng.uniform(1.1, 1.7),
            start_x_m=rng.uniform(0.42, 0.54),
            start_y_m=rng.uniform(-0.08, 0.08),
            start_z_m=rng.uniform(0.30, 0.36),
            start_yaw_rad=rng.uniform(-0.4, 0.4),
        )


class Outcome(Enum):
    """How an episode ended. `RUNNING` while it has not."""

    RUNNING = "running"
    SUCCESS = "success"
    UNDER_TORQUE = "under_torque"
    OVER_TORQUE = "over_torque"
    BOTTLE_TILTED = "bottle_tilted"
    BOTTLE_DROPPED = "bottle_dropped"
    TIME_OUT = "time_out"


def tighten_cap_spec(*, full_mesh: bool = False) -> mujoco.MjSpec:
    """Returns arm, table, holder, bottle and cap; sizes are set per episode by `apply_layout`."""
    spec = fr3_spec(full_mesh=full_mesh)
    world = spec.worldbody
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(0.5, 0.6, 0.02),
        pos=(0.45, 0, -0.02),
        rgba=(0.62, 0.55, 0.46, 1),
        group=GROUP_SCENE,
        contype=THING_BIT,
        conaffinity=THING_BIT | ARM_BIT,
    )
    world.add_light(pos=(0.3, 0.5, 1.6), dir=(0.1, -0.3, -1), diffuse=(0.7, 0.7, 0.7))
    world.add_light(pos=(0.3, -0.8, 1.2), dir=(0.1, 0.6, -0.8), diffuse=(0.35, 0.35, 0.35))
    _add_scene_camera(world)
    _add_holder(world)
    _add_bottle(world)
    equality = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1="cap_slide", name2="cap_hinge", name="thread"
    )
    polynomial = np.zeros_like(equality.data)
    polynomial[1] = PITCH_M_PER_RAD
    equality.data = polynomial
    # MuJoCo scales the softness by the hinge's tiny inertia without the pitch: ask for a stiff one.
    equality.solimp = (0.9999, 0.9999, 0.001, 0.5, 2)
    equality.solref = (0.005, 1)
    return spec


def _add_scene_camera(world: mujoco.MjsBody) -> None:
    eye, target = np.array([1.0, 0.55, 0.50]), np.array([0.47, 0.0, 0.16])
    quat_wxyz = look_quat_wxyz(target - eye, up=np.array([0.0, 0.0, 1.0]))
    world.add_camera(name=SCENE_CAMERA, pos=eye, quat=quat_wxyz, fovy=30)


def _add_holder(world: mujoco.MjsBody) -> None:
    holder = world.add_body(name="holder", mocap=True)
    reach_m = _BASE_HALF_M + _HOLDER_GAP_M + _WALL_M
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        holder.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(_WALL_M, reach_m, 0.015) if x else (reach_m, _WALL_M, 0.015),
            pos=(x * reach_m, y * reach_m, 0.015),
            rgba=(0.25, 0.27, 0.30, 1),
            group=GROUP_SCENE,
            contype=THING_BIT,
            conaffinity=THING_BIT | ARM_BIT,
        )


def _add_bottle(world: mujoco.MjsBody) -> None:
    thing = dict(group=GROUP_SCENE, contype=THING_BIT, conaffinity=THING_BIT | ARM_BIT)
    bottle = world.add_body(name="bottle")
    bottle.add_freejoint(name="bottle")
    blue = (0.55, 0.72, 0.86, 1)
    bottle.add_geom(
        name="bottle_base",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(_BASE_HALF_M, _BASE_HALF_M, 0.02),
        pos=(0, 0, 0.02),
        mass=0.35,
        rgba=blue,
        condim=4,
        friction=(0.8, 0.01, 0.0001),
        **thing,
    )
    cylinder = mujoco.mjtGeom.mjGEOM_CYLINDER
    for name, mass in (("bottle_body", 0.1), ("bottle_neck", 0.02)):
        bottle.add_geom(
            name=name, type=cylinder, size=(0.02, 0.02, 0), mass=mass, rgba=blue, **thing
        )
    cap = bottle.add_body(name="cap")
    down = (0, 0, -1)
    cap.add_joint(
        name="cap_hinge",
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=down,
        armature=5e-4,
        solimp_friction=(0.999, 0.9999, 0.001, 0.5, 2),  # dry friction also when it creeps
        solref_friction=(0.005, 1),
    )
    cap.add_joint(name="cap_slide", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=down, armature=0.02)
    cap.add_geom(
        name="cap", type=cylinder, size=(0.018, _CAP_HALF_M, 0), mass=0.02, condim=4,
        friction=(1.0, 0.005, 0.0001), **thing,
    )  # fmt: skip
    for index in range(_RIDGES):
        cap.add_geom(
            name=f"ridge_{index}", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.001, 0.001, 0.001),
            mass=0, group=GROUP_SCENE, contype=0, conaffinity=0, rgba=(0.95, 0.95, 0.95, 1),
        )  # fmt: skip


def apply_layout(model: mujoco.MjModel, layout: CapLayout) -> None:
    """Gives the compiled model the sizes, friction and colours of an episode, in place."""
    model.geom_sameframe[:] = 0  # set at compile time from the positions that change here
    height, radius = layout.bottle_height_m, layout.cap_radius_m
    body_top = height - _NECK_M
    _set_cylinder(model, "bottle_body", layout.bottle_radius_m, 0.04, body_top)
    _set_cylinder(model, "bottle_neck", 0.7 * radius, body_top, height + _CAP_HALF_M)
    _set_cylinder(model, "cap", radius, -_CAP_HALF_M, _CAP_HALF_M)
    model.body("cap").pos = (0, 0, height + _CAP_HALF_M + 0.003)
    cap, pads = model.geom("cap"), (model.geom(name) for name in PADS)
    cap.rgba[:3] = layout.cap_rgb
    for geom in (cap, *pads):
        geom.friction[0] = layout.pad_friction
    for index in range(_RIDGES):
        angle = 2 * np.pi * index / _RIDGES
        ridge = model.geom(f"ridge_{index}")
        ridge.size = (0.003, 0.0012, 0.0008)
        ridge.pos = (
            0.7 * radius * np.cos(angle), 0.7 * radius * np.sin(angle), _CAP_HALF_M,
        )  # fmt: skip
        ridge.quat = (np.cos(angle / 2), 0, 0, np.sin(angle / 2))


def _set_cylinder(
    model: mujoco.MjModel, name: str, radius_m: float, bottom_m: float, top_m: float
) -> None:
    geom = model.geom(name)
    half_m = (top_m - bottom_m) / 2
    geom.size[:2] = radius_m, half_m
    geom.pos = (0, 0, (top_m + bottom_m) / 2)
    model.geom_rbound[geom.id] = np.hypot(radius_m, half_m)
    model.geom_aabb[geom.id] = (0, 0, 0, radius_m, radius_m, half_m)


class Thread:
    """The friction and the seat of the screw cap, as a torque on its hinge.

    Behind the seat the clamped thread resists with a spring and with a friction that exceeds it,
    so a tightened cap stays where it was left. The torque needed to reach the deepest angle so
    far, `running + seat_nm_per_rad * (deepest - seat)`, is the tightening torque.
    """

    FRICTION_SHARE = 0.55  # of the rise behind the seat; the spring has the rest

    def __init__(self, model: mujoco.MjModel, layout: CapLayout) -> None:
        hinge = model.joint("cap_hinge")
        self._model, self._layout = model, layout
        self._dof, self._qpos = int(hinge.dofadr[0]), int(hinge.qposadr[0])
        self._deepest_rad = 0.0
        model.dof_frictionloss[self._dof] = layout.running_torque_nm

    def apply(self, data: mujoco.MjData) -> None:
        angle_rad = data.qpos[self._qpos]
        self._deepest_rad = max(self._deepest_rad, angle_rad)
        rise_nm = self._layout.seat_nm_per_rad * max(0.0, angle_rad - self._layout.seat_rad)
        share = self.FRICTION_SHARE
        self._model.dof_frictionloss[self._dof] = self._layout.running_torque_nm + share * rise_nm
        data.qfrc_applied[self._dof] = -(1 - share) * rise_nm

    @property
    def tightening_nm(self) -> float:
        """Torque at the deepest angle so far; 0 until the cap seats."""
        beyond_rad = self._deepest_rad - self._layout.seat_rad
        if beyond_rad <= 0:
            return 0.0
        return self._layout.running_torque_nm + self._layout.seat_nm_per_rad * beyond_rad


def judge(
    *,
    tightening_nm: float,
    tilt_rad: float,
    lift_m: float,
    tool_above_cap_m: float,
    clearance_m: float,
    was_gripped: bool,
    elapsed_s: float,
) -> Outcome:
    """Says how the episode stands. `clearance_m`: opening of the fingers beyond the cap."""
    if tilt_rad > MAX_TILT_RAD:
        return Outcome.BOTTLE_TILTED
    if lift_m > MAX_LIFT_M:
        return Outcome.BOTTLE_DROPPED
    if tightening_nm > BAND_NM[1]:
        return Outcome.OVER_TORQUE
    if was_gripped and tool_above_cap_m > RETREAT_M and clearance_m > 0.004:
        return Outcome.SUCCESS if tightening_nm >= BAND_NM[0] else Outcome.UNDER_TORQUE
    if elapsed_s > TIME_LIMIT_S:
        return Outcome.TIME_OUT
    return Outcome.RUNNING
