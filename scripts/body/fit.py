"""Makes a file of `configs/bodies`: capsules that contain the FR3's meshes, joints and tool.

    python -m scripts.body.fit configs/bodies/fr3_hand.toml

Each triangle of the meshes (visual and collision, so more than either) is given to one capsule
that contains its corners, and so, a capsule being convex, all of it. The fingers count wherever
they may be between closed and open: what a gripper does is not known where clearances are checked.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import coal
import mujoco
import numpy as np

from robot_io.files import replacing
from sim.fr3 import (
    ARM_JOINTS,
    FINGER_JOINTS,
    GROUP_HIDDEN,
    HOME_RAD,
    MAX_WIDTH_M,
    TOOL_SITE,
    fr3_spec,
)

# Capsules per link: as many as make the next one gain little.
CAPSULES = {
    "link0": 4, "link1": 3, "link2": 3, "link3": 3, "link4": 3, "link5": 4, "link6": 3, "link7": 2,
    "hand": 3, "fingers": 2,
}  # fmt: skip
FINGERS = ("left_finger", "right_finger")
APART_M = 0.01  # nearer than this two links count as able to meet
_LONGEST_EDGE_M = 0.012  # longer triangles are cut: one capsule must hold a whole one
_ROUNDING_M = 2e-4  # the file has four digits
_SAMPLE = 700  # pieces that a fit looks at; the result is grown around all
_DIRECTIONS, _RESTARTS, _REASSIGNMENTS = 300, 8, 4
_AROUND_M, _PROBES = 0.04, 4000  # points around a link that measure what its capsules take
_REFINED, _STEPS = 4, 3000


@dataclass(frozen=True, slots=True)
class Fit:
    """Capsules, K of them, around a link."""

    from_K3: np.ndarray
    to_K3: np.ndarray
    radius_K: np.ndarray

    @property
    def volume(self) -> float:
        return float(sum(_volume(np.r_[a, b], r) for a, b, r in self.each()))

    def share_of(self, probe_S3: np.ndarray) -> float:
        """How many of the points are in a capsule: the room that all take together."""
        inside_KS = [segment_distance(probe_S3, a, b) <= radius for a, b, radius in self.each()]
        return float(np.any(inside_KS, axis=0).mean())

    def each(self) -> list[tuple[np.ndarray, np.ndarray, float]]:
        return list(zip(self.from_K3, self.to_K3, self.radius_K.tolist(), strict=True))


def link_pieces(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Of each link the pieces that it is made of, (F, P, 3): corners in the link's frame, m.

    A piece of the fingers has the corners of a triangle of both, closed and open.
    """
    pieces = {f"link{index}": body_triangles(model, f"fr3_link{index}") for index in range(8)}
    pieces["hand"] = _moved(body_triangles(model, "hand"), model, "hand")
    pieces["fingers"] = _swept_fingers(model)
    return pieces


def body_triangles(model: mujoco.MjModel, body: str) -> np.ndarray:
    """All triangles (F, 3, 3) of the meshes of a body, in its frame, m."""
    geoms = np.flatnonzero(
        (model.geom_bodyid == model.body(body).id) & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
    )
    return np.concatenate([_geom_triangles(model, int(geom)) for geom in geoms])


def _geom_triangles(model: mujoco.MjModel, geom: int) -> np.ndarray:
    mesh = model.mesh(int(model.geom_dataid[geom]))
    first, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
    face, faces = int(mesh.faceadr[0]), int(mesh.facenum[0])
    corner_V3 = model.mesh_vert[first : first + count].astype(np.float64)
    corner_V3 = _placed(corner_V3, model.geom_pos[geom], model.geom_quat[geom])
    return corner_V3[model.mesh_face[face : face + faces]]


def _swept_fingers(model: mujoco.MjModel) -> np.ndarray:
    triangles_F33 = _cut(body_triangles(model, FINGERS[0]))
    shut_open = []
    for finger, joint in zip(FINGERS, FINGER_JOINTS, strict=True):
        for travel_m in (0.0, MAX_WIDTH_M / 2):
            at_F33 = triangles_F33 + travel_m * model.joint(joint).axis
            at_F33 = _placed(at_F33, model.body(finger).pos, model.body(finger).quat)
            shut_open.append(_moved(at_F33, model, "hand"))
    return np.concatenate(shut_open, axis=1)


def _moved(points: np.ndarray, model: mujoco.MjModel, body: str) -> np.ndarray:
    """From a body's frame to that of its parent."""
    return _placed(points, model.body(body).pos, model.body(body).quat)


def _placed(points: np.ndarray, position_3: np.ndarray, quat_wxyz: np.ndarray) -> np.ndarray:
    matrix_9 = np.empty(9)
    mujoco.mju_quat2Mat(matrix_9, quat_wxyz)
    return points @ matrix_9.reshape(3, 3).T + position_3


def _cut(triangles_F33: np.ndarray) -> np.ndarray:
    """Halves the longest edges until none is longer than `_LONGEST_EDGE_M`."""
    done = []
    while len(triangles_F33):
        edge_F3 = np.linalg.norm(triangles_F33 - np.roll(triangles_F33, -1, axis=1), axis=2)
        long_F = edge_F3.max(axis=1) > _LONGEST_EDGE_M
        done.append(triangles_F33[~long_F])
        turned = np.take_along_axis(
            triangles_F33[long_F],
            ((edge_F3[long_F].argmax(axis=1)[:, None] + np.arange(3)) % 3)[..., None],
            axis=1,
        )  # the longest edge is now from corner 0 to corner 1
        middle = (turned[:, 0] + turned[:, 1]) / 2
        triangles_F33 = np.concatenate(
            [
                np.stack([turned[:, 0], middle, turned[:, 2]], axis=1),
                np.stack([middle, turned[:, 1], turned[:, 2]], axis=1),
            ]
        )
    return np.concatenate(done)


def segment_distance(points: np.ndarray, from_3: np.ndarray, to_3: np.ndarray) -> np.ndarray:
    """Distances (...) of points (..., 3) from a segment."""
    along_3 = to_3 - from_3
    share = (points - from_3) @ along_3 / max(float(along_3 @ along_3), 1e-12)
    nearest = from_3 + np.clip(share, 0, 1)[..., None] * along_3
    return np.linalg.norm(points - nearest, axis=-1)


def fit_capsules(pieces_FP3: np.ndarray, count: int, rng: np.random.Generator) -> Fit:
    """Small capsules such that each piece lies wholly within one of them.

    Of some that take little room together, the ones that stand off least.
    """
    some_FP3 = rng.permutation(pieces_FP3)[:_SAMPLE]
    low_3, high_3 = some_FP3.min(axis=(0, 1)) - _AROUND_M, some_FP3.max(axis=(0, 1)) + _AROUND_M
    probe_S3 = rng.uniform(low_3, high_3, size=(_PROBES, 3))
    fits = [_fit_once(some_FP3, count, rng) for _ in range(_RESTARTS)]
    fits = sorted(fits, key=lambda fit: fit.share_of(probe_S3))[:_REFINED]
    fits = [_grown(_refined(fit, some_FP3, probe_S3, rng), pieces_FP3) for fit in fits]
    return min(fits, key=lambda fit: stand_off_m(fit, some_FP3, rng))


def _refined(
    fit: Fit, pieces_FP3: np.ndarray, probe_S3: np.ndarray, rng: np.random.Generator
) -> Fit:
    """Moves one capsule at a time, as long as all together take less room."""
    from_K3, to_K3 = fit.from_K3.copy(), fit.to_K3.copy()
    reach_KF = np.stack([segment_distance(pieces_FP3, a, b).max(axis=1) for a, b, _ in fit.each()])
    owner_F = (reach_KF - fit.radius_K[:, None]).argmin(axis=0)
    radius_K = _radii(reach_KF, owner_F)
    inside_KS = np.stack([segment_distance(probe_S3, a, b) for a, b, _ in fit.each()])
    least = (inside_KS <= radius_K[:, None]).any(axis=0).sum()
    for step, spread_m in enumerate(np.geomspace(0.02, 0.0005, _STEPS)):
        k = step % len(radius_K)
        a, b = from_K3[k] + rng.normal(size=3) * spread_m, to_K3[k] + rng.normal(size=3) * spread_m
        reach_F = segment_distance(pieces_FP3, a, b).max(axis=1)
        tried_KF, tried_KS = reach_KF.copy(), inside_KS.copy()
        tried_KF[k], tried_KS[k] = reach_F, segment_distance(probe_S3, a, b)
        tried_K = _radii(tried_KF, owner_F)
        tried_owner_F = (tried_KF - tried_K[:, None]).argmin(axis=0)
        tried_K = _radii(tried_KF, tried_owner_F)
        taken = (tried_KS <= tried_K[:, None]).any(axis=0).sum()
        if taken < least or (taken == least and tried_K.sum() < radius_K.sum()):
            from_K3[k], to_K3[k], least = a, b, taken
            reach_KF, inside_KS, radius_K, owner_F = tried_KF, tried_KS, tried_K, tried_owner_F
    return Fit(from_K3, to_K3, radius_K)


def _radii(reach_KF: np.ndarray, owner_F: np.ndarray) -> np.ndarray:
    """What each capsule needs for the pieces that it owns; 0 where it owns none."""
    mine_KF = owner_F == np.arange(len(reach_KF))[:, None]
    return np.where(mine_KF, reach_KF, 0.0).max(axis=1)


def _grown(fit: Fit, pieces_FP3: np.ndarray) -> Fit:
    """The same capsules, as thick as all pieces need when each goes where it needs least."""
    reach_KF = np.stack([segment_distance(pieces_FP3, a, b).max(axis=1) for a, b, _ in fit.each()])
    owner_F = (reach_KF - fit.radius_K[:, None]).argmin(axis=0)
    used = np.unique(owner_F)
    radius_K = np.array([reach_KF[k, owner_F == k].max() for k in used])
    return Fit(fit.from_K3[used], fit.to_K3[used], radius_K)


def _fit_once(pieces_FP3: np.ndarray, count: int, rng: np.random.Generator) -> Fit:
    """Gives pieces to capsules and shrinks the capsules, in turn (k-means with capsules)."""
    height_F = pieces_FP3.mean(axis=1) @ rng.normal(size=3)
    owner_F = np.searchsorted(np.quantile(height_F, np.arange(1, count) / count), height_F)
    best: Fit | None = None
    for _ in range(_REASSIGNMENTS):
        ends = [_smallest(pieces_FP3[owner_F == k].reshape(-1, 3), rng) for k in range(count)]
        reach_KF = np.stack([segment_distance(pieces_FP3, a, b).max(axis=1) for a, b in ends])
        radius_K = np.array([reach_KF[k, owner_F == k].max() for k in range(count)])
        fit = Fit(np.stack([a for a, _ in ends]), np.stack([b for _, b in ends]), radius_K)
        if best is None or fit.volume < best.volume:
            best = fit
        owner_F = (reach_KF - radius_K[:, None]).argmin(axis=0)
        if len(np.unique(owner_F)) < count:
            break
    assert best is not None
    return best


def _smallest(points_N3: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The ends of about the smallest capsule around points: a random search that cools down."""
    points_N3 = _outermost(points_N3)
    middle_3 = points_N3.mean(axis=0)
    axis_3 = np.linalg.svd(points_N3 - middle_3, full_matrices=False)[2][0]
    reach = (points_N3 - middle_3) @ axis_3
    best_6 = np.r_[middle_3 + 0.5 * reach.min() * axis_3, middle_3 + 0.5 * reach.max() * axis_3]
    least = _needed(points_N3, best_6)
    for spread_m in np.geomspace(0.02, 0.0002, 400):
        trial_6 = best_6 + rng.normal(size=6) * spread_m
        volume = _needed(points_N3, trial_6)
        if volume < least:
            best_6, least = trial_6, volume
    return best_6[:3], best_6[3:]


def _outermost(points_N3: np.ndarray) -> np.ndarray:
    """The points that lie furthest in some direction: nearly what a hull would keep."""
    direction_3D = np.random.default_rng(0).normal(size=(3, _DIRECTIONS))
    return points_N3[np.unique((points_N3 @ direction_3D).argmax(axis=0))]


def _needed(points_N3: np.ndarray, ends_6: np.ndarray) -> float:
    return _volume(ends_6, segment_distance(points_N3, ends_6[:3], ends_6[3:]).max())


def _volume(ends_6: np.ndarray, radius: float) -> float:
    length = np.linalg.norm(ends_6[3:] - ends_6[:3])
    return float(np.pi * radius**2 * (length + 4 / 3 * radius))


def _links_toml(model: mujoco.MjModel) -> list[str]:
    rng, lines = np.random.default_rng(0), []
    for name, whole_FP3 in link_pieces(model).items():
        pieces_FP3 = _cut(whole_FP3) if whole_FP3.shape[1] == 3 else whole_FP3
        fit = fit_capsules(pieces_FP3, CAPSULES[name], rng)
        off_mm = 1000 * stand_off_m(fit, pieces_FP3, rng)
        lines += [
            "",
            f"[[body.arm.links]] # up to {off_mm:.0f} mm off the meshes",
            f'name = "{name}"',
        ]
        lines += [f"behind = {_behind(name)}", "capsules = ["]
        for a, b, radius_m in fit.each():
            radius_m = np.ceil((radius_m + _ROUNDING_M) * 1e4) / 1e4
            ends = f"from_m = {_numbers(a, 4)}, to_m = {_numbers(b, 4)}"
            lines.append(f"  {{ {ends}, radius_m = {radius_m:.4f} }},")
        lines.append("]")
    return lines


def _joints_toml(model: mujoco.MjModel) -> list[str]:
    lines = []
    for index, name in enumerate(ARM_JOINTS, start=1):
        body, (low, high) = model.body(f"fr3_link{index}"), model.joint(name).range
        lines += [
            "",
            "[[body.arm.joints]]",
            f'name = "joint{index}"',
            f"position_m = {_numbers(body.pos, 6)}",
            f"quat_wxyz = {_numbers(body.quat, 9)}",
            f"low_rad = {low}",
            f"high_rad = {high}",
        ]
    return lines


def _tool_toml(model: mujoco.MjModel) -> list[str]:
    position_3 = _moved(model.site(TOOL_SITE).pos, model, "hand")
    quat = _numbers(model.body("hand").quat, 9)
    return ["", "[body.arm.tool]", f"position_m = {_numbers(position_3, 6)}", f"quat_wxyz = {quat}"]


def _numbers(values: np.ndarray, digits: int) -> str:
    return f"[{', '.join(str(round(float(value), digits) + 0.0) for value in values)}]"


def kept_apart(model: mujoco.MjModel) -> dict[tuple[str, str], float]:
    """Pairs of links with two joints between them that no angles of these bring together.

    To their least distance, m, over a grid of both joints' ranges, between the collision meshes
    themselves (MuJoCo would measure between their hulls).
    """
    meshes = {f"link{index}": collision_mesh(model, f"fr3_link{index}") for index in range(8)}
    meshes["hand"] = collision_mesh(model, "hand")
    pairs = {}
    for one in meshes:
        for other in meshes:
            if _behind(other) == _behind(one) + 2:
                least_m = _least_distance(model, (one, meshes[one]), (other, meshes[other]))
                if least_m > APART_M:
                    pairs[one, other] = least_m
    return pairs


def collision_mesh(model: mujoco.MjModel, body: str) -> coal.BVHModelOBBRSS:
    """The triangles that a body collides with, in its frame."""
    (geom,) = np.flatnonzero(
        (model.geom_bodyid == model.body(body).id) & (model.geom_group == GROUP_HIDDEN)
    )
    triangles_F33 = _geom_triangles(model, int(geom))
    corners, faces = coal.StdVec_Vec3s(), coal.StdVec_Triangle()
    for first, triangle_33 in enumerate(triangles_F33):
        corners.extend(list(triangle_33))
        faces.append(coal.Triangle(3 * first, 3 * first + 1, 3 * first + 2))
    mesh = coal.BVHModelOBBRSS()
    mesh.beginModel(len(faces), len(corners))
    mesh.addSubModel(corners, faces)
    mesh.endModel()
    return mesh


def _behind(link: str) -> int:
    """How many joints come before it."""
    return int(link.removeprefix("link")) if link.startswith("link") else len(ARM_JOINTS)


def _least_distance(
    model: mujoco.MjModel,
    one: tuple[str, coal.BVHModelOBBRSS],
    other: tuple[str, coal.BVHModelOBBRSS],
) -> float:
    data, first = mujoco.MjData(model), _behind(one[0])
    limits = [model.joint(name).range for name in ARM_JOINTS[first : first + 2]]
    ranges = [np.linspace(low, high, 25) for low, high in limits]
    least_m = np.inf
    for angles_2 in np.stack(np.meshgrid(*ranges), -1).reshape(-1, 2):
        data.qpos[: len(ARM_JOINTS)] = HOME_RAD
        data.qpos[first : first + 2] = angles_2
        mujoco.mj_kinematics(model, data)
        least_m = min(least_m, mesh_distance(data, one, other))
    return float(least_m)


def mesh_distance(
    data: mujoco.MjData,
    one: tuple[str, coal.BVHModelOBBRSS],
    other: tuple[str, coal.BVHModelOBBRSS],
) -> float:
    """Between the meshes of two links where they are in `data`, m; 0 where they meet."""
    places = []
    for name, _ in (one, other):
        body = data.body(name if name == "hand" else f"fr3_{name}")
        places.append(coal.Transform3s(body.xmat.reshape(3, 3), body.xpos))
    result = coal.DistanceResult()
    coal.distance(one[1], places[0], other[1], places[1], coal.DistanceRequest(), result)
    return result.min_distance


def stand_off_m(fit: Fit, pieces_FP3: np.ndarray, rng: np.random.Generator) -> float:
    """How far the capsules' surface is from the meshes at most: what is given away."""
    corner_N3 = rng.permutation(pieces_FP3.reshape(-1, 3))[:20_000]
    skin_S3 = np.concatenate([_skin(a, b, r, rng) for a, b, r in fit.each()])
    for a, b, radius in fit.each():
        skin_S3 = skin_S3[segment_distance(skin_S3, a, b) > radius - 1e-6]
    gap_S = [np.linalg.norm(corner_N3 - skin_3, axis=1).min() for skin_3 in skin_S3]
    return float(max(gap_S))


def _skin(a: np.ndarray, b: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Points on a capsule's surface."""
    out_S3 = rng.normal(size=(400, 3))
    out_S3 *= radius / np.linalg.norm(out_S3, axis=1, keepdims=True)
    along_3 = (b - a) / max(np.linalg.norm(b - a), 1e-9)
    end_S3 = np.where((out_S3 @ along_3 > 0)[:, None], b, a)
    side_S3 = out_S3 - (out_S3 @ along_3)[:, None] * along_3
    side_S3 *= radius / np.linalg.norm(side_S3, axis=1, keepdims=True)
    middle_S3 = a + rng.uniform(size=(len(out_S3), 1)) * (b - a)
    return np.concatenate([end_S3 + out_S3, middle_S3 + side_S3])


HEAD = """\
# FR3 with the Franka hand: joints, tool, and capsules that contain arm and hand.
# Written by scripts/body/fit.py. Joints, limits, meshes: the franky-sim wheel (MuJoCo Menagerie's
# FR3 and Panda hand, franka_description; Apache-2.0). The capsules contain the visual and the
# collision meshes; `fingers` contains both fingers from closed to open.
# A robot's file extends this one and adds what stands around the arm: docs/geometry.md.
"""


def body_toml(model: mujoco.MjModel) -> str:
    apart = kept_apart(model)
    lines = [HEAD, "# Two joints apart, and their collision meshes never nearer than:"]
    lines += [f"#   {one} - {other}: {m * 1000:.0f} mm" for (one, other), m in apart.items()]
    lines += [
        "[body.arm]",
        "kept_apart = [",
        *(f'  ["{one}", "{other}"],' for one, other in apart),
        "]",
    ]
    lines += _tool_toml(model) + _joints_toml(model) + _links_toml(model)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    (path,) = arguments
    with replacing(Path(path)) as temporary:
        temporary.write_text(body_toml(fr3_spec(full_mesh=True).compile()))


if __name__ == "__main__":
    main(sys.argv[1:])
