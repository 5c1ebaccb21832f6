"""Distances are MuJoCo's, never more than those of the real meshes, and known collisions are seen.

Legend: J joints, N points.
"""

import math
from typing import Any

import coal
import mujoco
import numpy as np
import pytest
from pydantic import ValidationError

from robot_io.gate.body import Clearance, Nearest
from robot_io.geometry.clearances import ArmClearances
from robot_io.geometry.config import BodyConfig
from robot_io.geometry.description import ArmDescription, Link
from robot_io.geometry.obstacles import Box, Plane, Rod, Sphere
from scripts.body.fit import (
    FINGERS,
    body_triangles,
    collision_mesh,
    link_pieces,
    mesh_distance,
    segment_distance,
)
from scripts.body.picture import GROUP_CAPSULES
from sim.fr3 import ARM_JOINTS, FINGER_JOINTS, HOME_RAD, MAX_WIDTH_M, PADS

J = len(ARM_JOINTS)
TABLE = Box(name="table", shape="box", centre_m=(0.45, 0, -0.02), half_m=(0.5, 0.6, 0.02))
# The meshes of these links meet here; the arm's own limits allow it.
HAND_IN_SHOULDER = np.array([0.0, -0.5, 0.0, -3.0, 0.0, 0.6, 0.785])
FOREARM_IN_BASE = np.array([0.0, 1.5, 0.0, -3.0, 0.0, 2.0, 0.785])


@pytest.fixture(scope="module")
def clearances(arm: ArmDescription) -> ArmClearances:
    return ArmClearances(arm, (TABLE,))


def closest(nearest: Nearest) -> Clearance:
    return min(nearest.itself, nearest.obstacle, key=lambda each: each.distance_m)


def depth_in(link: Link, points: np.ndarray) -> np.ndarray:
    """How deep points (..., 3) lie inside a capsule of the link: (K, ...), below 0 outside."""
    return np.stack(
        [
            capsule.radius_m
            - segment_distance(points, np.array(capsule.from_m), np.array(capsule.to_m))
            for capsule in link.capsules
        ]
    )


def test_the_capsules_contain_the_meshes(arm, model):
    """Each triangle, of visual and of collision meshes, lies in one capsule as a whole or is cut
    into smaller ones that do; each point on it that is looked at does."""
    bary_B3 = np.random.default_rng(0).dirichlet(np.ones(3), size=6)
    bary_B3 = np.concatenate([np.eye(3), bary_B3])
    pieces = link_pieces(model)
    for link in arm.links:
        if link.name != "fingers":
            points = np.einsum("bc,fcx->fbx", bary_B3, pieces[link.name])
            assert depth_in(link, points).max(axis=0).min() > 0, link.name


@pytest.mark.parametrize("width_m", [0.0, 0.03, MAX_WIDTH_M])
def test_the_capsules_contain_the_fingers_at_each_opening(arm, model, data, width_m):
    """The square pads that the simulation puts on them stick out at their corners by 2 mm."""
    (link,) = (link for link in arm.links if link.name == "fingers")
    data.qpos[[int(model.joint(name).qposadr[0]) for name in FINGER_JOINTS]] = width_m / 2
    mujoco.mj_kinematics(model, data)
    for finger, pad in zip(FINGERS, PADS, strict=True):
        in_base = placed(data.body(finger), body_triangles(model, finger))
        assert depth_in(link, seen_from(data.body("fr3_link7"), in_base)).max(axis=0).min() > 0

        corner_83 = model.geom(pad).size * np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
        in_base = placed(data.geom(pad), corner_83)
        depth_m = depth_in(link, seen_from(data.body("fr3_link7"), in_base))
        assert depth_m.max(axis=0).min() > -0.0025


def placed(frame: Any, points: np.ndarray) -> np.ndarray:
    """From the frame of a body or geom in `MjData` to the base."""
    return frame.xpos + points @ frame.xmat.reshape(3, 3).T


def seen_from(frame: Any, points: np.ndarray) -> np.ndarray:
    return (points - frame.xpos) @ frame.xmat.reshape(3, 3)


def test_the_capsules_do_not_hang_far_below_the_fingertips(arm):
    """A gripper works close to the table: its tips are 0.2192 m from the last joint (Franka)."""
    (link,) = (link for link in arm.links if link.name == "fingers")

    lowest_m = max(max(c.from_m[2], c.to_m[2]) + c.radius_m for c in link.capsules)

    assert 0.2192 < lowest_m < 0.2192 + 0.0025


def body_of(link: str) -> str:
    return link if link == "hand" else f"fr3_{link}"


def mujoco_distances(
    model: mujoco.MjModel, data: mujoco.MjData, pairs: list[tuple[str, str]]
) -> dict[tuple[str, str], float]:
    """Smallest distance of each pair of links, between the same capsules, m."""
    geoms = {model.geom(g).name: g for g in np.flatnonzero(model.geom_group == GROUP_CAPSULES)}
    least = {}
    for one, other in pairs:
        least[one, other] = min(
            mujoco.mj_geomDistance(model, data, geoms[a], geoms[b], 10.0, None)
            for a in geoms
            for b in geoms
            if a.startswith(f"{one}/") and b.startswith(f"{other}/")
        )
    return least


@pytest.mark.parametrize("among", ["itself", "obstacles"])
def test_the_nearest_pair_is_the_one_that_mujoco_finds(arm, model, data, rng, obstacles, among):
    clearances = ArmClearances(arm, obstacles if among == "obstacles" else ())
    for _ in range(150):
        data.qpos[:J] = rng.uniform(arm.low_rad, arm.high_rad)
        mujoco.mj_kinematics(model, data)
        expected = mujoco_distances(model, data, list(clearances.pairs))

        found = closest(clearances.nearest(data.qpos[:J]))

        least_m = min(expected.values())
        if least_m > 0:
            assert found.distance_m == pytest.approx(least_m, abs=1e-5)
            assert expected[found.between] == pytest.approx(least_m, abs=1e-5)
        else:
            assert found.distance_m <= 0


def test_the_real_meshes_are_never_nearer_than_told(arm, model, data, rng):
    clearances = ArmClearances(arm, ())
    meshes = {
        link.name: collision_mesh(model, body_of(link.name))
        for link in arm.links
        if link.name != "fingers"
    }
    touching = 0
    for centre_J in (HOME_RAD, HAND_IN_SHOULDER, FOREARM_IN_BASE):
        for _ in range(20):
            wide_J = centre_J + rng.normal(size=J) * 0.4
            data.qpos[:J] = np.clip(wide_J, arm.low_rad, arm.high_rad)
            mujoco.mj_kinematics(model, data)
            told_m = closest(clearances.nearest(data.qpos[:J])).distance_m
            for one, other in clearances.pairs:
                if "fingers" not in (one, other):
                    real_m = mesh_distance(data, (one, meshes[one]), (other, meshes[other]))
                    touching += real_m <= 0
                    assert told_m <= real_m + 1e-6
    assert touching > 20


def test_links_that_are_left_out_are_apart_whatever_the_joints_do(arm, model, data, rng):
    names = {name for pair in arm.kept_apart for name in pair}
    meshes = {name: collision_mesh(model, body_of(name)) for name in names}
    behind = {link.name: link.behind for link in arm.links}
    for one, other in arm.kept_apart:
        assert behind[other] - behind[one] == 2  # so that few angles say all
        for _ in range(100):
            data.qpos[:J] = rng.uniform(arm.low_rad, arm.high_rad)
            mujoco.mj_kinematics(model, data)

            assert mesh_distance(data, (one, meshes[one]), (other, meshes[other])) > 0.015


def test_neighbours_and_what_is_bolted_together_are_not_checked(clearances):
    pairs = set(clearances.pairs)

    assert not pairs & {("link2", "link3"), ("link7", "hand"), ("hand", "fingers")}
    assert ("link0", "hand") in pairs
    assert ("link5", "fingers") in pairs
    assert ("link2", "fingers") in pairs


def test_the_base_is_not_checked_against_the_table_that_it_stands_on(clearances):
    pairs = set(clearances.pairs)

    assert ("link0", "table") not in pairs
    assert {(f"link{n}", "table") for n in range(1, 8)} <= pairs


def test_at_home_nothing_is_near(clearances):
    assert closest(clearances.nearest(HOME_RAD)).distance_m > 0.05


def test_a_hand_pushed_into_the_table_is_seen(kinematics, clearances):
    """Straight down, the clearance falls with the height: fingertips are 9 mm below the tool."""
    row_8 = np.append(kinematics.pose_for(HOME_RAD), 0.04)
    joint_J, below_m = HOME_RAD, []
    while row_8[2] > 0.0:
        row_8[2] -= 0.01
        joint_J = kinematics.joints_for(row_8, joint_J)
        assert joint_J is not None
        found = closest(clearances.nearest(joint_J))
        if row_8[2] < 0.05:
            assert found.between == ("fingers", "table")
            below_m.append(row_8[2] - found.distance_m)

    assert found.distance_m < -0.009
    assert np.ptp(below_m) < 1e-6
    assert 0.009 < np.mean(below_m) < 0.012


@pytest.mark.parametrize(
    ("joint_J", "ones", "others"),
    [
        (HAND_IN_SHOULDER, {"link1", "link2"}, {"link6", "link7", "hand", "fingers"}),
        (FOREARM_IN_BASE, {"link0", "link1"}, {"link5", "link6"}),
    ],
)
def test_an_arm_folded_into_itself_is_seen(arm, joint_J, ones, others):
    found = closest(ArmClearances(arm, ()).nearest(joint_J))

    assert found.distance_m < 0
    assert found.between[0] in ones
    assert found.between[1] in others


def arm_of_one_rod(height_m: float = 0.5) -> ArmDescription:
    """A rod of 0.2 m and radius 0.05 m along x, that turns about the vertical axis."""
    upright = (1.0, 0.0, 0.0, 0.0)
    rod = {"from_m": (0.2, 0, 0), "to_m": (0.4, 0, 0), "radius_m": 0.05}
    return ArmDescription.model_validate(
        {
            "joints": [
                {"name": "turn", "position_m": (0, 0, height_m), "quat_wxyz": upright,
                 "low_rad": -3, "high_rad": 3}
            ],
            "tool": {"position_m": (0.4, 0, 0), "quat_wxyz": upright},
            "links": [{"name": "rod", "behind": 1, "capsules": [rod]}],
            "kept_apart": [],
        }
    )  # fmt: skip


SLANTED = (math.cos(math.pi / 8), 0.0, 0.0, math.sin(math.pi / 8))  # 45° about the vertical


@pytest.mark.parametrize(
    ("obstacle", "distance_m"),
    [
        (Plane(name="it", shape="plane", point_m=(0, 0, 0.1), normal=(0, 0, 2)), 0.35),
        (Plane(name="it", shape="plane", point_m=(0.6, 9, 9), normal=(-1, 0, 0)), 0.15),
        (Box(name="it", shape="box", centre_m=(0.7, 0, 0.5), half_m=(0.1, 0.2, 0.3)), 0.15),
        (
            Box(
                name="it", shape="box", centre_m=(0.7, 0, 0.5), half_m=(0.1, 0.1, 0.3),
                quat_wxyz=SLANTED,
            ),
            0.25 - 0.1 * math.sqrt(2),
        ),
        (Sphere(name="it", shape="sphere", centre_m=(0.3, 0.3, 0.5), radius_m=0.1), 0.15),
        (
            Rod(name="it", shape="rod", from_m=(0.3, 1, 0.8), to_m=(0.3, -1, 0.8), radius_m=0.1),
            0.15,
        ),
        (Sphere(name="it", shape="sphere", centre_m=(0.3, 0.0, 0.5), radius_m=0.1), -0.15),
    ],
)  # fmt: skip
def test_each_obstacle_is_as_far_as_it_is(obstacle, distance_m):
    found = closest(ArmClearances(arm_of_one_rod(), (obstacle,)).nearest(np.zeros(1)))

    assert found.distance_m == pytest.approx(distance_m, abs=1e-5)
    assert found.between == ("rod", "it")


def test_the_nearest_of_several_obstacles_is_named():
    near = Sphere(name="near", shape="sphere", centre_m=(0, 0.6, 0.5), radius_m=0.1)
    far = Sphere(name="far", shape="sphere", centre_m=(0, -0.9, 0.5), radius_m=0.1)
    clearances = ArmClearances(arm_of_one_rod(), (near, far))

    assert closest(clearances.nearest(np.array([math.pi / 2]))).between == ("rod", "near")
    assert closest(clearances.nearest(np.array([-math.pi / 2]))).between == ("rod", "far")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_angles_that_are_not_finite_are_nearer_than_any_margin(clearances, bad):
    joint_J = HOME_RAD.copy()
    joint_J[3] = bad

    assert closest(clearances.nearest(joint_J)).distance_m == -math.inf


@pytest.mark.parametrize("name", ["table", "link3"])
def test_an_obstacle_needs_a_name_of_its_own(arm, name):
    with pytest.raises(ValidationError, match="there twice"):
        BodyConfig(arm=arm, obstacles=(TABLE, TABLE.model_copy(update={"name": name})))


def test_a_distance_does_not_depend_on_what_was_asked_before(arm, clearances, rng):
    """To the last bit, or a replay would not be the run."""
    for _ in range(20):
        joint_J, other_J = HOME_RAD + 0.3 * rng.normal(size=(2, len(HOME_RAD)))
        clearances.nearest(other_J)
        assert clearances.nearest(joint_J) == ArmClearances(arm, (TABLE,)).nearest(joint_J)


def test_a_body_is_built_from_plain_data(arm):
    """As it is told to the control process."""
    config = BodyConfig(arm=arm, obstacles=(TABLE,))

    body = BodyConfig.model_validate(config.model_dump(mode="json")).build()

    assert body.clearances.nearest(HOME_RAD) == ArmClearances(arm, (TABLE,)).nearest(HOME_RAD)
    assert body.kinematics.manipulability(HOME_RAD) > 0.05


def test_a_plane_without_a_side_is_refused():
    with pytest.raises(ValidationError, match="any but zero"):
        Plane(name="wall", shape="plane", point_m=(0, 0, 0), normal=(0, 0, 0))


def test_a_box_without_a_size_is_refused():
    with pytest.raises(ValidationError):
        Box(name="table", shape="box", centre_m=(0, 0, 0), half_m=(1, 1, float("nan")))


def test_coal_measures_below_zero_where_shapes_overlap():
    """What `Clearance` promises rests on this default of the library."""
    assert coal.DistanceRequest().enable_signed_distance
