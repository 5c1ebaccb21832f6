"""What a robot's TOML says of its body: the arm, and what stands around it."""

from typing import Self

import numpy as np
from pydantic import model_validator

from robot_io.gate.body import Body
from robot_io.geometry.description import ArmDescription, Part, refuse_repeated
from robot_io.geometry.obstacles import Obstacle


class BodyConfig(Part):
    """The table `[body]`. `arm` comes from a file of `configs/bodies`, which the robot extends."""

    arm: ArmDescription
    obstacles: tuple[Obstacle, ...]  # empty where nothing may be hit, and only then

    @model_validator(mode="after")
    def _each_has_its_name(self) -> Self:
        refuse_repeated("body", [thing.name for thing in (*self.arm.links, *self.obstacles)])
        return self

    def build(self) -> Body:
        """What the gate asks, and has been asked once: the first answer costs a tick or more.

        Imports pinocchio, which processes without a body need not.
        """
        from robot_io.geometry.clearances import ArmClearances
        from robot_io.geometry.kinematics import ArmKinematics

        kinematics = ArmKinematics(self.arm)
        clearances = ArmClearances(self.arm, self.obstacles)
        middle_J = (self.arm.low_rad + self.arm.high_rad) / 2
        row_8 = np.append(kinematics.pose_for(middle_J), 0.0)
        kinematics.joints_for(row_8, middle_J + 0.01)  # from beside: else nothing is solved
        kinematics.manipulability(middle_J)
        clearances.nearest(middle_J)
        return Body(kinematics, clearances)
