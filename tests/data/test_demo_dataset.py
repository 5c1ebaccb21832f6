import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_demos import make_episode

from policy.data import LeRobotWriter, cache, open_dataset
from robot_io.errors import FeelforwardError

Write = Callable[[list[int]], Path]
SECOND_FILE = "data/chunk-000/file-001.parquet"


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def test_streams_have_their_short_names(small: Write) -> None:
    dataset = open_dataset(small([5, 6]))

    assert dataset.vector_shapes == {"measured": (3,), "action": (2,)}
    assert dataset.image_shapes == {"wrist": (12, 16, 3), "tactile_left": (8, 8, 3)}
    assert (dataset.fps, dataset.robot_type) == (10.0, "sim")


def test_opening_decodes_nothing_and_asking_decodes_once(
    small: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = small([5, 6])
    dataset = open_dataset(directory)
    assert dataset.cached_streams() == []
    first = dataset.image("wrist")

    monkeypatch.setattr(cache, "build", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(open_dataset(directory).image("wrist"), first)
    assert open_dataset(directory).cached_streams() == ["wrist"]


def test_a_grown_data_set_is_decoded_anew_and_the_old_cache_goes(small: Write) -> None:
    directory = small([5, 6])
    assert len(open_dataset(directory).vector("action")) == 11
    writer = LeRobotWriter(directory, fps=10, robot_type="sim")
    writer.save_episode(**make_episode(4, 2), task="Tighten the cap.")

    assert len(open_dataset(directory).vector("action")) == 15
    assert len(list((directory / ".cache").iterdir())) == 1


def test_an_interrupted_decoding_leaves_no_cache(
    small: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = small([5, 6])
    decode, calls = cache._image, []

    def fail_in_the_middle(*arguments: object) -> np.ndarray:
        calls.append(1)
        if len(calls) > 7:
            raise KeyboardInterrupt
        return decode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_image", fail_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        open_dataset(directory).image("wrist")

    assert not list((directory / ".cache").rglob("*.npy"))


def test_the_cache_can_lie_elsewhere(small: Write, tmp_path: Path) -> None:
    directory = small([5])
    open_dataset(directory, cache_dir=tmp_path / "cache").vector("action")

    assert not (directory / ".cache").exists()
    assert list((tmp_path / "cache").rglob("action.npy"))


def test_every_so_manieth_episode_is_held_out(small: Write) -> None:
    dataset = open_dataset(small([3, 4, 5, 6, 7]))

    training, validation = dataset.split(validation_every=2)

    assert training.episodes == (0, 2, 4)
    assert validation.episodes == (1, 3)
    np.testing.assert_array_equal(
        validation.rows("action")[:, 0], [*range(1000, 1004), *range(3000, 3006)]
    )
    assert training.extra("seed") == [0, 2, 4]
    assert training.frame_count == 15


def test_too_few_episodes_to_split_are_refused(small: Write) -> None:
    with pytest.raises(FeelforwardError, match="too few to hold out one in 20"):
        open_dataset(small([3, 4])).split()


def test_unknown_episodes_and_facts_are_refused(small: Write) -> None:
    dataset = open_dataset(small([3, 4]))

    with pytest.raises(FeelforwardError, match=r"episodes 0 to 1, asked for \[7\]"):
        dataset.subset([0, 7])
    with pytest.raises(FeelforwardError, match=r"no 'mood'; they have .*seed"):
        dataset.extra("mood")


def test_an_unknown_stream_is_refused_with_the_known_ones(small: Write) -> None:
    with pytest.raises(FeelforwardError, match=r"no image 'scene'\. It has tactile_left, wrist"):
        open_dataset(small([3])).image("scene")


def test_a_missing_column_is_one_sentence(small: Write) -> None:
    directory = small([5, 6])
    rewrite(directory / SECOND_FILE, lambda table: table.drop_columns(["observation.measured"]))

    with pytest.raises(FeelforwardError, match=r"file-001\.parquet has no column observation\.mea"):
        open_dataset(directory)


def test_a_missing_file_is_one_sentence(small: Write) -> None:
    directory = small([5, 6])
    (directory / SECOND_FILE).unlink()

    with pytest.raises(FeelforwardError, match=r"file-001\.parquet is missing from the data set"):
        open_dataset(directory)


def test_a_truncated_file_is_one_sentence(small: Write) -> None:
    directory = small([5, 6])
    path = directory / SECOND_FILE
    path.write_bytes(path.read_bytes()[:300])

    with pytest.raises(FeelforwardError, match=r"file-001\.parquet is not readable as parquet"):
        open_dataset(directory)


def test_rows_that_the_index_does_not_know_are_refused(small: Write) -> None:
    directory = small([5, 6])
    rewrite(directory / SECOND_FILE, lambda table: table.slice(0, 4))

    with pytest.raises(FeelforwardError, match="4 rows, but the index says 6"):
        open_dataset(directory).vector("action")


def test_nan_in_a_file_is_refused(small: Write) -> None:
    directory = small([5, 6])
    column = pa.array([[float("nan")] * 2] * 6, pa.list_(pa.float32(), 2))
    rewrite(
        directory / SECOND_FILE,
        lambda table: table.set_column(table.column_names.index("action"), "action", column),
    )

    with pytest.raises(FeelforwardError, match="action that are not finite"):
        open_dataset(directory).vector("action")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda info: info | {"codebase_version": "v2.1"}, "version v2.1, only v3.0 is read"),
        (lambda info: info | {"fps": 0}, "fps = 0"),
        (lambda info: {"codebase_version": "v3.0", "fps": 10}, "has no features"),
    ],
)
def test_a_broken_info_is_one_sentence(
    small: Write, change: Callable[[dict], dict], complaint: str
) -> None:
    path = small([5]) / "meta/info.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(FeelforwardError, match=complaint):
        open_dataset(path.parents[1])


def test_what_is_no_data_set_is_refused(tmp_path: Path, small: Write) -> None:
    with pytest.raises(FeelforwardError, match="is not a directory"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(FeelforwardError, match=r"info\.json is missing"):
        open_dataset(tmp_path)
    directory = small([5])
    shutil.rmtree(directory / "meta/episodes")
    with pytest.raises(FeelforwardError, match="holds no episodes yet"):
        open_dataset(directory)


def test_films_as_lerobot_writes_them_are_read(small: Write) -> None:
    """Two episodes in one film, as LeRobot keeps them."""
    av = pytest.importorskip("av")
    directory = small([5, 6])
    film = directory / "videos/observation.images.top/chunk-000/file-000.mp4"
    film.parent.mkdir(parents=True)
    with av.open(str(film), "w") as container:
        track = container.add_stream("libx264", rate=10, options={"crf": "0"})
        track.width, track.height, track.pix_fmt = 32, 32, "yuv420p"
        for shade in range(11):
            image = np.full((32, 32, 3), 20 * shade, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(track.encode())
    declare_film(directory, "observation.images.top")

    dataset = open_dataset(directory)

    shades = dataset.image("top").mean((1, 2, 3))
    np.testing.assert_allclose(shades, 20 * np.arange(11), atol=3)
    film.unlink()
    with pytest.raises(FeelforwardError, match=r"no image 'top': its film .* is missing"):
        open_dataset(directory).image("top")


def declare_film(directory: Path, key: str) -> None:
    path = directory / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"][key] = {"dtype": "video", "shape": [32, 32, 3], "names": None}
    path.write_text(json.dumps(info))

    def add_columns(table: pa.Table) -> pa.Table:
        for name in ("chunk_index", "file_index"):
            table = table.append_column(f"videos/{key}/{name}", pa.array([0, 0]))
        return table.append_column(f"videos/{key}/from_timestamp", pa.array([0.0, 0.5]))

    rewrite(directory / "meta/episodes/chunk-000/file-000.parquet", add_columns)
