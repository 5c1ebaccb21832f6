"""Cartesian impedance control through joint torques: a command beyond a contact is a force.

    F = K (x_ref - x) + D (v_ref - v),    tau = J^T F + posture in the null space + bias

F and the rotational part are taken in the tool frame, so that the hand may be soft about its own
axis and stiff in tilt. The reference follows the command through a critically damped second-order
filter: 100 Hz commands become smooth at 1 kHz, and the damping acts on the difference of the
velocities, so that a steady motion does not lag (which would feel like a force).
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.fr3 import ARM_JOINTS, HOME_RAD, MAX_TORQUE_NM, TOOL_SITE

_J = len(ARM_JOINTS)
_DAMPING_RATIO = 1.0  # of the tool's motion about its reference
_APPARENT_INERTIA_6 = np.array([14.0, 5.5, 7.0, 0.33, 0.66, 0.076])  # kg, kg·m², with rotors, home
_FILTER_RAD_S = 60.0  # lag of the reference 2 / 60 s
_POSTURE_NM_PER_RAD = 8.0
_POSTURE_DAMPING_NMS_PER_RAD = 4.0
_POSTURE_EVERY = 4  # steps: it is slow, and a quarter of the controller's cost
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


class CartesianImpedance:
    """Holds the tool of an FR3 model at a commanded pose with a spring and a damper.

    Runs at 1 kHz in Python: arrays are kept, and small algebra is left to MuJoCo's C helpers.
    """

    def __init__(self, model: mujoco.MjModel, stiffness: Stiffness | None = None) -> None:
        self._model = model
        self._site = model.site(TOOL_SITE).id
        dofs = [int(model.joint(name).dofadr[0]) for name in ARM_JOINTS]
        assert dofs == list(range(len(ARM_JOINTS))), "the arm's joints come first"
        self._stiffness_6 = (stiffness or Stiffness()).diagonal()
        self._damping_6 = 2 * _DAMPING_RATIO * np.sqrt(self._stiffness_6 * _APPARENT_INERTIA_6)
        self._jac_6V = np.empty((6, model.nv))
        self._gram_66, self._posture_6 = np.empty((6, 6)), np.empty(6)
        self._wrench_6, self._error_3 = np.empty(6), np.empty(3)
        self._x_ref_3, self._quat_ref_4 = np.zeros(3), np.array([1.0, 0, 0, 0])
        self._twist_ref_6, self._gap_6 = np.zeros(6), np.empty(6)  # turning in its own frame
        self._quat_4, self._w_ref_3 = np.empty(4), np.empty(3)
        self._posture_7, self._calls = np.zeros(_J), 0

    def anchor(self, data: mujoco.MjData) -> None:
        """Puts the reference where the tool is, at rest."""
        self._x_ref_3[:] = data.site_xpos[self._site]
        mujoco.mju_mat2Quat(self._quat_ref_4, data.site_xmat[self._site])
        self._twist_ref_6[:] = 0.0
        self._calls = 0

    def apply(self, data: mujoco.MjData, pose_7: np.ndarray, dt_s: float) -> None:
        """Sets the torques (N·m) that pull the tool towards `pose_7` (base frame, quat wxyz).

        Call between `mj_step1` and `mj_step2`: it needs the current kinematics and bias.
        """
        self._follow(pose_7, dt_s)
        mujoco.mj_jacSite(self._model, data, self._jac_6V[:3], self._jac_6V[3:], self._site)
        jac_67 = self._jac_6V[:, :_J]
        velocity_7 = data.qvel[:_J]
        tau_7 = jac_67.T @ self._wrench(data, jac_67 @ velocity_7)
        tau_7 += data.qfrc_bias[:_J]
        if self._calls % _POSTURE_EVERY == 0:
            self._posture_7 = self._posture(data, jac_67, velocity_7)
        self._calls += 1
        tau_7 += self._posture_7
        np.minimum(tau_7, MAX_TORQUE_NM, out=tau_7)
        np.maximum(tau_7, -MAX_TORQUE_NM, out=tau_7)
        data.qfrc_applied[:_J] = tau_7

    def _wrench(self, data: mujoco.MjData, twist_6: np.ndarray) -> np.ndarray:
        """Force and torque on the tool, base frame."""
        k, d = self._stiffness_6, self._damping_6
        tool_in_base = data.site_xmat[self._site].reshape(3, 3)
        mujoco.mju_mat2Quat(self._quat_4, data.site_xmat[self._site])
        mujoco.mju_subQuat(self._error_3, self._quat_ref_4, self._quat_4)  # in the tool frame
        self._wrench_6[:3] = k[:3] * (self._x_ref_3 - data.site_xpos[self._site])
        self._wrench_6[:3] += d[:3] * (self._twist_ref_6[:3] - twist_6[:3])
        mujoco.mju_rotVecQuat(self._w_ref_3, self._twist_ref_6[3:], self._quat_ref_4)
        slip_tool = (self._w_ref_3 - twist_6[3:]) @ tool_in_base
        self._wrench_6[3:] = tool_in_base @ (k[3:] * self._error_3 + d[3:] * slip_tool)
        return self._wrench_6

    def _posture(
        self, data: mujoco.MjData, jac_67: np.ndarray, velocity_7: np.ndarray
    ) -> np.ndarray:
        """A weak pull to the home posture that the tool does not feel."""
        posture_7 = _POSTURE_NM_PER_RAD * (HOME_RAD - data.qpos[:_J])
        posture_7 -= _POSTURE_DAMPING_NMS_PER_RAD * velocity_7
        np.matmul(jac_67, jac_67.T, out=self._gram_66)
        self._gram_66 += _REGULARISATION_66
        mujoco.mju_cholFactor(self._gram_66, 0.0)
        mujoco.mju_cholSolve(self._posture_6, self._gram_66, jac_67 @ posture_7)
        posture_7 -= self._posture_6 @ jac_67
        return posture_7

    def _follow(self, pose_7: np.ndarray, dt_s: float) -> None:
        """Moves the reference one step towards the command."""
        gap, twist = self._gap_6, self._twist_ref_6
        np.subtract(pose_7[:3], self._x_ref_3, out=gap[:3])
        mujoco.mju_subQuat(gap[3:], pose_7[3:], self._quat_ref_4)  # in the reference's own frame
        twist *= 1 - 2 * dt_s * _FILTER_RAD_S
        gap *= dt_s * _FILTER_RAD_S**2
        twist += gap
        self._x_ref_3 += dt_s * twist[:3]
        mujoco.mju_quatIntegrate(self._quat_ref_4, twist[3:], dt_s)
