"""What the gate asks of a model of the whole arm. `robot_io.geometry` answers.

Units: m, rad. Legend: J joints; a pose is a command row (8,): `x y z qw qx qy qz width`, the tool
in the base frame. None of these may raise for a finite input of the right shape.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Kinematics(Protocol):
    """Which joint angles put the tool where."""

    def joints_for(self, pose_8: np.ndarray, near_J: np.ndarray) -> np.ndarray | None:
        """Joint angles (J,), rad, within the joints' limits, that put the tool at the pose.

        Reached from `near_J` on without a jump to another branch; None where there are none.
        """
        ...

    def manipulability(self, joint_J: np.ndarray) -> float:
        """Smallest singular value of the tool's Jacobian, m/rad; 0 at a singularity.

        Its rotational rows are scaled by a length that the implementation states.
        """
        ...


@dataclass(frozen=True, slots=True)
class Clearance:
    """The distance of two bodies. Negative: they penetrate."""

    distance_m: float
    between: tuple[str, str]  # names; an obstacle comes second


@dataclass(frozen=True, slots=True)
class Nearest:
    """What is nearest: of the arm's own links, and of links and obstacles."""

    itself: Clearance
    obstacle: Clearance


class Clearances(Protocol):
    """How far the arm is from itself, and from what is declared to stand around it."""

    def nearest(self, joint_J: np.ndarray) -> Nearest:
        """Of all pairs that may collide."""
        ...


@dataclass(frozen=True, slots=True)
class Body:
    """A model of the whole arm."""

    kinematics: Kinematics
    clearances: Clearances
