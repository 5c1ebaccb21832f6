import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_up_demos import make_episode, write_dataset

from policy.data import LeRobotWriter, open_dataset
from robot_io.errors import FeelforwardError

SAVE_FOR_EVER = """
import sys
from pathlib import Path
from made_up_demos import make_episode
from policy.data import LeRobotWriter

writer = LeRobotWriter(Path(sys.argv[1]), fps=10, robot_type="sim")
while True:
    seed = writer.total_episodes
    extra = {"seed": seed, "success": True, "reason": "tight"}
    writer.save_episode(**make_episode(20, seed), task="Tighten the cap.", extra=extra)
    print(seed, flush=True)
"""


def assert_holds(directory: Path, episodes: int) -> None:
    """The first `episodes` made-up episodes are there, whole."""
    dataset = open_dataset(directory)
    assert dataset.episode_count == episodes
    for number, (start, end) in enumerate(zip(dataset.starts, dataset.ends, strict=True)):
        expected = make_episode(int(end - start), number)
        for name, values in expected["vectors"].items():
            np.testing.assert_array_equal(dataset.vector(name)[start:end], values)
        for name, values in expected["images"].items():
            np.testing.assert_array_equal(dataset.image(name)[start:end], values)


def test_what_is_read_is_what_was_saved_bit_for_bit(tmp_path: Path) -> None:
    write_dataset(tmp_path / "demos", [5, 9, 1])

    assert_holds(tmp_path / "demos", 3)


def test_the_layout_is_that_of_lerobot_v3(tmp_path: Path) -> None:
    write_dataset(tmp_path, [5, 9])

    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 14, 1)
    assert info["features"]["observation.measured"]["shape"] == [3]
    assert info["features"]["observation.images.wrist"]["dtype"] == "image"
    table = pq.read_table(tmp_path / "data/chunk-000/file-001.parquet")
    assert table.column_names == list(info["features"])
    assert table["index"].to_pylist() == list(range(5, 14))
    assert table["timestamp"].to_numpy()[3] == pytest.approx(0.3)
    index = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet")
    assert index["dataset_to_index"].to_pylist() == [5, 14]
    assert index["success"].to_pylist() == [True, False]


def test_real_stamps_are_kept_to_the_nanosecond(tmp_path: Path) -> None:
    (episode,) = write_dataset(tmp_path, [7])

    table = pq.read_table(tmp_path / "data/chunk-000/file-000.parquet")
    np.testing.assert_array_equal(table["stamp.row_ns"].to_numpy(), episode["stamps"]["row"])


def test_statistics_over_episodes_equal_those_over_all_rows(tmp_path: Path) -> None:
    episodes = write_dataset(tmp_path, [5, 9, 31])

    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    rows = np.concatenate([episode["vectors"]["measured"] for episode in episodes]).astype(float)
    pixels = np.concatenate([episode["images"]["wrist"] for episode in episodes]) / 255.0
    np.testing.assert_allclose(stats["observation.measured"]["std"], rows.std(0))
    np.testing.assert_allclose(stats["observation.measured"]["min"], rows.min(0))
    colour = np.ravel(stats["observation.images.wrist"]["std"])
    np.testing.assert_allclose(colour, pixels.std((0, 1, 2)))


def test_a_data_set_can_be_continued_by_another_session(tmp_path: Path) -> None:
    write_dataset(tmp_path, [5, 9])

    writer = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    number = writer.save_episode(**make_episode(4, 2), task="Open the cap.", extra={"seed": 2})

    assert number == 2
    assert_holds(tmp_path, 3)
    dataset = open_dataset(tmp_path)
    assert dataset.extra("tasks") == [["Tighten the cap."], ["Tighten the cap."], ["Open the cap."]]
    assert dataset.extra("success") == [True, False, None]


@pytest.mark.parametrize("files_replaced", range(6))
def test_a_crash_between_any_two_files_loses_nothing_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_replaced: int
) -> None:
    write_dataset(tmp_path, [5, 6])
    writer = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    replace, calls = Path.replace, []

    def replace_until_the_crash(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > files_replaced:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_until_the_crash)
    saved = 2
    try:
        for seed in (2, 3):
            writer.save_episode(**make_episode(7, seed), task="Tighten the cap.")
            saved += 1
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()

    found = open_dataset(tmp_path).episode_count
    assert found in (saved, saved + 1)
    assert_holds(tmp_path, found)
    continued = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    continued.save_episode(**make_episode(4, found), task="Tighten the cap.")
    assert_holds(tmp_path, found + 1)
    assert json.loads((tmp_path / "meta/info.json").read_text())["total_episodes"] == found + 1


@pytest.mark.slow
def test_a_killed_collector_loses_no_saved_episode(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path / "demos")]
    environment = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"}
    saved = -1
    for more in (1, 3, 2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as collector:
            assert collector.stdout is not None
            for _ in range(more):
                saved = int(collector.stdout.readline())
            collector.send_signal(signal.SIGKILL)
        found = open_dataset(tmp_path / "demos").episode_count
        assert found >= saved + 1
        assert_holds(tmp_path / "demos", found)
    assert saved >= 5


def test_an_episode_with_other_streams_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path, [5])
    writer = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    wider = make_episode(5, 1)
    wider["vectors"]["measured"] = np.zeros((5, 4), np.float32)
    blind = make_episode(5, 1)
    del blind["images"]["wrist"]

    with pytest.raises(FeelforwardError, match=r"observation\.measured is .*4.* here"):
        writer.save_episode(**wider, task="Tighten the cap.")
    with pytest.raises(FeelforwardError, match=r"images\.wrist is absent here"):
        writer.save_episode(**blind, task="Tighten the cap.")
    assert_holds(tmp_path, 1)


@pytest.mark.parametrize(
    ("stream", "values", "complaint"),
    [
        ("measured", np.full((5, 3), np.nan), "not finite"),
        ("measured", np.zeros(5), r"expected \(rows, width\)"),
        ("measured", np.zeros((4, 3)), "same rows"),
    ],
)
def test_a_broken_vector_is_refused(
    tmp_path: Path, stream: str, values: np.ndarray, complaint: str
) -> None:
    episode = make_episode(5, 0)
    episode["vectors"][stream] = values

    with pytest.raises(FeelforwardError, match=complaint):
        LeRobotWriter(tmp_path, fps=10, robot_type="sim").save_episode(**episode, task="T")
    assert not (tmp_path / "meta").exists()


def test_float_images_and_float_stamps_are_refused(tmp_path: Path) -> None:
    writer = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    episode = make_episode(5, 0)

    with pytest.raises(FeelforwardError, match="expected uint8"):
        images = {"wrist": np.zeros((5, 8, 8, 3))}
        writer.save_episode(**episode | {"images": images}, task="T")
    with pytest.raises(FeelforwardError, match="expected int64 nanoseconds"):
        writer.save_episode(**episode | {"stamps": {"row": np.zeros(5)}}, task="T")


def test_an_episode_without_action_is_refused(tmp_path: Path) -> None:
    episode = make_episode(5, 0)
    del episode["vectors"]["action"]

    with pytest.raises(FeelforwardError, match="needs the vector 'action'"):
        LeRobotWriter(tmp_path, fps=10, robot_type="sim").save_episode(**episode, task="T")


def test_a_fact_of_another_kind_than_before_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, [5])
    writer = LeRobotWriter(tmp_path, fps=10, robot_type="sim")

    with pytest.raises(FeelforwardError, match="facts"):
        writer.save_episode(**make_episode(5, 1), task="T", extra={"seed": "one"})
    with pytest.raises(FeelforwardError, match="'length'"):
        writer.save_episode(**make_episode(5, 1), task="T", extra={"length": 3})
    assert_holds(tmp_path, 1)


def test_another_rate_or_robot_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, [5])

    with pytest.raises(FeelforwardError, match="fps 10, but this session has 20"):
        LeRobotWriter(tmp_path, fps=20, robot_type="sim")
    with pytest.raises(FeelforwardError, match="robot_type 'sim'"):
        LeRobotWriter(tmp_path, fps=10, robot_type="fr3")
    with pytest.raises(FeelforwardError, match="positive number of Hz"):
        LeRobotWriter(tmp_path / "new", fps=float("nan"), robot_type="sim")


def test_two_collectors_do_not_overwrite_each_other(tmp_path: Path) -> None:
    write_dataset(tmp_path, [5])
    one = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    other = LeRobotWriter(tmp_path, fps=10, robot_type="sim")
    one.save_episode(**make_episode(6, 1), task="Tighten the cap.")

    with pytest.raises(FeelforwardError, match="Another program has written"):
        other.save_episode(**make_episode(6, 2), task="Tighten the cap.")
    assert_holds(tmp_path, 2)


def test_a_copy_elsewhere_is_as_good(tmp_path: Path) -> None:
    write_dataset(tmp_path / "here", [5, 6])
    shutil.copytree(tmp_path / "here", tmp_path / "there")

    assert_holds(tmp_path / "there", 2)
