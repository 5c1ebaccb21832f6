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
    """The two bodies that are nearest to each other. Negative: they penetrate."""

    distance_m: float
    between: tuple[str, str]  # names of bodies; an obstacle or the table comes second


class Clearances(Protocol):
    """How far the arm is from itself, and from what is declared to stand around it."""

    def clearance(self, joint_J: np.ndarray) -> Clearance:
        """Of all pairs that may collide: links among themselves, table, obstacles."""
        ...


@dataclass(frozen=True, slots=True)
class Body:
    """A model of the whole arm."""

    kinematics: Kinematics
    clearances: Clearances
    link_names: frozenset[str]  # of the arm itself: a pair of two of them is self-collision
