"""A tool row as floats, and what makes a row unusable."""

from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np

from robot_io.gate.motion import unit
from robot_io.gate.reasons import Reason
from robot_io.rows import UNIT_TOLERANCE
from robot_io.so3 import Quaternion, Vector

REACH_M = 2.0  # no arm of ours measures its tool further from its base: such a state is a lie


class Pose(NamedTuple):
    """Tool in base (m, unit quaternion wxyz) and opening of the hand (m)."""

    position: Vector
    quat: Quaternion
    width: float

    @classmethod
    def of(cls, row_8: np.ndarray) -> "Pose":
        x, y, z, qw, qx, qy, qz, width = row_8.tolist()
        return cls((x, y, z), unit((qw, qx, qy, qz)), width)


def row_fault(row_8: object) -> Reason | None:
    """Why something is no tool row; None where it is one."""
    if not isinstance(row_8, np.ndarray) or row_8.shape != (8,):
        return Reason.SHAPE
    if row_8.dtype.kind != "f" or row_8.itemsize > 8:  # longer floats do not become Python's
        return Reason.SHAPE
    numbers = row_8.tolist()
    if not all(map(isfinite, numbers)):
        return Reason.NOT_FINITE
    w, x, y, z = numbers[3:7]
    if not abs(sqrt(w * w + x * x + y * y + z * z) - 1) <= UNIT_TOLERANCE:
        return Reason.NOT_UNIT
    return None


def state_fault(row_8: object) -> Reason | None:
    """Why a measured row is unusable; None where it is one that an arm can have."""
    if row_fault(row_8) is not None or not isinstance(row_8, np.ndarray):
        return Reason.STATE_UNUSABLE
    reached = all(abs(number) <= REACH_M for number in row_8[:3].tolist())
    return None if reached else Reason.STATE_UNUSABLE


def patched(row_8: np.ndarray, asked: Pose, given: Pose) -> np.ndarray:
    """The row with only those parts rewritten that were changed: the rest bit for bit."""
    if given == asked:
        return row_8
    patched_8 = np.array(row_8, np.float64)
    if given.position != asked.position:
        patched_8[:3] = given.position
    if given.quat != asked.quat:
        patched_8[3:7] = given.quat
    if given.width != asked.width:
        patched_8[7] = given.width
    return patched_8
