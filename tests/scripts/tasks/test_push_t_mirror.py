"""Push-T in a mirror: the same game, and every demonstration once more."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")

from policy.data import LeRobotWriter, open_dataset
from robot_io.errors import FeelforwardError
from scripts.tasks.push_t_mirror import mirror_push_t
from sim.pusht import TICK_NS, PushTWorld
from sim.pusht_field import (
    MARK_3,
    keypoints_of_block,
    mirrored,
    mirrored_image,
    mirrored_keypoints,
)

START_5 = np.array([120.0, 300.0, 210.0, 260.0, 0.6])  # agent, block, angle
TARGETS_T2 = np.linspace((120, 300), (330, 240), 25)


def mirrored_state(state_5: np.ndarray) -> np.ndarray:
    """The block's y axis (-sin, cos) of its angle becomes (-cos, sin)."""
    return np.hstack([mirrored(state_5[:2]), mirrored(state_5[2:4]), np.pi / 2 - state_5[4]])


def pushed(start_5: np.ndarray, target_T2: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(key points, image, coverage) at the end."""
    world = PushTWorld()
    world.reset_to_state(start_5)
    for tick, target_2 in enumerate(target_T2, start=1):
        world.set_target(target_2)
        world.advance_to(tick * TICK_NS)
    return keypoints_of_block(world.block_3), world.draw_scene(), world.outcome.max_coverage


def test_the_mark_is_its_own_mirror_image() -> None:
    mark_18 = keypoints_of_block(MARK_3)
    turned = keypoints_of_block(mirrored_state(np.hstack([MARK_3[:2], MARK_3]))[2:])
    np.testing.assert_allclose(turned, mark_18, atol=1e-9)
    np.testing.assert_allclose(mirrored_keypoints(mark_18), mark_18, atol=0.01)


def test_key_points_of_the_mirrored_block_are_those_of_a_block_at_the_mirrored_pose() -> None:
    expected = keypoints_of_block(mirrored_state(START_5)[2:])
    np.testing.assert_allclose(
        mirrored_keypoints(keypoints_of_block(START_5[2:])), expected, atol=0.01
    )


def test_who_pushes_in_the_mirror_sees_the_mirrored_outcome() -> None:
    keypoint_18, image, coverage = pushed(START_5, TARGETS_T2)
    there_18, image_there, coverage_there = pushed(mirrored_state(START_5), mirrored(TARGETS_T2))

    moved_px = np.abs(keypoint_18 - keypoints_of_block(START_5[2:])).max()
    assert moved_px > 20, "the block was pushed"
    np.testing.assert_allclose(there_18, mirrored_keypoints(keypoint_18), atol=0.5)
    assert coverage_there == pytest.approx(coverage, abs=0.01)
    off = np.abs(image_there.astype(int) - mirrored_image(image[None])[0])
    assert off.mean() < 1, "but for roundings on edges"
    assert np.abs(image_there.astype(int) - image).mean() > 3


def write(folder: Path, **more: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    pose_T3 = rng.uniform((150, 150, -3), (350, 350, 3), (6, 3))
    vectors = {
        "keypoint": np.stack([keypoints_of_block(pose_3) for pose_3 in pose_T3]),
        "agent": rng.uniform(50, 450, (6, 2)),
        "action": rng.uniform(50, 450, (6, 2)),
        **more,
    }
    vectors = {name: x.astype(np.float32) for name, x in vectors.items()}
    images = {"scene": rng.integers(0, 255, (6, 96, 96, 3)).astype(np.uint8)}
    writer = LeRobotWriter(folder, fps=10.0, robot_type="pusht")
    writer.save_episode(vectors=vectors, images=images, stamps={}, task="push")
    return {**vectors, **images}


def test_a_data_set_that_was_mirrored_twice_is_itself(tmp_path: Path) -> None:
    shown = write(tmp_path / "shown")
    assert mirror_push_t(tmp_path / "shown", tmp_path / "once") == 1
    assert mirror_push_t(tmp_path / "once", tmp_path / "twice") == 1

    once, twice = open_dataset(tmp_path / "once"), open_dataset(tmp_path / "twice")
    np.testing.assert_allclose(once.vector("agent"), mirrored(shown["agent"]), atol=1e-4)
    for name in ("keypoint", "agent", "action"):
        np.testing.assert_allclose(twice.vector(name), shown[name], atol=0.02)
    np.testing.assert_array_equal(twice.image("scene"), shown["scene"])


def test_streams_that_no_mirror_is_known_for_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "shown", force=np.zeros((6, 3)))
    with pytest.raises(FeelforwardError, match="force, which no mirror is known for"):
        mirror_push_t(tmp_path / "shown", tmp_path / "mirrored")
    assert [path.name for path in tmp_path.iterdir()] == ["shown"]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write(tmp_path / "shown")
    with pytest.raises(FeelforwardError, match="exists already"):
        mirror_push_t(tmp_path / "shown", tmp_path / "shown")
