"""What a Franka arm is told when it is entered: one table, `[franka]`, of a robot's config.

None has a default: a missing one means that the arm is not entered. Stiffness, leash and grip force
are the gate's (`force_max_n`, `stiffness_n_per_m`, ...): what it counts on is what the arm does.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from robot_io.rows import UNIT_TOLERANCE

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]
SevenJoints = tuple[Finite, Finite, Finite, Finite, Finite, Finite, Finite]
SevenPositive = tuple[Positive, Positive, Positive, Positive, Positive, Positive, Positive]


class HandSettings(BaseModel):
    """The Franka hand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speed_m_per_s: Annotated[float, Field(gt=0, le=0.2)]
    step_m: Annotated[float, Field(gt=0, le=0.04)]  # smaller changes are not worth a movement


class FrankaSettings(BaseModel):
    """The arm. Its frames and loads are those of libfranka: F flange, NE nominal end effector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    realtime_kernel: bool  # refuse to move without one; only a simulated arm does without
    damping_n_s_per_m: Positive  # about the motion of the reference, all three axes
    damping_nm_s_per_rad: Positive
    posture_stiffness_nm_per_rad: NotNegative  # towards the joint angles at the start; null space
    joint_low_rad: SevenJoints  # a soft spring pushes back from here on
    joint_high_rad: SevenJoints
    reflex_force_n: Positive  # the arm's own stop: estimated external force along any axis,
    reflex_torque_nm: Positive  # torque about any,
    reflex_joint_torque_nm: SevenPositive  # and torque on each joint
    tool_in_nominal_ee: tuple[Finite, Finite, Finite, Finite, Finite, Finite, Finite]  # xyz, wxyz
    load_kg: Annotated[float, Field(ge=0, le=3)]  # beyond what Desk knows of the end effector
    load_centre_in_flange_m: Triple
    hand: HandSettings | None  # none: rows' widths go nowhere and are measured as 0

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not all(
            low < high for low, high in zip(self.joint_low_rad, self.joint_high_rad, strict=True)
        ):
            raise ValueError(
                f"joint_low_rad = {self.joint_low_rad} must be below joint_high_rad = "
                f"{self.joint_high_rad}"
            )
        square = sum(part * part for part in self.tool_in_nominal_ee[3:])
        if not abs(square**0.5 - 1) <= UNIT_TOLERANCE:
            raise ValueError(
                f"tool_in_nominal_ee = {self.tool_in_nominal_ee}: x y z (m), then a unit quaternion"
                " w x y z"
            )
        return self
