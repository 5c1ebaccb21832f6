"""Opens a LeRobot v3.0 data set for training: checks it, then serves each stream as one array.

Legend: N frames of the whole data set, n of the chosen episodes, D width, HWC image, E episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from policy.data import cache, layout
from policy.data.cache import Stream
from robot_io.errors import FeelforwardError


@dataclass(frozen=True)
class DemoDataset:
    """Episodes of a data set, all or some of them; streams are decoded when first asked for.

    dataset = open_dataset(Path("data/push_t"))
    train, validation = dataset.split()
    agent_n2 = train.rows("agent")
    """

    directory: Path
    cache_dir: Path
    fps: float
    robot_type: str
    streams: dict[str, Stream]
    index: tuple[dict[str, Any], ...]  # meta/episodes, all episodes
    episodes: tuple[int, ...]  # the chosen ones
    absent: dict[str, str] = field(default_factory=dict)  # declared streams without files: why

    @property
    def vector_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: s.shape for name, s in self.streams.items() if s.kind == "vector"}

    @property
    def image_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: s.shape for name, s in self.streams.items() if s.kind != "vector"}

    @property
    def episode_count(self) -> int:
        return len(self.episodes)

    @property
    def frame_count(self) -> int:
        return int((self.ends - self.starts).sum())

    @cached_property
    def starts(self) -> np.ndarray:
        return np.array([self.index[e]["dataset_from_index"] for e in self.episodes], np.int64)

    @cached_property
    def ends(self) -> np.ndarray:
        return np.array([self.index[e]["dataset_to_index"] for e in self.episodes], np.int64)

    def extra(self, name: str) -> list:
        """A fact that was saved with each chosen episode, such as "success" or "seed"."""
        if name not in self.index[0]:
            known = [key for key in self.index[0] if "/" not in key]
            raise FeelforwardError(
                f"Episodes of {self.directory} have no {name!r}; they have {', '.join(known)}."
            )
        return [self.index[episode][name] for episode in self.episodes]

    def subset(self, episodes: Sequence[int]) -> "DemoDataset":
        """The same data, restricted to these episodes."""
        unknown = sorted(set(episodes) - set(range(len(self.index))))
        if unknown or not episodes:
            raise FeelforwardError(
                f"{self.directory} has episodes 0 to {len(self.index) - 1}, asked for "
                f"{unknown or 'none'}."
            )
        return replace(self, episodes=tuple(episodes))

    def split(self, validation_every: int = 20) -> tuple["DemoDataset", "DemoDataset"]:
        """(training, validation): of every `validation_every` episodes the last is held out."""
        held_out = self.episodes[validation_every - 1 :: validation_every]
        if not held_out:
            raise FeelforwardError(
                f"{self.directory} has {self.episode_count} episodes, too few to hold out one in "
                f"{validation_every}."
            )
        rest = [episode for episode in self.episodes if episode not in set(held_out)]
        return self.subset(rest), self.subset(held_out)

    def vector(self, name: str) -> np.ndarray:
        """(N, D) float32 of all episodes, a memory map."""
        return self._array(name, self.vector_shapes, "vector")

    def image(self, name: str) -> np.ndarray:
        """(N, H, W, C) uint8 RGB of all episodes, a memory map."""
        return self._array(name, self.image_shapes, "image")

    def rows(self, name: str) -> np.ndarray:
        """(n, D) float32 of the chosen episodes."""
        values_ND = self.vector(name)
        spans = zip(self.starts, self.ends, strict=True)
        return np.concatenate([values_ND[start:end] for start, end in spans])

    def prepare(self, names: Sequence[str]) -> None:
        """Decodes several streams in one pass, those that are not in the cache yet."""
        for name in names:
            self._check_known(name, self.streams, "stream")
        folder = self._cache_folder
        missing = {n: self.streams[n] for n in names if cache.cached(folder, n) is None}
        if missing:
            cache.build(folder, self.directory, missing, self.index)

    @cached_property
    def _cache_folder(self) -> Path:
        return cache.cache_folder(self.cache_dir, self.directory, self.files())

    def files(self) -> list[Path]:
        """Every data file and film of the data set."""
        files = [path for path, _, _ in cache.data_files(self.directory, self.index)]
        for stream in self.streams.values():
            if stream.kind == "video":
                films = {cache.video_file(self.directory, stream.key, e) for e in self.index}
                files += sorted(films)
        return files

    def cached_streams(self) -> list[str]:
        return [n for n in self.streams if cache.cached(self._cache_folder, n) is not None]

    def _array(self, name: str, known: dict[str, tuple[int, ...]], kind: str) -> np.ndarray:
        self._check_known(name, known, kind)
        self.prepare([name])
        array = cache.cached(self._cache_folder, name)
        assert array is not None, "prepare has just built it"
        return array

    def _check_known(self, name: str, known: Sequence[str] | dict, kind: str) -> None:
        if name not in known:
            why = f": {self.absent[name]}" if name in self.absent else ""
            raise FeelforwardError(
                f"{self.directory} has no {kind} {name!r}{why}. It has "
                f"{', '.join(sorted(known)) or 'none'}."
            )


def open_dataset(directory: Path, *, cache_dir: Path | None = None) -> DemoDataset:
    """Reads the index and checks every data file's columns; decodes nothing yet.

    `cache_dir` (default: `.cache` inside the data set) takes the decoded streams.
    Raises FeelforwardError with the file or column that is missing or broken.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FeelforwardError(f"{directory} is not a directory: expected a LeRobot v3 data set.")
    info = layout.read_json(directory / layout.INFO)
    _check_version(directory, info)
    index = _read_index(directory)
    dataset = DemoDataset(
        directory=directory,
        cache_dir=Path(cache_dir) if cache_dir is not None else directory / ".cache",
        fps=float(info["fps"]),
        robot_type=str(info.get("robot_type")),
        index=index,
        episodes=tuple(range(len(index))),
        **_streams(directory, info["features"], index),
    )
    _check_columns(dataset, info["features"])
    return dataset


def _check_version(directory: Path, info: dict[str, Any]) -> None:
    version = info.get("codebase_version")
    if version != layout.VERSION:
        raise FeelforwardError(
            f"{directory} is a LeRobot data set of version {version}, only {layout.VERSION} is "
            "read: convert it with LeRobot's own converter."
        )
    absent = {"fps", "features"} - info.keys()
    if absent:
        raise FeelforwardError(f"{directory / layout.INFO} has no {', '.join(sorted(absent))}.")
    if not 0 < info["fps"] < float("inf"):
        raise FeelforwardError(
            f"{directory / layout.INFO} has fps = {info['fps']}, but a rate must be positive."
        )


def _read_index(directory: Path) -> tuple[dict[str, Any], ...]:
    paths = sorted((directory / layout.EPISODES).rglob("*.parquet"))
    if not paths:
        raise FeelforwardError(f"{directory} holds no episodes yet ({layout.EPISODES} is empty).")
    tables = []
    for path in paths:
        names = layout.read_schema(path).names
        wanted = [name for name in names if not name.startswith("stats/")]
        tables.append(layout.read_parquet(path, wanted))
        required = {"length", "dataset_from_index", "dataset_to_index", "data/file_index"}
        if absent := required - set(wanted):
            raise FeelforwardError(f"{path} has no column {', '.join(sorted(absent))}.")
    table = pa.concat_tables(tables, promote_options="default")
    if table.num_rows == 0:
        raise FeelforwardError(f"{directory} holds no episodes yet.")
    return tuple(table.sort_by("dataset_from_index").to_pylist())


def _streams(
    directory: Path, features: dict[str, layout.Feature], index: Sequence[dict[str, Any]]
) -> dict[str, dict]:
    """The streams that can be read, and why declared ones cannot."""
    streams, absent = {}, {}
    for key, feature in features.items():
        if not (layout.is_image(feature) or layout.is_vector(key, feature)):
            continue
        name = layout.stream_name(key)
        kind = feature["dtype"] if layout.is_image(feature) else "vector"
        if kind == "video":
            films = {cache.video_file(directory, key, episode) for episode in index}
            lost = sorted(film for film in films if not film.exists())
            if lost:
                absent[name] = f"its film {lost[0].relative_to(directory)} is missing"
                continue
        streams[name] = Stream(key, tuple(feature["shape"]), kind)
    if layout.ACTION not in streams:
        raise FeelforwardError(f"{directory} declares no numeric feature 'action'.")
    return {"streams": streams, "absent": absent}


def _check_columns(dataset: DemoDataset, features: dict[str, layout.Feature]) -> None:
    expected = {key for key, feature in features.items() if feature["dtype"] != "video"}
    for path, _, _ in cache.data_files(dataset.directory, dataset.index):
        lost = sorted(expected - set(layout.read_schema(path).names))
        if lost:
            raise FeelforwardError(f"{path} has no column {', '.join(lost)}.")
