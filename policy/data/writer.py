"""Writes demonstrations as a LeRobot v3.0 data set, one closed parquet file per episode.

The order of a save decides what a kill leaves behind:

    data file ─▶ tasks ─▶ (info, first time) ─▶ INDEX ─▶ stats ─▶ info
                                                  └─ from here on the episode is saved

Each file is replaced atomically. What was written after the index is derived from it and made
good when the data set is opened again; a data file that never reached the index is overwritten.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from policy.data import layout
from policy.data.stats import Stats, image_stats, join, stats_from_lists, vector_stats
from robot_io.errors import FeelforwardError

Scalar = bool | int | float | str
_COUNTER_FEATURE = {"dtype": "int64", "shape": [1], "names": None}
_OWN_COLUMNS = frozenset(
    (
        "episode_index",
        "tasks",
        "length",
        "data/chunk_index",
        "data/file_index",
        "dataset_from_index",
        "dataset_to_index",
        "meta/episodes/chunk_index",
        "meta/episodes/file_index",
    )
)


class LeRobotWriter:
    """Opens or continues the data set in `directory`; `save_episode` adds to it.

    The first episode decides the features (names, widths, image sizes); later ones must agree.
    """

    def __init__(self, directory: Path, *, fps: float, robot_type: str) -> None:
        if not 0 < fps < float("inf"):
            raise FeelforwardError(f"fps = {fps}, but a rate must be a positive number of Hz.")
        self._directory = Path(directory)
        self._fps = int(fps) if float(fps).is_integer() else float(fps)
        self._robot_type = robot_type
        self._features: dict[str, layout.Feature] = {}
        self._tasks: list[str] = []
        self._index: pa.Table | None = None
        self._stats: dict[str, Stats] = {}
        self._index_stamp: int | None = None
        if (self._directory / layout.INDEX).exists():
            self._resume()

    @property
    def total_episodes(self) -> int:
        return 0 if self._index is None else self._index.num_rows

    @property
    def total_frames(self) -> int:
        return 0 if self._index is None else self._index["dataset_to_index"][-1].as_py()

    def save_episode(
        self,
        *,
        vectors: Mapping[str, np.ndarray],
        images: Mapping[str, np.ndarray],
        stamps: Mapping[str, np.ndarray],
        task: str,
        extra: Mapping[str, Scalar] | None = None,
    ) -> int:
        """Adds an episode of T rows and returns its index; after that no kill can lose it.

        `vectors`: name -> (T, D) numbers, among them `action`. `images`: name -> (T, H, W, 3)
        uint8 RGB. `stamps`: name -> (T,) int64 ns; `row` is when the row was due, the others
        when that stream was exposed. `extra`: facts about the episode (seed, success, reason).
        Raises FeelforwardError when anything does not fit the data set.
        """
        columns, features = _columns_of_streams(vectors, images, stamps)
        self._check_features(features)
        self._check_unchanged()
        facts = _checked_facts(extra or {})
        tasks = self._tasks if task in self._tasks else [*self._tasks, task]
        length = len(columns[layout.ACTION])
        columns |= self._counters(length, tasks.index(task))
        features |= _counter_features()
        episode_stats = _stats_of(columns, features)
        index = self._extended_index(length, task, facts, episode_stats)

        chunk, file = self._next_file()
        path = layout.DATA_PATH.format(chunk_index=chunk, file_index=file)
        layout.write_parquet(self._directory / path, _data_table(columns, features))
        if tasks != self._tasks:
            layout.write_parquet(self._directory / layout.TASKS, layout.tasks_table(tasks))
        self._features, self._tasks = features, tasks
        if self._index is None:
            self._write_info()
        layout.write_parquet(self._directory / layout.INDEX, index)
        self._index, self._index_stamp = index, self._stamp_of_index()
        self._add_stats(episode_stats)
        self._write_stats()
        self._write_info()
        return self.total_episodes - 1

    def _resume(self) -> None:
        info = layout.read_json(self._directory / layout.INFO)
        self._check_same("fps", self._fps, info.get("fps"))
        self._check_same("robot_type", self._robot_type, info.get("robot_type"))
        if len(list((self._directory / layout.EPISODES).rglob("*.parquet"))) > 1:
            raise FeelforwardError(
                f"{self._directory} keeps its index in several files, so another program wrote "
                "it. Collect into a new directory and train on both."
            )
        self._features = info["features"]
        tasks = layout.read_parquet(self._directory / layout.TASKS)
        names = next(name for name in tasks.column_names if name != "task_index")
        self._tasks = tasks.sort_by("task_index")[names].to_pylist()
        index = layout.read_parquet(self._directory / layout.INDEX)
        self._index, self._index_stamp = index, self._stamp_of_index()
        for row in index.to_pylist():
            self._add_stats({key: _indexed_stats(row, key) for key in self._features})
        self._write_stats()
        self._write_info()

    def _check_same(self, what: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            raise FeelforwardError(
                f"{self._directory} has {what} {theirs!r}, but this session has {ours!r}: "
                "collect into another directory."
            )

    def _check_features(self, features: dict[str, layout.Feature]) -> None:
        expected = {
            key: (feature["dtype"], tuple(feature["shape"]))
            for key, feature in self._features.items()
            if key not in _counter_features()
        }
        got = {
            key: (feature["dtype"], tuple(feature["shape"])) for key, feature in features.items()
        }
        if not expected or got == expected:
            return
        key = sorted(k for k in expected.keys() | got.keys() if expected.get(k) != got.get(k))[0]
        raise FeelforwardError(
            f"The episode does not fit {self._directory}: {key} is {got.get(key, 'absent')} here "
            f"and {expected.get(key, 'absent')} there. Collect into another directory."
        )

    def _check_unchanged(self) -> None:
        if self._stamp_of_index() != self._index_stamp:
            raise FeelforwardError(
                f"Another program has written to {self._directory} since it was opened: give "
                "each collector a directory of its own."
            )

    def _stamp_of_index(self) -> int | None:
        path = self._directory / layout.INDEX
        return path.stat().st_mtime_ns if path.exists() else None

    def _counters(self, length: int, task_index: int) -> dict[str, np.ndarray]:
        frame = np.arange(length, dtype=np.int64)
        return {
            "timestamp": (frame / self._fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(length, self.total_episodes, np.int64),
            "index": frame + self.total_frames,
            "task_index": np.full(length, task_index, np.int64),
        }

    def _next_file(self) -> tuple[int, int]:
        if self._index is None:
            return 0, 0
        chunks = self._index["data/chunk_index"].to_pylist()
        files = self._index["data/file_index"].to_pylist()
        chunk, file = max(zip(chunks, files, strict=True))
        return (chunk, file + 1) if file + 1 < layout.FILES_PER_CHUNK else (chunk + 1, 0)

    def _extended_index(
        self, length: int, task: str, facts: Mapping[str, Scalar], stats: Mapping[str, Stats]
    ) -> pa.Table:
        chunk, file = self._next_file()
        row: dict[str, Any] = {
            "episode_index": self.total_episodes,
            "tasks": [task],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self.total_frames,
            "dataset_to_index": self.total_frames + length,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        row |= facts
        for key, values in stats.items():
            row |= {f"stats/{key}/{name}": x for name, x in values.as_lists().items()}
        new = pa.Table.from_pylist([row])
        if self._index is None:
            return new
        try:
            both = pa.concat_tables([self._index, new], promote_options="default")
            return both.combine_chunks()  # a thousand small pieces would cost 20 times as much
        except pa.ArrowException as error:
            raise FeelforwardError(
                f"The episode's facts {dict(facts)} do not fit {self._directory}: {error}."
            ) from None

    def _add_stats(self, episode: Mapping[str, Stats]) -> None:
        for key, stats in episode.items():
            self._stats[key] = join([self._stats[key], stats]) if key in self._stats else stats

    def _write_stats(self) -> None:
        content = {key: stats.as_lists() for key, stats in self._stats.items()}
        layout.write_json(self._directory / layout.STATS, content)

    def _write_info(self) -> None:
        content = {
            "codebase_version": layout.VERSION,
            "robot_type": self._robot_type,
            "total_episodes": self.total_episodes,
            "total_frames": self.total_frames,
            "total_tasks": len(self._tasks),
            "chunks_size": layout.FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 500,
            "fps": self._fps,
            "splits": {"train": f"0:{self.total_episodes}"},
            "data_path": layout.DATA_PATH,
            "video_path": None,
            "features": self._features,
        }
        layout.write_json(self._directory / layout.INFO, content)


def _columns_of_streams(
    vectors: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray],
    stamps: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, layout.Feature]]:
    """Checked arrays and their features, both by column name."""
    if layout.ACTION not in vectors:
        raise FeelforwardError(f"An episode needs the vector 'action', got {sorted(vectors)}.")
    columns, features = {}, {}
    for name, values in vectors.items():
        key = layout.vector_key(name)
        columns[key] = _checked_vector(key, values)
        features[key] = {"dtype": "float32", "shape": [columns[key].shape[1]], "names": None}
    for name, values in images.items():
        key = layout.image_key(name)
        columns[key] = _checked_images(key, values)
        names = ["height", "width", "channels"]
        features[key] = {"dtype": "image", "shape": list(values.shape[1:]), "names": names}
    for name, values in stamps.items():
        key = layout.stamp_key(name)
        columns[key] = _checked_stamps(key, values)
        features[key] = dict(_COUNTER_FEATURE)
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise FeelforwardError(f"All streams of an episode need the same rows, got {lengths}.")
    return columns, features


def _checked_vector(key: str, values: np.ndarray) -> np.ndarray:
    x_TD = np.asarray(values, np.float32)
    if x_TD.ndim != 2 or x_TD.shape[1] == 0:
        raise FeelforwardError(f"{key} has shape {x_TD.shape}, expected (rows, width).")
    finite_T = np.isfinite(x_TD).all(1)
    if not finite_T.all():
        row = int(finite_T.argmin())
        raise FeelforwardError(f"{key} is {x_TD[row].tolist()} at row {row}: not finite.")
    return x_TD


def _checked_images(key: str, values: np.ndarray) -> np.ndarray:
    if values.ndim != 4 or values.shape[3] != 3 or values.dtype != np.uint8:
        raise FeelforwardError(
            f"{key} is {values.dtype} {values.shape}, expected uint8 (rows, height, width, 3)."
        )
    return values


def _checked_stamps(key: str, values: np.ndarray) -> np.ndarray:
    stamps_T = np.asarray(values)
    if stamps_T.ndim != 1 or stamps_T.dtype != np.int64:
        raise FeelforwardError(
            f"{key} is {stamps_T.dtype} {stamps_T.shape}, expected int64 nanoseconds (rows,)."
        )
    return stamps_T


def _checked_facts(extra: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    for name, value in extra.items():
        if name in _OWN_COLUMNS or "/" in name:
            raise FeelforwardError(f"The episode fact {name!r} has a name the index needs itself.")
        if not isinstance(value, bool | int | float | str):
            raise FeelforwardError(
                f"The episode fact {name!r} is {type(value).__name__}, expected bool, int, float "
                "or str."
            )
    return extra


def _counter_features() -> dict[str, layout.Feature]:
    timestamp = {"dtype": "float32", "shape": [1], "names": None}
    return {"timestamp": timestamp} | {key: dict(_COUNTER_FEATURE) for key in layout.COUNTERS}


def _stats_of(
    columns: Mapping[str, np.ndarray], features: Mapping[str, layout.Feature]
) -> dict[str, Stats]:
    return {
        key: image_stats(values) if layout.is_image(features[key]) else vector_stats(values)
        for key, values in columns.items()
    }


def _indexed_stats(row: Mapping[str, Any], key: str) -> Stats:
    names = ("min", "max", "mean", "std", "count")
    return stats_from_lists({name: row[f"stats/{key}/{name}"] for name in names})


def _data_table(
    columns: Mapping[str, np.ndarray], features: Mapping[str, layout.Feature]
) -> pa.Table:
    schema = layout.data_schema(features)
    arrays = [_arrow_array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _arrow_array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        frames = [{"bytes": _png(image), "path": None} for image in values]
        return pa.array(frames, kind)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), kind.list_size)
    return pa.array(values.reshape(-1), kind)


def _png(image_HWC: np.ndarray) -> bytes:
    done, buffer = cv2.imencode(".png", cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR))
    assert done, "OpenCV encodes every uint8 image"
    return buffer.tobytes()
