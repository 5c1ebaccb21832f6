"""The arm's kinematic tree in pinocchio, from its description. Importing this costs 0.1 s.

Masses are left out: nothing here asks for forces.
"""

import numpy as np
import pinocchio as pin

from robot_io.geometry.description import ArmDescription, Placed


def kinematic_model(arm: ArmDescription) -> tuple[pin.Model, int]:
    """The tree of joints, and the index of its tool's frame."""
    model, last = pin.Model(), 0
    for joint in arm.joints:
        last = model.addJoint(last, pin.JointModelRZ(), placement(joint), joint.name)
    tool = model.addFrame(pin.Frame("tool", last, placement(arm.tool), pin.FrameType.OP_FRAME))
    return model, tool


def placement(placed: Placed) -> pin.SE3:
    return pose(np.array(placed.position_m), np.array(placed.quat_wxyz))


def pose(position_3: np.ndarray, quat_wxyz: np.ndarray) -> pin.SE3:
    """A frame from its position (m) and a quaternion that need not be exactly of norm 1."""
    w, x, y, z = (quat_wxyz / np.linalg.norm(quat_wxyz)).tolist()
    return pin.SE3(pin.Quaternion(w, x, y, z), position_3)
