"""Cartesian impedance control through joint torques: a command beyond a contact is a force.

    F = K (x_ref - x) + D (v_ref - v),    tau = J^T F + posture in the null space + gravity

Spring and damper are six actuators of the model between the tool and a reference body, so MuJoCo
evaluates them in every step of the physics; F is taken in the reference's frame, so that the hand
may be soft about its own axis and stiff in tilt. `CartesianImpedance` moves the reference: it
follows the command through a critically damped second-order filter, so that 100 Hz commands become
smooth, and the damping acts on the difference of the velocities, so that a steady motion does not
lag (which would feel like a force).
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.fr3 import ARM_JOINTS, HOME_RAD, MAX_TORQUE_NM, TOOL_SITE

_J = len(ARM_JOINTS)
_REFERENCE = "reference"
_DAMPING_RATIO = 1.0  # of the tool's motion about its reference
APPARENT_INERTIA_6 = np.array([14.0, 5.5, 7.0, 0.33, 0.66, 0.076])  # kg, kg·m², with rotors, home
_FILTER_RAD_S = 60.0  # lag of the reference 2 / 60 s
_POSTURE_NM_PER_RAD = 8.0
_POSTURE_DAMPING_NMS_PER_RAD = 4.0
_REGULARISATION_66 = 1e-4 * np.eye(6)


@dataclass(frozen=True, slots=True)
class Stiffness:
    """Diagonal stiffness in the tool frame."""

    translation_n_per_m: float = 700.0
    tilt_nm_per_rad: float = 30.0
    yaw_nm_per_rad: float = 5.0  # about the tool's own axis: 0.1 rad is 0.5 N·m

    def diagonal(self) -> np.ndarray:
        """Returns (6,): three of translation, three of rotation."""
        return np.array(
            [self.translation_n_per_m] * 3 + [self.tilt_nm_per_rad] * 2 + [self.yaw_nm_per_rad]
        )

    def damping(self) -> np.ndarray:
        """Returns (6,), N·s/m and N·m·s/rad, in the tool frame."""
        return 2 * _DAMPING_RATIO * np.sqrt(self.diagonal() * APPARENT_INERTIA_6)


def add_impedance(spec: mujoco.MjSpec, stiffness: Stiffness) -> None:
    """Gives the arm a spring and a damper to a reference body, motors, and carried weight.

    Springs, dampers, motors and the carried weight together keep each joint's torque limit.
    """
    reference = spec.worldbody.add_body(name=_REFERENCE, mocap=True)
    reference.add_site(name=_REFERENCE)
    axes = zip(stiffness.diagonal(), stiffness.damping(), strict=True)
    for axis, (spring, damper) in enumerate(axes):
        actuator = spec.add_actuator(
            name=f"impedance_{axis}",
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            target=TOOL_SITE,
            refsite=_REFERENCE,
            gear=np.eye(6)[axis],
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        )
        bias = np.zeros_like(actuator.biasprm)
        bias[1], bias[2] = -spring, -damper
        actuator.biasprm = bias
    for name, limit_nm in zip(ARM_JOINTS, MAX_TORQUE_NM, strict=True):
        spec.add_actuator(name=f"motor_{name}", trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
        joint = spec.joint(name)
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_TRUE
        joint.actfrcrange = (-limit_nm, limit_nm)
        joint.actgravcomp = True
    for body in spec.bodies:
        if body.name.startswith("fr3_link") or body.name == "hand" or body.name.endswith("finger"):
            body.gravcomp = 1.0


class CartesianImpedance:
    """Moves the reference of a model with `add_impedance` towards the commands."""

    def __init__(self, model: mujoco.MjModel, stiffness: Stiffness) -> None:
        self._model = model
        self._site = model.site(TOOL_SITE).id
        self._mocap = int(model.body(_REFERENCE).mocapid[0])
        dofs = [int(model.joint(name).dofadr[0]) for name in ARM_JOINTS]
        assert dofs == list(range(_J)), "the arm's joints come first"
        self._springs = _block(model, [f"impedance_{axis}" for axis in range(6)])
        self._motors = _block(model, [f"motor_{name}" for name in ARM_JOINTS])
        self._damping_6 = stiffness.damping()
        self._jac_6V = np.empty((6, model.nv))
        self._gram_66, self._posture_6 = np.empty((6, 6)), np.empty(6)
        self._off_6 = np.empty(6)  # reference as seen from the command; turning in its own frame
        self._twist_6 = np.zeros(6)  # of the reference: base frame; turning in its own frame
        self._ref_in_base_9 = np.empty(9)

    def anchor(self, data: mujoco.MjData) -> None:
        """Puts the reference where the tool is, at rest."""
        data.mocap_pos[self._mocap] = data.site_xpos[self._site]
        mujoco.mju_mat2Quat(data.mocap_quat[self._mocap], data.site_xmat[self._site])
        self._twist_6[:] = 0.0

    def apply(self, data: mujoco.MjData, pose_7: np.ndarray, dt_s: float) -> None:
        """Sets what pulls the tool towards `pose_7` (base frame, quat wxyz) for the next `dt_s`."""
        self._follow(data, pose_7, dt_s)
        mujoco.mju_quat2Mat(self._ref_in_base_9, data.mocap_quat[self._mocap])
        twist_6 = self._twist_6.copy()
        twist_6[:3] = twist_6[:3] @ self._ref_in_base_9.reshape(3, 3)
        data.ctrl[self._springs] = self._damping_6 * twist_6
        data.ctrl[self._motors] = self._posture(data)

    def wrench_6(self, data: mujoco.MjData) -> np.ndarray:
        """What spring and damper do to the tool: N, N·m, base frame, at the tool point."""
        mujoco.mju_quat2Mat(self._ref_in_base_9, data.mocap_quat[self._mocap])
        wrench_23 = data.actuator_force[self._springs].reshape(2, 3)
        return (wrench_23 @ self._ref_in_base_9.reshape(3, 3).T).ravel()

    def damping_along(self, axis_3: np.ndarray) -> float:
        """Of the tool's motion along a unit vector in base, N·s/m."""
        in_reference_3 = axis_3 @ self._ref_in_base_9.reshape(3, 3)
        return float(in_reference_3**2 @ self._damping_6[:3])

    def _posture(self, data: mujoco.MjData) -> np.ndarray:
        """A weak pull to the home posture that the tool does not feel."""
        mujoco.mj_jacSite(self._model, data, self._jac_6V[:3], self._jac_6V[3:], self._site)
        jac_67 = self._jac_6V[:, :_J]
        posture_7 = _POSTURE_NM_PER_RAD * (HOME_RAD - data.qpos[:_J])
        posture_7 -= _POSTURE_DAMPING_NMS_PER_RAD * data.qvel[:_J]
        np.matmul(jac_67, jac_67.T, out=self._gram_66)
        self._gram_66 += _REGULARISATION_66
        mujoco.mju_cholFactor(self._gram_66, 0.0)
        mujoco.mju_cholSolve(self._posture_6, self._gram_66, jac_67 @ posture_7)
        posture_7 -= self._posture_6 @ jac_67
        return posture_7

    def _follow(self, data: mujoco.MjData, pose_7: np.ndarray, dt_s: float) -> None:
        """Moves the reference on by the filter's exact solution for a command that stands still."""
        x_3, quat_4 = data.mocap_pos[self._mocap], data.mocap_quat[self._mocap]
        off, rate = self._off_6, _FILTER_RAD_S
        np.subtract(x_3, pose_7[:3], out=off[:3])
        mujoco.mju_subQuat(off[3:], pose_7[3:], quat_4)  # command as seen from the reference
        np.negative(off[3:], out=off[3:])
        pull = self._twist_6 + rate * off
        decay = np.exp(-rate * dt_s)
        step = (off + dt_s * pull) * decay - off
        self._twist_6 = (self._twist_6 - (rate * dt_s) * pull) * decay
        x_3 += step[:3]
        mujoco.mju_quatIntegrate(quat_4, step[3:], 1.0)


def _block(model: mujoco.MjModel, names: list[str]) -> slice:
    """The actuators of these names, which lie side by side."""
    first = model.actuator(names[0]).id
    assert [model.actuator(name).id for name in names] == list(range(first, first + len(names)))
    return slice(first, first + len(names))
