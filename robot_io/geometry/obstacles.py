"""What stands around the arm and does not move: declared in the robot's TOML, in the base frame.

Units: m. A thing that moves (the bottle, a person, a cable) is not known here.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from robot_io.geometry.description import Part, Positive, Quat, Triple

UPRIGHT = (1.0, 0.0, 0.0, 0.0)


class Plane(Part):
    """Everything behind a plane: a floor, a wall, a table of any size."""

    name: str
    shape: Literal["plane"]
    point_m: Triple
    normal: Triple  # towards where the arm may be; of any length

    @model_validator(mode="after")
    def _has_a_side(self) -> "Plane":
        if not sum(abs(number) for number in self.normal) > 0:
            raise ValueError(f"{self.name}: normal = {self.normal}, allowed: any but zero")
        return self


class Box(Part):
    name: str
    shape: Literal["box"]
    centre_m: Triple
    half_m: tuple[Positive, Positive, Positive]  # half of its length along each of its axes
    quat_wxyz: Quat = UPRIGHT


class Sphere(Part):
    name: str
    shape: Literal["sphere"]
    centre_m: Triple
    radius_m: Positive


class Rod(Part):
    """All points within `radius_m` of a segment."""

    name: str
    shape: Literal["rod"]
    from_m: Triple
    to_m: Triple
    radius_m: Positive


Obstacle = Annotated[Plane | Box | Sphere | Rod, Field(discriminator="shape")]
