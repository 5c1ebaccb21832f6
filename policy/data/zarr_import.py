"""Imports Diffusion Policy replay buffers (zarr): `data/KEY` (N, ...) and `meta/episode_ends` (E,).

Streams are written `"KEY"` or `"KEY[a:b]"` (some columns only). Keys with rows of numbers become
vectors, flattened; keys with (H, W, 3) become images.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from rich.progress import track

from policy.data import layout
from policy.data.writer import LeRobotWriter
from robot_io.errors import FeelforwardError

PUSH_T_STREAMS = {"keypoint": "keypoint", "agent": "state[0:2]", "action": "action"}
PUSH_T_IMAGES = {"scene": "img"}  # where they were kept
PUSH_T_TASK = "Push the T-shaped block onto the T-shaped target."
_SOURCE = re.compile(r"(?P<key>[^\[\]]+)(\[(?P<start>\d+):(?P<stop>\d+)\])?")


def import_zarr(
    source: Path,
    out: Path,
    *,
    fps: float = 10.0,
    task: str | None = None,
    streams: Mapping[str, str] | None = None,
) -> int:
    """Writes `out` as a LeRobot v3.0 data set and returns its number of episodes.

    `streams`: our name -> key of the buffer; without it Push-T is recognised (keypoint, agent,
    action, scene), and of any other buffer every key is taken under its own name.
    `out` appears when it is complete and must not exist before.
    """
    source, out = Path(source), Path(out)
    buffer = _open(source)
    if streams is None:
        streams = _default_streams(buffer)
    if task is None:
        is_push_t = streams.items() >= PUSH_T_STREAMS.items()
        task = PUSH_T_TASK if is_push_t else f"Imported from {source.name}."
    parts = {name: _part(buffer, text) for name, text in streams.items()}
    with layout.new_directory(out) as partial:
        return _write(partial, buffer, parts, fps=fps, task=task)


@dataclass(frozen=True, slots=True)
class _Buffer:
    """The checked arrays of a replay buffer."""

    path: Path
    arrays: dict[str, zarr.Array]  # key -> (N, ...)
    ends_E: np.ndarray


@dataclass(frozen=True, slots=True)
class _Part:
    """Columns of one array."""

    array: zarr.Array
    columns: slice

    @property
    def is_image(self) -> bool:
        return self.array.ndim == 4 and self.array.shape[3] == 3

    def read(self, start: int, end: int) -> np.ndarray:
        """Rows as (T, D) float32, or (T, H, W, 3) uint8."""
        values = np.asarray(self.array[start:end])
        if self.is_image:
            return _as_uint8(values)
        return values.reshape(end - start, -1)[:, self.columns].astype(np.float32)


def _as_uint8(values: np.ndarray) -> np.ndarray:
    """Images come as uint8, as floats with whole numbers 0..255, or as floats 0..1."""
    if values.dtype == np.uint8:
        return values
    scaled = values * 255.0 if values.max(initial=0.0) <= 1.0 else values
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _open(source: Path) -> _Buffer:
    if not source.is_dir():
        raise FeelforwardError(f"{source} is not a directory: expected a zarr replay buffer.")
    try:
        group = zarr.open_group(str(source), mode="r")
        found = {path: node for path, node in group.members(max_depth=2)}
    except Exception as error:  # zarr has no base class of its own
        raise FeelforwardError(f"{source} is not readable as zarr: {error}.") from None
    ends = found.get("meta/episode_ends")
    arrays = {
        path.removeprefix("data/"): node
        for path, node in found.items()
        if path.startswith("data/") and isinstance(node, zarr.Array)
    }
    if not isinstance(ends, zarr.Array) or not arrays:
        raise FeelforwardError(
            f"{source} has no meta/episode_ends or no data/: not a replay buffer of Diffusion "
            "Policy."
        )
    ends_E = np.asarray(ends[:], np.int64)
    _check_ends(source, arrays, ends_E)
    return _Buffer(source, arrays, ends_E)


def _check_ends(source: Path, arrays: Mapping[str, zarr.Array], ends_E: np.ndarray) -> None:
    if len(ends_E) == 0 or not (np.diff(ends_E, prepend=0) > 0).all():
        raise FeelforwardError(
            f"{source}: meta/episode_ends does not rise from episode to episode."
        )
    short = {key: array.shape[0] for key, array in arrays.items() if array.shape[0] != ends_E[-1]}
    if short:
        raise FeelforwardError(f"{source}: {short} rows, but the episodes end at row {ends_E[-1]}.")


def _default_streams(buffer: _Buffer) -> dict[str, str]:
    shapes = {key: array.shape[1:] for key, array in buffer.arrays.items()}
    if shapes.get("keypoint") == (9, 2) and shapes.get("state") == (5,):
        return PUSH_T_STREAMS | (PUSH_T_IMAGES if "img" in shapes else {})
    return {key: key for key in buffer.arrays}


def _part(buffer: _Buffer, text: str) -> _Part:
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise FeelforwardError(f"{text!r} is no source of a stream: write KEY or KEY[a:b].")
    key = match["key"]
    if key not in buffer.arrays:
        known = ", ".join(sorted(buffer.arrays))
        raise FeelforwardError(f"{buffer.path} has no {key!r} under data/; it has {known}.")
    array = buffer.arrays[key]
    width = int(np.prod(array.shape[1:], dtype=int))
    start, stop = int(match["start"] or 0), int(match["stop"] or width)
    if not 0 <= start < stop <= width:
        raise FeelforwardError(f"{text!r} asks for columns {start} to {stop} of {width}.")
    return _Part(array, slice(start, stop))


def _write(
    directory: Path, buffer: _Buffer, parts: Mapping[str, _Part], *, fps: float, task: str
) -> int:
    writer = LeRobotWriter(directory, fps=fps, robot_type="unknown")
    starts_E = np.r_[0, buffer.ends_E[:-1]]
    spans = list(zip(starts_E.tolist(), buffer.ends_E.tolist(), strict=True))
    for start, end in track(spans, f"Importing {buffer.path.name}", transient=True):
        streams = {name: part.read(start, end) for name, part in parts.items()}
        writer.save_episode(
            vectors={name: x for name, x in streams.items() if not parts[name].is_image},
            images={name: x for name, x in streams.items() if parts[name].is_image},
            stamps={},
            task=task,
        )
    return writer.total_episodes
