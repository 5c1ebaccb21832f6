from pathlib import Path

import numpy as np
import pytest
import zarr

from policy.data import import_zarr, open_dataset
from robot_io.errors import FeelforwardError

ENDS = [4, 10]


def replay_buffer(path: Path, **arrays: np.ndarray) -> Path:
    """Two episodes of 4 and 6 rows, written as zarr v2 like Diffusion Policy's."""
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    for key, values in arrays.items():
        root.create_array(f"data/{key}", data=values, chunks=(3, *values.shape[1:]))
    root.create_array("meta/episode_ends", data=np.array(ENDS, np.int64))
    return path


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_push_t_is_recognised(tmp_path: Path) -> None:
    state, keypoint, action = numbers(10, 5), numbers(10, 9, 2), numbers(10, 2)
    source = replay_buffer(tmp_path / "a.zarr", state=state, keypoint=keypoint, action=action)

    assert import_zarr(source, tmp_path / "out") == 2

    dataset = open_dataset(tmp_path / "out")
    assert dataset.vector_shapes == {"keypoint": (18,), "agent": (2,), "action": (2,)}
    np.testing.assert_array_equal(dataset.vector("agent"), state[:, :2])
    np.testing.assert_array_equal(dataset.vector("keypoint"), keypoint.reshape(10, 18))
    np.testing.assert_array_equal(dataset.ends, ENDS)
    assert dataset.extra("tasks")[0] == ["Push the T-shaped block onto the T-shaped target."]


def test_push_t_comes_with_its_images_where_they_were_kept(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (10, 8, 9, 3)).astype(np.uint8)
    source = replay_buffer(
        tmp_path / "a.zarr",
        state=numbers(10, 5),
        keypoint=numbers(10, 9, 2),
        action=numbers(10, 2),
        img=image.astype(np.float32),
        n_contacts=numbers(10, 1),
    )

    import_zarr(source, tmp_path / "out")

    dataset = open_dataset(tmp_path / "out")
    assert set(dataset.vector_shapes) == {"keypoint", "agent", "action"}
    assert dataset.image_shapes == {"scene": (8, 9, 3)}
    np.testing.assert_array_equal(dataset.image("scene"), image)
    assert dataset.extra("tasks")[0] == ["Push the T-shaped block onto the T-shaped target."]


def test_another_buffer_comes_with_all_its_keys(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (10, 8, 9, 3)).astype(np.uint8)
    source = replay_buffer(
        tmp_path / "a.zarr",
        action=numbers(10, 7),
        gripper=numbers(10),
        wrist=image,
        scene=image.astype(np.float32),
    )

    import_zarr(source, tmp_path / "out", fps=20, task="Stack the cups.")

    dataset = open_dataset(tmp_path / "out")
    assert dataset.fps == 20
    assert dataset.vector_shapes == {"action": (7,), "gripper": (1,)}
    np.testing.assert_array_equal(dataset.image("wrist"), image)
    np.testing.assert_array_equal(dataset.image("scene"), image)


def test_streams_can_be_chosen_and_cut(tmp_path: Path) -> None:
    source = replay_buffer(tmp_path / "a.zarr", state=numbers(10, 5), act=numbers(10, 2))

    import_zarr(source, tmp_path / "out", streams={"action": "act", "angle": "state[4:5]"})

    np.testing.assert_array_equal(
        open_dataset(tmp_path / "out").vector("angle"), numbers(10, 5)[:, 4:]
    )


@pytest.mark.parametrize(
    ("streams", "complaint"),
    [
        ({"action": "deed"}, "no 'deed' under data/; it has act, state"),
        ({"action": "act[1:9]"}, "columns 1 to 9 of 2"),
        ({"action": "act[1]"}, "write KEY or KEY"),
        ({"agent": "state"}, "needs the vector 'action'"),
    ],
)
def test_a_bad_choice_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, streams: dict[str, str], complaint: str
) -> None:
    source = replay_buffer(tmp_path / "a.zarr", state=numbers(10, 5), act=numbers(10, 2))

    with pytest.raises(FeelforwardError, match=complaint):
        import_zarr(source, tmp_path / "out", streams=streams)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_an_existing_directory_is_not_touched(tmp_path: Path) -> None:
    source = replay_buffer(tmp_path / "a.zarr", action=numbers(10, 2))
    (tmp_path / "out").mkdir()

    with pytest.raises(FeelforwardError, match="exists already"):
        import_zarr(source, tmp_path / "out")


def test_what_is_no_replay_buffer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeelforwardError, match="is not a directory"):
        import_zarr(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(FeelforwardError, match="not readable as zarr"):
        import_zarr(tmp_path, tmp_path / "out")
    source = replay_buffer(tmp_path / "short.zarr", action=numbers(9, 2))
    with pytest.raises(
        FeelforwardError, match=r"'action': 9.* rows, but the episodes end at row 10"
    ):
        import_zarr(source, tmp_path / "out")
