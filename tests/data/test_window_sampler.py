import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up_demos import write_dataset

from policy.data import WindowSampler, open_dataset
from policy.data.share import Share
from robot_io.errors import FeelforwardError

Write = Callable[[list[int]], Path]


def sampler_of(directory: Path, **changes: object) -> WindowSampler:
    options = {"history": {"measured": 3, "wrist": 2}, "horizon": 4, "batch_size": 64, "seed": 7}
    return WindowSampler(open_dataset(directory), **options | changes)  # type: ignore[arg-type]


def test_windows_pad_with_the_first_row_before_and_the_last_after(tmp_path: Path) -> None:
    lengths = [1, 3, 8]
    episodes = write_dataset(tmp_path, lengths)
    batch = sampler_of(tmp_path, history={"measured": 3, "wrist": 2}, batch_size=200).sample(0)

    seen = set()
    for b in range(200):
        number, t = divmod(int(batch.action_BHD[b, 0, 0]), 1000)
        seen.add((number, t))
        vectors, images = episodes[number]["vectors"], episodes[number]["images"]
        past = np.clip([t - 2, t - 1, t], 0, None)
        future = np.clip(np.arange(t, t + 4), None, lengths[number] - 1)
        np.testing.assert_array_equal(batch.vectors["measured"][b], vectors["measured"][past])
        np.testing.assert_array_equal(batch.images["wrist"][b], images["wrist"][past[1:]])
        np.testing.assert_array_equal(batch.action_BHD[b], vectors["action"][future])
        np.testing.assert_array_equal(batch.kept_BH[b], np.arange(t, t + 4) < lengths[number])
    assert seen == {(number, t) for number in range(3) for t in range(lengths[number])}


def test_a_batch_gives_observations_and_a_smaller_batch_of_all_episodes(tmp_path: Path) -> None:
    write_dataset(tmp_path, [4] * 10)
    batch = sampler_of(tmp_path, batch_size=200).sample(0)
    few = batch.evenly(10)
    last = few.observation(9)
    assert (len(few), len(batch.evenly(300))) == (10, 200)
    assert len(np.unique(few.action_BHD[:, 0, 0] // 1000)) >= 8
    np.testing.assert_array_equal(last.vectors["measured"], few.vectors["measured"][9])
    np.testing.assert_array_equal(last.images["wrist"], batch.images["wrist"][-1])
    assert (few.kept_BH.shape, few.action_BHD.shape) == ((10, 4), (10, 4, 2))


def test_the_last_rows_of_an_episode_begin_no_window(tmp_path: Path) -> None:
    write_dataset(tmp_path, [1, 3, 8])
    sampler = sampler_of(tmp_path, drop_last_rows=5, batch_size=200)
    first_B = sampler.sample(0).action_BHD[:, 0, 0].astype(int)
    assert len(sampler) == 1 + 1 + 3
    assert set(first_B.tolist()) == {0, 1000, 2000, 2001, 2002}


def test_shapes_and_types(small: Write) -> None:
    batch = sampler_of(small([5, 9])).sample(3)

    assert batch.vectors["measured"].shape == (64, 3, 3)
    assert batch.vectors["measured"].dtype == batch.action_BHD.dtype == np.float32
    assert batch.images["wrist"].shape == (64, 2, 12, 16, 3)
    assert batch.images["wrist"].dtype == np.uint8
    assert batch.action_BHD.shape == (64, 4, 2)


def test_a_batch_depends_on_seed_and_step_alone(small: Write) -> None:
    directory = small([5, 9])
    one, other = sampler_of(directory), sampler_of(directory)
    for step in range(5):
        one.sample(step)

    np.testing.assert_array_equal(one.sample(9).action_BHD, other.sample(9).action_BHD)
    assert not np.array_equal(one.sample(9).action_BHD, one.sample(10).action_BHD)
    assert not np.array_equal(
        one.sample(9).action_BHD, sampler_of(directory, seed=8).sample(9).action_BHD
    )


def test_shares_of_a_batch_together_are_the_batch(small: Write) -> None:
    sampler = sampler_of(small([5, 9]), batch_size=12)
    whole, shares = sampler.sample(4), [sampler.sample(4, Share(i, 3)) for i in range(3)]

    for name in ("vectors", "images"):
        for stream, x in getattr(whole, name).items():
            parts = [getattr(share, name)[stream] for share in shares]
            np.testing.assert_array_equal(np.concatenate(parts), x)
    np.testing.assert_array_equal(
        np.concatenate([share.action_BHD for share in shares]), whole.action_BHD
    )


def test_only_chosen_episodes_are_drawn(small: Write) -> None:
    chosen = open_dataset(small([5, 9, 4])).subset([1])
    sampler = WindowSampler(chosen, history={}, horizon=2, batch_size=100, seed=0)

    assert len(sampler) == 9
    assert set(sampler.sample(0).action_BHD[:, 0, 0] // 1000) == {1.0}


def test_several_data_sets_are_drawn_by_their_rows(tmp_path: Path) -> None:
    write_dataset(tmp_path / "few", [3])
    write_dataset(tmp_path / "many", [3, 27])
    both = [open_dataset(tmp_path / "few"), open_dataset(tmp_path / "many")]
    sampler = WindowSampler(both, history={"measured": 1}, horizon=2, batch_size=3000, seed=0)

    batch = sampler.sample(0)

    assert len(sampler) == 33
    share_of_second_episode = np.mean(batch.action_BHD[:, 0, 0] >= 1000)
    assert share_of_second_episode == pytest.approx(27 / 33, abs=0.03)
    assert sampler.description.startswith("few: 1 episodes, 3 rows at 10 Hz; many: 2 episodes")


def test_statistics_are_those_of_the_chosen_rows(small: Write) -> None:
    training, _ = open_dataset(small([5, 9, 4])).split(validation_every=3)
    sampler = WindowSampler(training, history={"measured": 2}, horizon=2, batch_size=4, seed=0)

    stats = sampler.stats

    assert stats.keys() == {"measured", "action"}
    assert stats["action"]["max"][0] == 1008
    np.testing.assert_allclose(stats["measured"]["mean"], training.rows("measured").mean(0), 1e-5)


def test_the_first_image_is_the_median_of_first_frames(tmp_path: Path) -> None:
    episodes = write_dataset(tmp_path, [5, 9, 4])
    expected = np.median([episode["images"]["tactile_left"][0] for episode in episodes], 0)

    sampler = sampler_of(tmp_path, history={"tactile_left": 1})

    np.testing.assert_allclose(sampler.first_image("tactile_left"), expected)


def test_an_unknown_stream_or_an_empty_horizon_is_refused(small: Write) -> None:
    directory = small([5])
    with pytest.raises(FeelforwardError, match="no stream 'scene'"):
        sampler_of(directory, history={"scene": 1})
    with pytest.raises(FeelforwardError, match="horizon = 0"):
        sampler_of(directory, horizon=0)
    with pytest.raises(FeelforwardError, match="measured = 0"):
        sampler_of(directory, history={"measured": 0})


def test_a_window_costs_microseconds(small: Write) -> None:
    sampler = sampler_of(small([200, 200]), batch_size=256)
    sampler.sample(0)

    spent_s = []
    for step in range(20):
        start_s = time.perf_counter()
        sampler.sample(step)
        spent_s.append(time.perf_counter() - start_s)

    assert min(spent_s) / 256 < 50e-6
