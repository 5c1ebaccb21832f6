"""The FR3 before a wall and above a table that both give way like a spring: what does it push with?

A wall that faces the arm (normal -x) and a table that faces up (normal +z) each slide along their
normal on a spring of known stiffness, so that a blow has a closed form to be held against. The
force is what MuJoCo's contacts press with along that normal. Units: m, s, N, kg.
"""

from enum import Enum

import mujoco
import numpy as np

from robot_io.clock import NS_PER_S
from robot_io.types import ArmState, MonoNs
from sim.fr3 import (
    ARM_BIT,
    ARM_JOINTS,
    FINGER_JOINTS,
    GRIPPER,
    HOME_RAD,
    MAX_WIDTH_M,
    THING_BIT,
    TOOL_SITE,
    fr3_spec,
)
from sim.impedance import CartesianImpedance, Stiffness, add_impedance
from sim.leverage import Leverage, least_leverage

STEP_NS = 5_000_000  # of the controller's reference: five steps of the physics
_STEP_S = STEP_NS / NS_PER_S
_SETTLE_STEPS = 600
_HALF_M = 0.02  # thickness of a plate
_PLATE_KG = 0.3
_PLATE_DAMPING_RATIO = 0.05
_REACH_M = 0.18  # half of a plate: the arm's own base stays clear of it
_AWAY_M = 5.0
_REGULARISATION_66 = 1e-6 * np.eye(6)  # 1/kg, 1/(kg·m²): a straight arm is heavy, not infinitely so


class Plate(Enum):
    """What there is to push against, with the direction in which the arm meets it."""

    WALL = ("wall", (1.0, 0.0, 0.0))
    TABLE = ("table", (0.0, 0.0, -1.0))

    @property
    def label(self) -> str:
        return self.value[0]

    @property
    def inwards_3(self) -> np.ndarray:
        return np.array(self.value[1])


class WallWorld:
    """Arm, wall and table. `reset` first; then `command` sets the target and `step` moves on."""

    def __init__(self, stiffness: Stiffness, *, plate_n_per_m: float = 30_000.0) -> None:
        spec = fr3_spec()
        for plate in Plate:
            _add_plate(spec, plate, plate_n_per_m)
        add_impedance(spec, stiffness)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.plate_n_per_m = plate_n_per_m
        self._controller = CartesianImpedance(self.model, stiffness)
        self._substeps = round(_STEP_S / self.model.opt.timestep)
        self._hand_drive = self.model.actuator(GRIPPER).id
        self._hand, self._tool = self.model.body("hand").id, self.model.site(TOOL_SITE).id
        self._plates = {plate: self.model.geom(plate.label).id for plate in Plate}
        self._bodies = {plate: self.model.body(plate.label).id for plate in Plate}
        self._finger = int(self.model.joint(FINGER_JOINTS[0]).qposadr[0])

    def reset(self, row_8: np.ndarray, *, away_m: dict[Plate, float] | None = None) -> None:
        """Puts the tool at rest at the row, the plates so far beyond its reach (None: far away)."""
        away_m = away_m if away_m is not None else {}
        mujoco.mj_resetData(self.model, self.data)
        self._steps = 0
        self.peak_n = dict.fromkeys(Plate, 0.0)  # of each plate, since the reset
        self._put_plates(row_8[:3], {})
        self.data.qpos[: len(ARM_JOINTS)] = HOME_RAD
        self.data.qpos[self._finger : self._finger + 2] = row_8[7] / 2
        mujoco.mj_forward(self.model, self.data)
        self._controller.anchor(self.data)
        self._target_8 = row_8.copy()
        for _ in range(_SETTLE_STEPS):
            self._physics()
        self._target_8 = self.state().row_D
        self._put_plates(self._target_8[:3], away_m)
        mujoco.mj_forward(self.model, self.data)

    def _put_plates(self, tool_3: np.ndarray, away_m: dict[Plate, float]) -> None:
        for plate, body in self._bodies.items():
            away = away_m.get(plate, _AWAY_M)
            self.model.body_pos[body] = tool_3 + (away + _HALF_M) * plate.inwards_3

    def command(self, row_8: np.ndarray) -> None:
        self._target_8 = np.asarray(row_8, np.float64)

    def hold(self) -> None:
        """The arm's own stop: the target becomes where the tool is."""
        self._target_8 = self.state().row_D

    def push(self, force_3: np.ndarray) -> None:
        """A hand pushes at the arm's hand, N in base, until told otherwise."""
        self.data.xfrc_applied[self._hand, :3] = force_3

    def step(self) -> None:
        self._physics()
        self._steps += 1

    @property
    def now_ns(self) -> MonoNs:
        return MonoNs(self._steps * STEP_NS)

    def state(self) -> ArmState:
        quat_wxyz = np.empty(4)
        mujoco.mju_mat2Quat(quat_wxyz, self.data.site_xmat[self._tool])
        width_m = self.data.qpos[self._finger : self._finger + 2].sum()
        row_8 = np.concatenate([self.data.site_xpos[self._tool], quat_wxyz, [width_m]])
        return ArmState(self.now_ns, row_8, self.data.qpos[: len(ARM_JOINTS)].copy())

    def twist_6(self) -> np.ndarray:
        """Velocity of the tool in base: m/s, rad/s."""
        twist_6 = np.empty(6)
        kind = mujoco.mjtObj.mjOBJ_SITE
        mujoco.mj_objectVelocity(self.model, self.data, kind, self._tool, twist_6, 0)
        return np.concatenate([twist_6[3:], twist_6[:3]])

    def contact_n(self, plate: Plate) -> float:
        """The force on a plate along its normal, all contacts together; below 0 away from the arm.

        Fingers that squeeze the plate from both sides do not push it.
        """
        return sum(float(self._force_3(i, plate) @ plate.inwards_3) for i in self._contacts(plate))

    def _force_3(self, index: int, plate: Plate) -> np.ndarray:
        """What a contact does to the plate, N in base."""
        wrench_6, contact = np.empty(6), self.data.contact[index]
        mujoco.mj_contactForce(self.model, self.data, index, wrench_6)
        on_second_3 = contact.frame.reshape(3, 3).T @ wrench_6[:3]
        return on_second_3 if contact.geom[1] == self._plates[plate] else -on_second_3

    def leverage(self, plate: Plate, *, ceilings: tuple[float, float]) -> Leverage:
        """How the tool moves when what touches the plate goes into it: see `sim.leverage`.

        `ceilings` of the spring's force and torque, N and N·m. Something must press the plate.
        """
        model, data = self.model, self.data
        jacobian_6V, place_3V = np.zeros((6, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, jacobian_6V[:3], jacobian_6V[3:], self._tool)
        contact_V = np.zeros(model.nv)
        for index in self._contacts(plate):
            contact = data.contact[index]
            (geom,) = (each for each in contact.geom if each != self._plates[plate])
            mujoco.mj_jac(model, data, place_3V, None, contact.pos, model.geom_bodyid[geom])
            contact_V -= self._force_3(index, plate) @ place_3V
        at_stop = data.efc_type == mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT
        stops = set(data.efc_id[at_stop & (data.efc_force > 0)].tolist())
        free = [joint for joint in range(len(ARM_JOINTS)) if joint not in stops]
        rest_V = -contact_V - jacobian_6V.T @ self._controller.wrench_6(data)
        press_n = self.contact_n(plate)
        return least_leverage(
            jacobian_6V[:, free],
            contact_V[free] / abs(press_n),
            rest_V[free],
            inwards_3=np.sign(press_n) * plate.inwards_3,
            ceilings=ceilings,
        )

    def _contacts(self, plate: Plate) -> list[int]:
        geom = self._plates[plate]
        return [i for i in range(self.data.ncon) if geom in self.data.contact[i].geom]

    def effective_mass_kg(self, plate: Plate) -> float:
        """Mass of the arm as felt where the hand touches the plate: 1 / (n' J M^-1 J' n).

        Along the plate's normal; at the tool where nothing touches. Rotors are in M.
        (Khatib 1995, "Inertial properties in robotic manipulation: an object-level framework".)
        """
        contacts = self._contacts(plate)
        point_3 = self.data.site_xpos[self._tool]
        if contacts:
            point_3 = np.mean([self.data.contact[i].pos for i in contacts], axis=0)
        jac_3V = np.empty((3, self.model.nv))
        mujoco.mj_jac(self.model, self.data, jac_3V, None, point_3, self._hand)
        along_1V = (plate.inwards_3 @ jac_3V)[None]
        solved_1V = np.empty_like(along_1V)
        mujoco.mj_solveM(self.model, self.data, solved_1V, along_1V)
        return 1 / float(along_1V[0] @ solved_1V[0])

    def heaviest(self) -> tuple[float, float]:
        """Mass of the tool that does not turn along the way in which it is heaviest; damping there.

        kg, N·s/m. The mass is the largest eigenvalue of the translational part of
        (J M^-1 J')^-1, rotors included (Khatib 1987, "operational space formulation").
        """
        jac_6V, solved_6V = np.empty((6, self.model.nv)), np.empty((6, self.model.nv))
        mujoco.mj_jacSite(self.model, self.data, jac_6V[:3], jac_6V[3:], self._tool)
        mujoco.mj_solveM(self.model, self.data, solved_6V, jac_6V)
        inertia_66 = np.linalg.inv(jac_6V @ solved_6V.T + _REGULARISATION_66)
        mass_3, axis_33 = np.linalg.eigh(inertia_66[:3, :3])
        return float(mass_3[-1]), self._controller.damping_along(axis_33[:, -1])

    def _physics(self) -> None:
        self._controller.apply(self.data, self._target_8[:7], _STEP_S)
        self.data.ctrl[self._hand_drive] = min(max(self._target_8[7], 0.0), MAX_WIDTH_M) / 2
        for _ in range(self._substeps):
            mujoco.mj_step(self.model, self.data)
            if self.data.ncon > 0:
                for plate, peak_n in self.peak_n.items():
                    self.peak_n[plate] = max(peak_n, self.contact_n(plate))


def _add_plate(spec: mujoco.MjSpec, plate: Plate, stiffness_n_per_m: float) -> None:
    """A plate that slides along its normal on a spring, weightless."""
    body = spec.worldbody.add_body(name=plate.label, gravcomp=1.0)
    joint = body.add_joint(name=plate.label, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=plate.inwards_3)
    spring, damper = np.zeros_like(joint.stiffness), np.zeros_like(joint.damping)
    spring[0] = stiffness_n_per_m
    damper[0] = 2 * _PLATE_DAMPING_RATIO * np.sqrt(stiffness_n_per_m * _PLATE_KG)
    joint.stiffness, joint.damping = spring, damper
    size_3 = np.where(plate.inwards_3 != 0, _HALF_M, _REACH_M)
    body.add_geom(
        name=plate.label,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size_3,
        mass=_PLATE_KG,
        contype=THING_BIT,
        conaffinity=ARM_BIT,  # they may cross each other
        solref=(0.004, 1.0),
    )
