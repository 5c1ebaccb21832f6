"""Decodes the streams of a data set once, into memory maps from which a row costs microseconds.

    CACHE/<key of the data files>/measured.npy   (N, D) float32
                                  wrist.npy      (N, H, W, C) uint8

The key covers name, size and modification time of every data file, so a grown data set gets a
new cache and the old one goes. Each file appears only when it is complete.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
from av.error import FFmpegError
from rich.progress import Progress

from policy.data import layout
from robot_io.errors import FeelforwardError

_FORMAT = "1"  # raise it when cached files would be read differently


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it lies in the data set."""

    key: str  # column of the parquet files, or video key
    shape: tuple[int, ...]  # of one row
    kind: str  # "vector", "image" or "video"

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32 if self.kind == "vector" else np.uint8)


def cache_folder(root: Path, directory: Path, files: Sequence[Path]) -> Path:
    """The folder under `root` for the present content of the data set."""
    digest = hashlib.sha256(_FORMAT.encode())
    for file in files:
        facts = file.stat()
        relative = file.relative_to(directory)
        digest.update(f"{relative}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return root / digest.hexdigest()[:16]


def cached(folder: Path, name: str) -> np.ndarray | None:
    """The memory map of a stream, None when it was not decoded yet."""
    path = folder / f"{name}.npy"
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None


def build(
    folder: Path, directory: Path, streams: Mapping[str, Stream], index: Sequence[Mapping[str, Any]]
) -> None:
    """Decodes `streams` (name -> stream) of all episodes in one pass, with a progress bar."""
    frames = index[-1]["dataset_to_index"]
    _make_folder(folder)
    partial = {name: folder / f".{name}.{os.getpid()}.npy" for name in streams}
    maps = {
        name: np.lib.format.open_memmap(
            partial[name], mode="w+", dtype=stream.dtype, shape=(frames, *stream.shape)
        )
        for name, stream in streams.items()
    }
    try:
        with Progress(transient=True) as progress:
            task = progress.add_task(f"Decoding {directory.name}", total=frames * len(streams))
            _decode_all(directory, streams, index, maps, lambda n: progress.advance(task, n))
        for name, array in maps.items():
            array.flush()
            partial[name].replace(folder / f"{name}.npy")
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    _drop_outdated(folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FeelforwardError(
            f"No cache can be written to {folder}: {error.strerror}. Choose another cache folder."
        ) from None


def _drop_outdated(folder: Path) -> None:
    """Caches of earlier contents; whoever still maps one keeps it until he closes it."""
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)


def _decode_all(
    directory: Path,
    streams: Mapping[str, Stream],
    index: Sequence[Mapping[str, Any]],
    maps: Mapping[str, np.ndarray],
    advance: Callable[[int], None],
) -> None:
    columns = {name: stream for name, stream in streams.items() if stream.kind != "video"}
    if columns:
        for path, start, end in data_files(directory, index):
            table = layout.read_parquet(path, [stream.key for stream in columns.values()])
            _check_length(path, table.num_rows, end - start)
            for name, stream in columns.items():
                _fill(maps[name][start:end], table[stream.key], stream, path)
                advance(end - start)
    for name, stream in streams.items():
        if stream.kind == "video":
            for episode in index:
                start, end = episode["dataset_from_index"], episode["dataset_to_index"]
                _fill_from_film(maps[name][start:end], directory, stream, episode)
                advance(end - start)


def data_files(
    directory: Path, index: Sequence[Mapping[str, Any]], pattern: str = layout.DATA_PATH
) -> Iterator[tuple[Path, int, int]]:
    """(file, first frame, end frame) of each data file; a file may hold several episodes."""
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for episode in index:
        place = episode["data/chunk_index"], episode["data/file_index"]
        start, end = episode["dataset_from_index"], episode["dataset_to_index"]
        first, last = spans.get(place, (start, end))
        spans[place] = min(first, start), max(last, end)
    for (chunk, file), (start, end) in spans.items():
        yield directory / pattern.format(chunk_index=chunk, file_index=file), start, end


def _check_length(path: Path, got: int, expected: int) -> None:
    if got != expected:
        raise FeelforwardError(f"{path} has {got} rows, but the index says {expected}.")


def _fill(out: np.ndarray, column: pa.ChunkedArray, stream: Stream, path: Path) -> None:
    """Rows (rows, ...) of the map from a column; images one by one, however long the episode."""
    if column.null_count:
        raise FeelforwardError(f"{path} has {column.null_count} empty rows in {stream.key}.")
    if stream.kind == "image":
        for row, png in enumerate(column.combine_chunks().field("bytes")):
            out[row] = _image(png.as_buffer(), stream, path)
        return
    flat = column.combine_chunks()
    while pa.types.is_nested(flat.type):
        flat = flat.flatten()
    values = flat.to_numpy(zero_copy_only=False).astype(np.float32)
    if not np.isfinite(values).all():
        raise FeelforwardError(f"{path} has numbers in {stream.key} that are not finite.")
    out[:] = values.reshape(-1, *stream.shape)


def _image(png: pa.Buffer, stream: Stream, path: Path) -> np.ndarray:
    decoded = None
    if png is not None and png.size:
        decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None or decoded.shape != stream.shape:
        raise FeelforwardError(f"{path} has an image in {stream.key} that cannot be decoded.")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _fill_from_film(
    out: np.ndarray, directory: Path, stream: Stream, episode: Mapping[str, Any]
) -> None:
    """Rows (T, H, W, 3) RGB of the map from one episode, which is a stretch of a film."""
    path = video_file(directory, stream.key, episode)
    start_s = episode[f"videos/{stream.key}/from_timestamp"]
    count = 0
    try:
        with av.open(str(path)) as film:
            track = film.streams.video[0]
            half_frame_s = 0.5 / float(track.average_rate or 30)
            film.seek(int(start_s * 1_000_000))
            for frame in film.decode(track):
                if frame.time is not None and frame.time >= start_s - half_frame_s:
                    out[count] = frame.to_ndarray(format="rgb24")
                    count += 1
                if count == len(out):
                    break
    except (FFmpegError, OSError, IndexError) as error:
        raise FeelforwardError(f"{path} cannot be decoded: {error}.") from None
    _check_length(path, count, len(out))


def video_file(directory: Path, key: str, episode: Mapping[str, Any]) -> Path:
    return directory / layout.VIDEO_PATH.format(
        video_key=key,
        chunk_index=episode[f"videos/{key}/chunk_index"],
        file_index=episode[f"videos/{key}/file_index"],
    )
