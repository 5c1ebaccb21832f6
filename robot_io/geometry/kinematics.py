"""Which joint angles put the tool at a pose: differential inverse kinematics within bounds.

Each round solves, for the angles' step x (J,), with the tool's Jacobian A (6, J) and its error e:

    minimise |A x - e|² + (|e|² + ε) |x|²    subject to    low <= q + x <= high

a quadratic program (`daqp`). The damping falls with the error (Sugihara 2011, "Solvability-
unconcerned inverse kinematics by the Levenberg-Marquardt method"), so that the last rounds are
Newton's and no error drives a step beyond |e| / (2 |e|) = 0.5 rad in any direction, however near a
singularity is. Rows of rotation in A and e are scaled by `LEVER_M`, so both are in metres.
"""

import daqp
import numpy as np
import pinocchio as pin

from robot_io.geometry.description import ArmDescription
from robot_io.geometry.model import kinematic_model, pose

LEVER_M = 0.2  # what a radian of rotation counts as: about the tool's distance to the wrist
REACH_RAD = 0.5  # no joint goes further from where the search began: further is another branch
TOLERANCE_M = 1e-8  # of position and, times the lever, of rotation: jerk is a third difference
_ROUNDS = 10
_LEAST_DAMPING = 1e-9
_OPTIMAL = 1
_LARGEST = 1e3  # m and rad: whatever is larger is no pose and no angle, nor is a NaN
_SCALE_61 = np.array([1.0, 1.0, 1.0, LEVER_M, LEVER_M, LEVER_M])[:, None]
_LOCAL = pin.ReferenceFrame.LOCAL


class ArmKinematics:
    """Implements `robot_io.gate.body.Kinematics` for one arm. Legend: J joints."""

    def __init__(self, arm: ArmDescription) -> None:
        self._model, self._tool = kinematic_model(arm)
        self._data = self._model.createData()
        self._low_J, self._high_J = arm.low_rad, arm.high_rad
        joints = len(arm.joints)
        self._free = np.zeros((0, joints)), np.zeros(joints, np.int32)  # bounds are all there is

    def pose_for(self, joint_J: np.ndarray) -> np.ndarray:
        """Where the angles put the tool: (7,), position (m) and quaternion wxyz in the base."""
        pin.forwardKinematics(self._model, self._data, joint_J)
        tool = pin.updateFramePlacement(self._model, self._data, self._tool)
        x, y, z, w = pin.Quaternion(tool.rotation).coeffs().tolist()
        return np.array([*tool.translation, w, x, y, z])

    def joints_for(self, pose_8: np.ndarray, near_J: np.ndarray) -> np.ndarray | None:
        """Angles (J,) that put the tool at the pose within `TOLERANCE_M`, or None.

        Of all such it finds the ones that take the joints the shortest way from `near_J`; none
        goes further than `REACH_RAD`, and none beyond its limits.
        """
        pose_8, near_J = np.asarray(pose_8, np.float64), np.asarray(near_J, np.float64)
        if not (_sane(pose_8) and _sane(near_J) and np.linalg.norm(pose_8[3:7]) > 0.5):
            return None
        target = pose(pose_8[:3], pose_8[3:7])
        low_J = np.maximum(self._low_J, near_J - REACH_RAD)
        high_J = np.minimum(self._high_J, near_J + REACH_RAD)
        if not (low_J <= high_J).all():
            return None  # measured outside its limits by more than the reach
        joint_J = np.clip(near_J, low_J, high_J)
        for _ in range(_ROUNDS):
            jacobian_6J = self._jacobian(joint_J)
            error_6 = pin.log6(self._data.oMf[self._tool].actInv(target)).vector
            error_6 *= _SCALE_61[:, 0]
            if np.linalg.norm(error_6) <= TOLERANCE_M:
                return joint_J
            step_J = self._step(jacobian_6J, error_6, low_J - joint_J, high_J - joint_J)
            if step_J is None:
                return None
            joint_J = np.clip(joint_J + step_J, low_J, high_J)
        return None

    def manipulability(self, joint_J: np.ndarray) -> float:
        """How far the tool moves (m) per rad of the joints in the direction it moves least in.

        A rad of the tool's rotation counts as `LEVER_M`. 0 for what are no angles.
        """
        joint_J = np.asarray(joint_J, np.float64)
        if not _sane(joint_J):
            return 0.0
        return float(np.linalg.svd(self._jacobian(joint_J), compute_uv=False)[-1])

    def _jacobian(self, joint_J: np.ndarray) -> np.ndarray:
        """(6, J), m/rad, in the tool's frame; leaves the tool's placement in `_data`."""
        pin.computeJointJacobians(self._model, self._data, joint_J)
        pin.updateFramePlacement(self._model, self._data, self._tool)
        return _SCALE_61 * pin.getFrameJacobian(self._model, self._data, self._tool, _LOCAL)

    def _step(
        self, jacobian_6J: np.ndarray, error_6: np.ndarray, low_J: np.ndarray, high_J: np.ndarray
    ) -> np.ndarray | None:
        hessian_JJ = jacobian_6J.T @ jacobian_6J
        hessian_JJ.flat[:: len(low_J) + 1] += error_6 @ error_6 + _LEAST_DAMPING
        step_J, _, outcome, _ = daqp.solve(
            hessian_JJ, -(error_6 @ jacobian_6J), self._free[0], high_J, low_J, self._free[1]
        )
        return step_J if outcome == _OPTIMAL and np.isfinite(step_J).all() else None


def _sane(numbers: np.ndarray) -> bool:
    return bool((np.abs(numbers) < _LARGEST).all())
