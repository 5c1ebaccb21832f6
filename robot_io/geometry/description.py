"""What an arm is made of, as plain data: joints, tool, and capsules that contain its links.

Units: m, rad. Frames: joint i turns about the z axis of its own frame, which is placed in the
frame of joint i - 1; the first in the base. A link moves with the last of the joints before it.

    base ── joint 1 ── joint 2 ── … ── joint J ── tool
      │        │          │               │
    link0    link1      link2      link7, hand, fingers        behind = 0, 1, 2, …, J

The files in `configs/bodies` are of this form; `scripts.body.fit` makes them from meshes.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Annotated, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from robot_io.rows import UNIT_TOLERANCE

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]


def _unit(quat_wxyz: tuple[float, ...]) -> tuple[float, ...]:
    norm = sqrt(sum(number * number for number in quat_wxyz))
    if not abs(norm - 1) <= UNIT_TOLERANCE:
        raise ValueError(f"quaternion of norm {norm:.4g}, allowed: 1")
    return quat_wxyz


Quat = Annotated[tuple[Finite, Finite, Finite, Finite], AfterValidator(_unit)]


class Part(BaseModel):
    """Base of these models: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Placed(Part):
    """A frame in another one."""

    position_m: Triple
    quat_wxyz: Quat


class Capsule(Part):
    """All points within `radius_m` of a segment, in the link's frame."""

    from_m: Triple
    to_m: Triple
    radius_m: Positive


class Joint(Placed):
    name: str
    low_rad: Finite
    high_rad: Finite

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if not self.low_rad < self.high_rad:
            raise ValueError(
                f"{self.name}: low_rad = {self.low_rad} must be below high_rad = {self.high_rad}"
            )
        return self


class Link(Part):
    """A rigid part of the arm: lies within its capsules."""

    name: str
    behind: Annotated[int, Field(ge=0)]  # joints between the base and it
    capsules: Annotated[tuple[Capsule, ...], Field(min_length=1)]


class ArmDescription(Part):
    """One arm with what is bolted to it. Legend: J joints."""

    joints: Annotated[tuple[Joint, ...], Field(min_length=1)]
    tool: Placed  # in the frame of the last joint
    links: Annotated[tuple[Link, ...], Field(min_length=1)]
    kept_apart: tuple[tuple[str, str], ...]  # links that the joints' limits keep from meeting

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [link.name for link in self.links]
        refuse_repeated("joint", [joint.name for joint in self.joints])
        refuse_repeated("link", names)
        for link in self.links:
            if link.behind > len(self.joints):
                raise ValueError(
                    f"{link.name}: behind = {link.behind}, allowed: 0 to {len(self.joints)} joints"
                )
        for name in (name for pair in self.kept_apart for name in pair):
            if name not in names:
                raise ValueError(f"kept_apart names {name!r}, allowed: {', '.join(names)}")
        return self

    @property
    def low_rad(self) -> np.ndarray:
        return np.array([joint.low_rad for joint in self.joints])

    @property
    def high_rad(self) -> np.ndarray:
        return np.array([joint.high_rad for joint in self.joints])

    def may_meet(self, one: Link, other: Link) -> bool:
        """Whether the distance of two links says anything.

        Links on the same joint are rigid to each other; neighbours always touch in the joint
        between them; and `kept_apart` is kept apart by the joints' limits.
        """
        if abs(one.behind - other.behind) < 2:
            return False
        pair = {one.name, other.name}
        return not any(pair == set(apart) for apart in self.kept_apart)


def refuse_repeated(what: str, names: Sequence[str]) -> None:
    """Raises ValueError where two things have one name."""
    for name in set(names):
        if names.count(name) > 1:
            raise ValueError(f"{what} {name!r} is there twice; each needs a name of its own")
