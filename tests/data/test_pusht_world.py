import numpy as np
import pytest

pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")

from gym_pusht.envs.pusht import PushTEnv

from policy.config import ImageStream, PolicyConfig, VectorStream
from robot_io.errors import FeelforwardError
from robot_io.types import Observation
from scripts.evaluation import PUSH_T, lockstep_maker
from scripts.robot import load_robot
from scripts.tasks.push_t import PushTStage
from sim.pusht import TICK_NS, PushTWorld
from sim.pusht_field import block_of_keypoints, in_block, keypoints_of_block, outline_of_block


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


def test_key_points_tell_where_the_block_is() -> None:
    pose_3 = np.array([120.0, 300.0, -2.5])
    np.testing.assert_allclose(block_of_keypoints(keypoints_of_block(pose_3)), pose_3)


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


# ---- the camera


def test_the_camera_shows_what_the_benchmark_shows() -> None:
    world, theirs = PushTWorld(with_scene=True), PushTEnv(obs_type="pixels")
    for seed in (0, 1):
        world.reset(seed)
        image, _ = theirs.reset(seed=seed)
        (camera,) = world.cameras
        frame = camera.read(0.0)
        assert frame is not None
        assert (frame.stream, frame.exposed_ns, frame.received_ns) == ("scene", 0, 0)
        assert frame.image_HWC.dtype == np.uint8
        np.testing.assert_array_equal(frame.image_HWC, image)


def test_there_is_one_frame_per_tick_and_a_first_one_in_each_episode() -> None:
    world = PushTWorld(with_scene=True)
    (camera,) = world.cameras
    stamps = []
    for _ in range(2):
        for tick in range(3):
            world.advance_to(tick * TICK_NS)
            frame = camera.read(0.0)
            assert frame is not None
            stamps.append((frame.sequence, frame.exposed_ns))
            assert camera.read(0.0) is None
        world.reset(1)
    assert stamps == 2 * [(0, 0), (1, TICK_NS), (2, 2 * TICK_NS)]


class Onlooker:
    """Stays in the middle, and keeps what it was shown."""

    def reset(self, seed: int) -> None:
        self.seen: list[Observation] = []

    def plan(self, observation: Observation) -> np.ndarray:
        self.seen.append(observation)
        return np.full((16, 2), 256.0)


def test_a_policy_that_looks_gets_images_of_the_instants_of_its_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = []

    def draw(world: PushTWorld) -> np.ndarray:  # an image that tells where the agent is
        drawn.append(world.now_ns)
        return np.broadcast_to(world.agent_2.astype(np.uint16).view(np.uint8), (1, 1, 4))

    monkeypatch.setattr(PushTWorld, "draw_scene", draw)
    onlooker = Onlooker()
    PushTStage().play(100_000, onlooker, {"agent": 2, "scene": 2})

    assert [seen.observed_ns for seen in onlooker.seen[:3]] == [0, 8 * TICK_NS, 16 * TICK_NS]
    for seen in onlooker.seen:
        shown = np.ascontiguousarray(seen.images["scene"]).view(np.uint16).reshape(2, 2)
        np.testing.assert_array_equal(shown, seen.vectors["agent"].astype(np.uint16))
    assert len(drawn) == 300
    drawn.clear()
    PushTStage().play(100_000, onlooker, {"agent": 2, "keypoint": 2})
    assert drawn == [], "who does not look does not pay"


@pytest.mark.parametrize("late_rows", [0, 1, 4, 7])
def test_of_each_plan_eight_rows_are_executed_however_late_it_comes(late_rows: int) -> None:
    onlooker = Onlooker()
    PushTStage().play(100_000, onlooker, {"agent": 1, "keypoint": 1}, delay_ms=(100.0 * late_rows,))
    begun = [seen.observed_ns // TICK_NS for seen in onlooker.seen]
    assert begun[:4] == [0, 8, 16, 24]


def test_plans_that_take_longer_are_begun_one_after_the_other() -> None:
    onlooker = Onlooker()
    PushTStage().play(100_000, onlooker, {"agent": 1, "keypoint": 1}, delay_ms=(1000.0,))
    assert [seen.observed_ns // TICK_NS for seen in onlooker.seen[:3]] == [0, 10, 20]


class Wanderer(Onlooker):
    """Goes somewhere else with each plan."""

    def plan(self, observation: Observation) -> np.ndarray:
        self.seen.append(observation)
        return np.random.default_rng(len(self.seen)).uniform(100, 400, (16, 2))


def test_a_recorded_play_is_the_play_with_what_was_seen_and_done_at_each_tick() -> None:
    plain = PushTStage().play(100_001, Wanderer(), {"agent": 2, "keypoint": 2})
    wanderer = Wanderer()
    result, shown = PushTStage().record(100_001, wanderer, {"agent": 2})
    assert result == plain.result
    assert len(shown) == result.steps == 300
    world = PushTWorld()
    world.reset(100_001)
    for tick, (seen, row_2) in enumerate(shown):
        assert seen.observed_ns == tick * TICK_NS
        np.testing.assert_array_equal(seen.vectors["agent"][-1], world.agent_2)
        block_18 = keypoints_of_block(world.block_3)
        np.testing.assert_array_equal(seen.vectors["keypoint"][-1], block_18)
        world.arm.command(row_2)
        world.advance_to((tick + 1) * TICK_NS)
    assert world.outcome.max_coverage == result.scores["coverage"]


def test_a_recorded_play_has_the_camera_where_the_policy_looks() -> None:
    _, shown = PushTStage().record(100_001, Onlooker(), {"agent": 2, "scene": 2})
    seen, _ = shown[10]
    assert seen.images["scene"].shape == (2, 96, 96, 3)
    assert set(seen.vectors) == {"agent", "keypoint"}


def test_a_checkpoint_that_wants_another_camera_is_refused() -> None:
    agent, robot = VectorStream(name="agent"), load_robot()

    def make_player(image: str) -> object:
        config = PolicyConfig(action="vector", vectors=(agent,), images=(ImageStream(name=image),))
        return lockstep_maker(PUSH_T, lambda: None, config, robot, "felt", ())  # type: ignore

    make_player("scene")
    with pytest.raises(FeelforwardError, match=r"observes wrist, which .* it has .*agent, scene"):
        make_player("wrist")
