import numpy as np
import pytest

pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")

from robot_io.errors import FeelforwardError
from sim.pusht import TICK_NS, PushTWorld
from sim.pusht_field import in_block, keypoints_of_block, outline_of_block


def drive(world: PushTWorld, ticks: int, seed: int) -> np.ndarray:
    """Random targets; returns the block's pose after each tick."""
    generator = np.random.default_rng(seed)
    poses = []
    for tick in range(1, ticks + 1):
        world.arm.command(generator.uniform(50, 450, 2))
        world.advance_to(tick * TICK_NS)
        poses.append(np.r_[world.agent_2, world.block_3])
    return np.array(poses)


def test_the_same_seed_gives_the_same_bits_twice() -> None:
    one, other = PushTWorld(), PushTWorld()
    for world in (one, other):
        world.reset(100000)
    np.testing.assert_array_equal(drive(one, 40, 0), drive(other, 40, 0))
    one.reset(100000)
    other.reset(100001)
    assert not np.array_equal(one.block_3, other.block_3)


def test_time_moves_in_whole_ticks() -> None:
    world = PushTWorld()
    world.advance_to(TICK_NS - 1)
    assert (world.now_ns, world.outcome.ticks) == (0, 0)
    world.advance_to(3 * TICK_NS + 5)
    assert (world.now_ns, world.outcome.ticks) == (3 * TICK_NS, 3)
    assert world.arm.read().stamp_ns == 3 * TICK_NS


def test_the_agent_goes_to_its_target_and_stays_without_one() -> None:
    world = PushTWorld()
    start_2 = world.agent_2
    world.advance_to(10 * TICK_NS)
    np.testing.assert_allclose(world.agent_2, start_2)
    world.arm.command(np.array([60.0, 70.0]))
    world.advance_to(30 * TICK_NS)
    np.testing.assert_allclose(world.arm.read().row_D, [60, 70], atol=0.5)


def test_keypoints_turn_and_move_with_the_block() -> None:
    at_origin = keypoints_of_block(np.zeros(3)).reshape(9, 2)
    turned = keypoints_of_block(np.array([10.0, 20.0, np.pi / 2])).reshape(9, 2)

    np.testing.assert_allclose(turned[:, 0], 10 - at_origin[:, 1])
    np.testing.assert_allclose(turned[:, 1], 20 + at_origin[:, 0])


def test_a_state_is_restored_where_it_was_recorded() -> None:
    world = PushTWorld()
    state = np.array([400.0, 100.0, 222.99, 381.6, 3.008])
    world.reset_to_state(state)

    np.testing.assert_allclose(np.r_[world.agent_2, world.block_3], state, atol=1e-9)


def test_a_block_on_its_mark_is_a_success() -> None:
    world = PushTWorld()
    world.reset_to_state(np.array([60.0, 60.0, 256.0, 256.0, np.pi / 4]))
    world.advance_to(TICK_NS)

    outcome = world.outcome
    assert outcome.success
    assert outcome.over
    assert outcome.max_reward == pytest.approx(1.0)
    assert outcome.max_coverage == pytest.approx(1.0, abs=1e-6)


def test_an_episode_ends_after_300_ticks() -> None:
    world = PushTWorld()
    world.advance_to(299 * TICK_NS)
    assert not world.outcome.over
    world.advance_to(300 * TICK_NS)
    assert world.outcome.over
    assert not world.outcome.success


def test_observations_are_named_and_stamped() -> None:
    world = PushTWorld()
    world.advance_to(2 * TICK_NS)
    streams = {name: (stamp, value.shape) for name, stamp, value in world.read_vectors()}

    assert streams == {"keypoint": (2 * TICK_NS, (18,)), "agent": (2 * TICK_NS, (2,))}


@pytest.mark.parametrize("row", [[1.0, 2.0, 3.0], [np.nan, 1.0]])
def test_a_broken_row_is_refused(row: list[float]) -> None:
    with pytest.raises(FeelforwardError, match="a row of 2 finite px"):
        PushTWorld().arm.command(np.array(row))


def test_the_outline_is_that_of_the_block_that_is_pushed() -> None:
    world = PushTWorld()
    world.reset(3)
    block = world._env.block
    theirs = np.array([block.local_to_world(v) for s in block.shapes for v in s.get_vertices()])
    ours = outline_of_block(world.block_3)
    for corner in ours:
        assert np.linalg.norm(theirs - corner, axis=1).min() < 1e-6
    assert in_block(theirs, world.block_3).all()
    beyond = ours.mean(0) + 1.01 * (ours - ours.mean(0))
    assert not in_block(beyond[[0, 1, 4, 5]], world.block_3).any()
