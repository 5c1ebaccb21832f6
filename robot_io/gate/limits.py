"""Every limit of the gate, as it stands in a robot's config.

None has a default: a missing limit means that the arm is not armed. What an arm does not have, or
what nobody checks, is said in words ("none", "unchecked", "absent"), so that it is a decision.
"""

from math import sqrt
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from robot_io.rows import UNIT_TOLERANCE

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]
Violation = Literal["clip", "reject_chunk"]


class _Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlaneLimit(_Limits):
    """The tool stays on the side to which the normal points."""

    point_m: Triple
    normal: Triple

    @model_validator(mode="after")
    def _normal_is_unit(self) -> Self:
        length = sqrt(sum(n * n for n in self.normal))
        if not abs(length - 1) <= UNIT_TOLERANCE:
            raise ValueError(f"normal = {self.normal} has length {length:.4g}, allowed 1")
        return self


class BoxLimit(_Limits):
    """The tool stays outside; sides are along the base's axes."""

    low_m: Triple
    high_m: Triple

    @model_validator(mode="after")
    def _has_volume(self) -> Self:
        _check_below("low_m", self.low_m, "high_m", self.high_m)
        return self


class SphereLimit(_Limits):
    """The tool stays outside."""

    centre_m: Triple
    radius_m: Positive


class JointLimits(_Limits):
    """Legend: one number per joint, from the base on."""

    low_rad: tuple[Finite, ...]
    high_rad: tuple[Finite, ...]
    slow_down_rad: Positive  # from a limit: from here on slower and slower
    stop_rad: NotNegative  # from a limit: no further
    max_speed_rad_per_s: tuple[Positive, ...]
    max_accel_rad_per_s2: tuple[Positive, ...]
    max_jerk_rad_per_s3: tuple[Positive, ...]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        _check_below("low_rad", self.low_rad, "high_rad", self.high_rad)
        _check_margin("rad", self.slow_down_rad, self.stop_rad)
        for name in ("max_speed_rad_per_s", "max_accel_rad_per_s2", "max_jerk_rad_per_s3"):
            if len(getattr(self, name)) != len(self.low_rad):
                raise ValueError(f"{name} needs one number per joint: {len(self.low_rad)}")
        return self


class GeometryLimits(_Limits):
    """How near the arm may come to itself, to what is declared around it, to a singularity."""

    self_slow_down_m: Positive
    self_stop_m: NotNegative
    obstacle_slow_down_m: Positive
    obstacle_stop_m: NotNegative
    singular_slow_down_m_per_rad: Positive  # smallest singular value of the tool's Jacobian
    singular_stop_m_per_rad: NotNegative

    @model_validator(mode="after")
    def _slows_down_before_it_stops(self) -> Self:
        _check_margin("m", self.self_slow_down_m, self.self_stop_m)
        _check_margin("m", self.obstacle_slow_down_m, self.obstacle_stop_m)
        _check_margin("m/rad", self.singular_slow_down_m_per_rad, self.singular_stop_m_per_rad)
        return self


class TouchLimits(_Limits):
    """What the arm may feel at its tool: more latches a stop."""

    measured_force: Literal["required", "absent"]  # absent: this arm does not measure it
    max_force_n: Positive
    max_torque_nm: Positive


class MeasuredLimits(_Limits):
    """How fast what the arm measures can change: no real arm does, a false measurement jumps."""

    max_speed_m_per_s: Positive  # of the tool, also when somebody pushes it
    max_turn_rad_per_s: Positive
    max_joint_rad_per_s: Positive  # of the fastest joint


class OnViolation(_Limits):
    """Per group of limits: bring the command within them, or drop the rest of its chunk."""

    workspace: Violation  # box, planes, keep-out volumes
    gripper: Violation  # width and its speed
    speed: Violation  # of the tool, also turning
    acceleration: Violation
    jerk: Violation
    leash: Violation
    joints: Violation
    geometry: Violation  # itself, obstacles, singularities


class GateLimits(_Limits):
    """Units are in the names; poses are the tool's in the base frame."""

    period_s: Positive  # of commands; after a stall no more than two periods are made up for
    max_command_age_s: Positive
    workspace_low_m: Triple  # tool position in base
    workspace_high_m: Triple
    planes: tuple[PlaneLimit, ...]
    keep_out_boxes: tuple[BoxLimit, ...]
    keep_out_spheres: tuple[SphereLimit, ...]
    max_width_m: Positive
    max_width_speed_m_per_s: Positive
    max_grip_force_n: Positive  # a row carries no force: the arm's driver is told this at arming
    max_speed_m_per_s: Positive
    max_accel_m_per_s2: Positive
    max_jerk_m_per_s3: Positive
    max_turn_rad_per_s: Positive
    max_turn_accel_rad_per_s2: Positive
    max_turn_jerk_rad_per_s3: Positive
    force_max_n: Positive
    stiffness_n_per_m: Positive  # the arm's own Cartesian stiffness, of its stiffest axis
    torque_max_nm: Positive
    stiffness_nm_per_rad: Positive  # likewise: a softer axis reaches its share of the torque
    joints: JointLimits | Literal["none"]  # none: the arm says that it has none
    geometry: GeometryLimits | Literal["unchecked"]
    measured: MeasuredLimits
    touch: TouchLimits
    on_violation: OnViolation

    @model_validator(mode="after")
    def _workspace_has_volume(self) -> Self:
        _check_below(
            "workspace_low_m", self.workspace_low_m, "workspace_high_m", self.workspace_high_m
        )
        return self

    @model_validator(mode="after")
    def _geometry_knows_the_joints(self) -> Self:
        if self.geometry != "unchecked" and self.joints == "none":
            raise ValueError('geometry is checked, so joints = "none" is not allowed')
        return self

    @property
    def leash_m(self) -> float:
        """How far a command may be ahead of the measured position: further is more force."""
        return self.force_max_n / self.stiffness_n_per_m

    @property
    def leash_rad(self) -> float:
        return self.torque_max_nm / self.stiffness_nm_per_rad


def _check_below(
    low_name: str, low: tuple[float, ...], high_name: str, high: tuple[float, ...]
) -> None:
    if not (len(low) == len(high) and all(lo < hi for lo, hi in zip(low, high, strict=True))):
        raise ValueError(f"{low_name} = {low} must be below {high_name} = {high}")


def _check_margin(unit: str, slow_down: float, stop: float) -> None:
    if not stop < slow_down:
        raise ValueError(f"the arm stops at {stop} {unit}, allowed: below {slow_down} {unit}")
