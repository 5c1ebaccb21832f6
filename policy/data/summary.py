"""What is in a data set, for a person at a terminal."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from policy.data import cache, layout
from policy.data.dataset import DemoDataset, open_dataset
from policy.data.stats import Stats, stats_from_lists

_MAX_COLUMNS_SHOWN = 8


def dataset_info(directory: Path, *, cache_dir: Path | None = None) -> RenderableType:
    """Episodes, hours, rate, tasks, success share, size and every stream, ready for rich.

    Raises FeelforwardError when the data set cannot be opened.
    """
    dataset = open_dataset(directory, cache_dir=cache_dir)
    return Group(_overview(dataset), _stream_table(dataset))


def _overview(dataset: DemoDataset) -> Table:
    lengths_E = dataset.ends - dataset.starts
    table = Table.grid(padding=(0, 2))
    seconds = dataset.frame_count / dataset.fps
    facts = {
        "data set": str(dataset.directory),
        "robot": dataset.robot_type,
        "episodes": f"{dataset.episode_count} of {lengths_E.min()} to {lengths_E.max()} rows",
        "rows": f"{dataset.frame_count:,}, {seconds / 3600:.2f} h",
        "rate": _rate(dataset),
        "tasks": _tasks(dataset),
        "success": _success(dataset),
        "on disk": _size(dataset),
        "cache": ", ".join(dataset.cached_streams()) or "nothing decoded yet",
    }
    for name, fact in facts.items():
        table.add_row(Text(name, style="bold"), Text(fact))
    return table


def _rate(dataset: DemoDataset) -> str:
    """The nominal rate, and what the real stamps say about it."""
    nominal = f"{dataset.fps:g} Hz"
    period_ms = _periods_ms(dataset)
    if period_ms is None:
        return f"{nominal} nominal, no real stamps"
    p50, p99 = np.percentile(period_ms, [50, 99])
    return (
        f"{nominal} nominal; between rows {p50:.1f} ms in the middle, {period_ms.min():.1f} to "
        f"{period_ms.max():.1f} ms, 99 % under {p99:.1f} ms"
    )


def _periods_ms(dataset: DemoDataset) -> np.ndarray | None:
    """Times between rows of the same episode, from `stamp.row_ns`."""
    column = layout.stamp_key("row")
    files = list(cache.data_files(dataset.directory, dataset.index))
    if column not in layout.read_schema(files[0][0]).names:
        return None
    stamps = pa.concat_tables([layout.read_parquet(path, [column]) for path, _, _ in files])
    period_ms = np.diff(stamps[column].to_numpy()) / 1e6
    inside = np.ones(len(period_ms), bool)
    inside[dataset.starts[1:] - 1] = False
    return period_ms[inside] if inside.any() else None


def _tasks(dataset: DemoDataset) -> str:
    if "tasks" not in dataset.index[0]:
        return "not recorded"
    counts = Counter(task for tasks in dataset.extra("tasks") for task in tasks)
    return "\n".join(f"{task} ({count} episodes)" for task, count in counts.most_common())


def _success(dataset: DemoDataset) -> str:
    if "success" not in dataset.index[0]:
        return "not recorded"
    outcomes = [bool(outcome) for outcome in dataset.extra("success")]
    return f"{sum(outcomes)} of {len(outcomes)} ({100 * np.mean(outcomes):.0f} %)"


def _size(dataset: DemoDataset) -> str:
    files = dataset.files()
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files)} files"


def _stream_table(dataset: DemoDataset) -> Table:
    table = Table("stream", "kind", "shape", "min", "mean", "max")
    stats = _read_stats(dataset)
    for name, stream in sorted(dataset.streams.items()):
        shape = " x ".join(str(size) for size in stream.shape)
        columns = _columns(stats.get(stream.key))
        table.add_row(name, f"{stream.kind} {stream.dtype}", shape, *columns)
    for name, why in sorted(dataset.absent.items()):
        table.add_row(name, "absent", why, "", "", "")
    return table


def _read_stats(dataset: DemoDataset) -> dict[str, Stats]:
    path = dataset.directory / layout.STATS
    if not path.exists():
        return {}
    return {key: stats_from_lists(lists) for key, lists in layout.read_json(path).items()}


def _columns(stats: Stats | None) -> tuple[str, str, str]:
    """One number per line; of wide streams the extremes over all dimensions."""
    if stats is None:
        return "", "", ""
    low, mean, high = (x.ravel() for x in (stats.min, stats.mean, stats.max))
    if len(low) > _MAX_COLUMNS_SHOWN:
        low, mean, high = low.min(keepdims=True), mean.mean(keepdims=True), high.max(keepdims=True)
    lines = ["\n".join(f"{value:.4g}" for value in x) for x in (low, mean, high)]
    return lines[0], lines[1], lines[2]
