"""How near the arm comes to itself and to what is declared around it, from capsules.

Distances between capsules, boxes, spheres and planes are exact and signed (coal, through
pinocchio): below zero they say how deep. The capsules contain the arm, so the real distance is
never smaller than the one told here, for what is declared.
"""

import math
import warnings

import coal
import numpy as np
import pinocchio as pin

from robot_io.gate.body import Clearance, Nearest
from robot_io.geometry.description import ArmDescription, Capsule, Link
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
        model, _ = kinematic_model(arm)
        self._itself, self._obstacles = _Pairs(model), _Pairs(model)
        for at, link in enumerate(arm.links):
            for other in arm.links[at + 1 :]:
                if arm.may_meet(link, other):
                    self._itself.add(_placed(link), _placed(other), (link.name, other.name))
            for obstacle in obstacles:
                if link.behind > 0:
                    thing = [(_BASE, *_shape(obstacle))]
                    self._obstacles.add(_placed(link), thing, (link.name, obstacle.name))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names of what is checked against each other."""
        return tuple(dict.fromkeys([*self._itself.names, *self._obstacles.names]))

    def nearest(self, joint_J: np.ndarray) -> Nearest:
        """What is not finite is as near as can be: no margin lets it pass."""
        joint_J = np.asarray(joint_J, np.float64)
        if not np.isfinite(joint_J).all():
            return Nearest(_UNKNOWN, _UNKNOWN)
        return Nearest(self._itself.nearest(joint_J), self._obstacles.nearest(joint_J))


_Shape = tuple[int, coal.CollisionGeometry, pin.SE3]  # behind so many joints, what, and where


class _Pairs:
    """Shapes that move with an arm, and which of them are checked against each other."""

    def __init__(self, model: pin.Model) -> None:
        self._model, self._data = model, model.createData()
        self._shapes = pin.GeometryModel()
        self._distances = self._shapes.createData()
        self.names: list[tuple[str, str]] = []

    def add(self, ones: list[_Shape], others: list[_Shape], names: tuple[str, str]) -> None:
        for one in [self._added(shape) for shape in ones]:
            for other in [self._added(shape) for shape in others]:
                self._shapes.addCollisionPair(pin.CollisionPair(one, other))
                self.names.append(names)
        self._distances = self._shapes.createData()
        _forget(self._distances)

    def nearest(self, joint_J: np.ndarray) -> Clearance:
        """The nearest pair."""
        if not self.names:
            return _ALONE
        nearest = pin.computeDistances(
            self._model, self._data, self._shapes, self._distances, joint_J
        )
        result = self._distances.distanceResults[nearest]
        return Clearance(result.min_distance, self.names[nearest])

    def _added(self, shape: _Shape) -> int:
        joint, geometry, at = shape
        name = str(self._shapes.ngeoms)
        return self._shapes.addGeometryObject(pin.GeometryObject(name, joint, at, geometry))


def _forget(distances: pin.GeometryData) -> None:
    """Each search begins afresh: from where the last one ended the last bits would differ, and a
    replay would not be the run."""
    with warnings.catch_warnings():  # coal wants this gone, and has nothing that takes its place
        warnings.simplefilter("ignore", DeprecationWarning)
        for request in distances.distanceRequests:
            request.enable_cached_gjk_guess = False


def _placed(link: Link) -> list[_Shape]:
    return [(link.behind, *_rod(capsule)) for capsule in link.capsules]


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
