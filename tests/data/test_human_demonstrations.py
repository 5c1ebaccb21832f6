"""On the real demonstrations: run with `-m data`."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from policy.data import WindowSampler, import_zarr, open_dataset
from robot_io.clock import NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.control.lockstep import Lockstep, Planner, drawn_delay
from robot_io.control.loop import ControlLoop, LoopLimits
from robot_io.control.observer import Observer
from robot_io.gate.vector_gate import VectorGate
from robot_io.rows import VectorRows
from robot_io.types import Observation

pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")

from sim.pusht import TICK_NS, PushTWorld
from sim.pusht_field import FIELD_PX, keypoints_of_block

pytestmark = [pytest.mark.data, pytest.mark.timeout(300)]
BUFFER = "pusht_cchi_v7_replay.zarr"


def read_buffer(folder: Path, *keys: str) -> tuple[np.ndarray, ...]:
    group = zarr.open_group(str(folder / BUFFER), mode="r")
    return tuple(np.asarray(group[key], np.float64) for key in keys)


def test_the_replay_buffer_is_imported_whole(human_push_t: Path, tmp_path: Path) -> None:
    assert import_zarr(human_push_t / BUFFER, tmp_path / "push_t") == 206

    dataset = open_dataset(tmp_path / "push_t")
    state, action = read_buffer(human_push_t, "data/state", "data/action")
    assert dataset.frame_count == 25650
    np.testing.assert_array_equal(dataset.vector("agent"), state[:, :2].astype(np.float32))
    np.testing.assert_array_equal(dataset.vector("action"), action.astype(np.float32))
    image = zarr.open_group(str(human_push_t / BUFFER), mode="r")["data/img"]
    assert dataset.image_shapes == {"scene": (96, 96, 3)}
    np.testing.assert_array_equal(dataset.image("scene")[10_000:10_300], image[10_000:10_300])


def test_the_world_shows_what_was_recorded(human_push_t: Path) -> None:
    """Of the same state the same image, but for roundings on edges."""
    (state,) = read_buffer(human_push_t, "data/state")
    recorded = zarr.open_group(str(human_push_t / BUFFER), mode="r")["data/img"]
    world = PushTWorld()
    for row in range(0, len(state), 2500):
        world.reset_to_state(state[row])
        off = np.abs(world.draw_scene().astype(int) - np.asarray(recorded[row]))
        assert off.mean() < 0.3
        assert (off.max(-1) > 32).mean() < 0.003, "of 9216 pixels"


def test_the_lerobot_form_of_the_same_episodes_is_read(human_push_t: Path, tmp_path: Path) -> None:
    dataset = open_dataset(human_push_t / "lerobot_v3_lowdim", cache_dir=tmp_path)
    state, ends = read_buffer(human_push_t, "data/state", "meta/episode_ends")

    np.testing.assert_array_equal(dataset.ends, ends)
    np.testing.assert_allclose(dataset.vector("state"), state[:, :2], atol=1e-3)
    sampler = WindowSampler(dataset, history={"state": 2}, horizon=16, batch_size=8, seed=0)
    assert sampler.sample(0).action_BHD.shape == (8, 16, 2)


def test_our_keypoints_are_those_of_the_recordings(human_push_t: Path) -> None:
    state, keypoint = read_buffer(human_push_t, "data/state", "data/keypoint")
    ours = np.array([keypoints_of_block(pose) for pose in state[:, 2:]])
    residual_px = np.abs(ours - keypoint.reshape(-1, 18)).max(1)

    assert np.median(residual_px) < 1e-3
    assert np.quantile(residual_px, 0.99) < 0.05


def test_replayed_actions_cover_the_mark_as_they_did_when_recorded(human_push_t: Path) -> None:
    state, action, ends = read_buffer(
        human_push_t, "data/state", "data/action", "meta/episode_ends"
    )
    spans = list(zip(np.r_[0, ends[:-1]].astype(int), ends.astype(int), strict=True))[::5]
    world = PushTWorld()
    coverage = []
    for start, end in spans:
        world.reset_to_state(state[start])
        for tick, row in enumerate(action[start:end], start=1):
            world.arm.command(row)
            world.advance_to(tick * TICK_NS)
        coverage.append(world.outcome.max_coverage)

    assert len(coverage) == 42
    assert np.mean(coverage) == pytest.approx(0.903, abs=0.005)


class Replay:
    """Plans what was recorded from the observed row on, and remembers what it was shown."""

    def __init__(self, action_TD: np.ndarray) -> None:
        self._action_TD = action_TD
        self.seen: list[tuple[int, np.ndarray]] = []

    def reset(self, seed: int) -> None:
        self.seen.clear()

    def plan(self, observation: Observation) -> np.ndarray:
        row = observation.observed_ns // TICK_NS
        self.seen.append((row, observation.vectors["agent"]))
        last = len(self._action_TD) - 1
        return self._action_TD[np.minimum(np.arange(row, row + 16), last)]


def test_the_loop_sends_a_recording_unchanged_and_shows_what_was_recorded(
    human_push_t: Path,
) -> None:
    """Buffer, gate and observer add no shift: the episode repeats to a ten-thousandth of a px."""
    state, action, ends = read_buffer(
        human_push_t, "data/state", "data/action", "meta/episode_ends"
    )
    length = int(ends[0])
    world, rows = PushTWorld(), VectorRows(2)
    world.reset_to_state(state[0])
    replay = Replay(action[:length])
    buffer = CommandBuffer(rows, max_age_ns=2 * NS_PER_S, seam_ns=0, replan_after_rows=8)
    gate = VectorGate(np.zeros(2), np.full(2, FIELD_PX))
    sent = []
    Lockstep(
        world=world,
        loop=ControlLoop(buffer, gate, rows, LoopLimits(stop_after_s=1, max_state_age_s=1)),
        observer=Observer(rows, step_ns=TICK_NS, vectors={"agent": 2}, images={}),
        period_ns=TICK_NS,
        planner=Planner(replay, buffer, TICK_NS, drawn_delay([0], seed=0)),
        read_vectors=world.read_vectors,
    ).run(length * TICK_NS, lambda: False, lambda tick, _: sent.append(tick.verdict.row_D))

    np.testing.assert_array_equal(np.array(sent)[:length], action[:length])
    assert [row for row, _ in replay.seen][:3] == [0, 8, 16]
    for row, agent in replay.seen[1:]:
        np.testing.assert_allclose(agent, state[row - 1 : row + 1, :2], atol=1e-4)
