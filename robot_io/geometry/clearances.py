"""How near the arm comes to itself and to what is declared around it, from capsules.

Distances between capsules, boxes, spheres and planes are exact and signed (coal, through
pinocchio): below zero they say how deep. The capsules contain the arm, so the real distance is
never smaller than the one told here, for what is declared.
"""

import math

import coal
import numpy as np
import pinocchio as pin

from robot_io.gate.body import Clearance
from robot_io.geometry.description import ArmDescription, Capsule
from robot_io.geometry.model import kinematic_model, pose
from robot_io.geometry.obstacles import UPRIGHT, Box, Obstacle, Plane, Rod, Sphere

_BASE = 0  # pinocchio's index of what never moves
_ALONE = Clearance(math.inf, ("arm", "nothing"))
_UNKNOWN = Clearance(-math.inf, ("joint angles", "not a number"))


class ArmClearances:
    """Implements `robot_io.gate.body.Clearances` for one arm among obstacles.

    Checked are links that `ArmDescription.may_meet` each other, and every moving link against
    every obstacle. What stands on the base is not checked against obstacles: it stays there.
    """

    def __init__(self, arm: ArmDescription, obstacles: tuple[Obstacle, ...]) -> None:
        self._model, _ = kinematic_model(arm)
        self._data = self._model.createData()
        self._shapes = pin.GeometryModel()
        links = [self._add_link(link.behind, link.capsules) for link in arm.links]
        things = [self._add_obstacle(obstacle) for obstacle in obstacles]
        self._names: list[tuple[str, str]] = []
        for at, link in enumerate(arm.links):
            for other_at, other in enumerate(arm.links[at + 1 :], start=at + 1):
                if arm.may_meet(link, other):
                    self._pair(links[at], links[other_at], (link.name, other.name))
            for thing, obstacle in zip(things, obstacles, strict=True):
                if link.behind > 0:
                    self._pair(links[at], [thing], (link.name, obstacle.name))
        self._distances = self._shapes.createData()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of what is checked against each other."""
        return tuple(dict.fromkeys(self._names))

    def clearance(self, joint_J: np.ndarray) -> Clearance:
        """The nearest pair. What is not finite is as near as can be: no margin lets it pass."""
        if not np.isfinite(joint_J).all():
            return _UNKNOWN
        if not self._names:
            return _ALONE
        nearest = pin.computeDistances(
            self._model, self._data, self._shapes, self._distances, joint_J
        )
        result = self._distances.distanceResults[nearest]
        return Clearance(result.min_distance, self._names[nearest])

    def _add_link(self, behind: int, capsules: tuple[Capsule, ...]) -> list[int]:
        return [self._add(behind, *_rod(capsule)) for capsule in capsules]

    def _add_obstacle(self, obstacle: Obstacle) -> int:
        return self._add(_BASE, *_shape(obstacle))

    def _add(self, joint: int, shape: coal.CollisionGeometry, at: pin.SE3) -> int:
        name = str(self._shapes.ngeoms)
        return self._shapes.addGeometryObject(pin.GeometryObject(name, joint, at, shape))

    def _pair(self, ones: list[int], others: list[int], names: tuple[str, str]) -> None:
        for one in ones:
            for other in others:
                self._shapes.addCollisionPair(pin.CollisionPair(one, other))
                self._names.append(names)


def _shape(obstacle: Obstacle) -> tuple[coal.CollisionGeometry, pin.SE3]:
    if isinstance(obstacle, Plane):
        normal_3 = np.array(obstacle.normal) / np.linalg.norm(obstacle.normal)
        depth_m = float(normal_3 @ np.array(obstacle.point_m))
        return coal.Halfspace(normal_3, depth_m), pin.SE3.Identity()
    if isinstance(obstacle, Box):
        x, y, z = obstacle.half_m
        at = pose(np.array(obstacle.centre_m), np.array(obstacle.quat_wxyz))
        return coal.Box(2 * x, 2 * y, 2 * z), at
    if isinstance(obstacle, Sphere):
        at = pose(np.array(obstacle.centre_m), np.array(UPRIGHT))
        return coal.Sphere(obstacle.radius_m), at
    return _rod(obstacle)


def _rod(rod: Capsule | Rod) -> tuple[coal.CollisionGeometry, pin.SE3]:
    """A capsule along z, and where it must be put."""
    from_3, to_3 = np.array(rod.from_m), np.array(rod.to_m)
    along_3 = to_3 - from_3
    length_m = float(np.linalg.norm(along_3))
    turn = pin.Quaternion.FromTwoVectors(np.array([0.0, 0.0, 1.0]), along_3)
    at = pin.SE3(turn, (from_3 + to_3) / 2)
    return coal.Capsule(rod.radius_m, length_m), at
