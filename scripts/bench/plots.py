"""Timing plots: how late the control ticks were, and how old what the policy saw was."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robot_io.clock import NS_PER_MS
from robot_io.files import replacing
from robot_io.session.timing import Outcome
from scripts.bench.control import MAX_P99_MS, MAX_P999_MS, Lateness
from scripts.bench.delay import DRAWN, Cell


def plot_timing(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes a PNG: tick lateness as share of ticks later than x, observation age as histogram."""
    lateness_ms = _joined([outcome.record.late_ns_N for outcome in outcomes])
    age_ms = _joined([outcome.record.observation_age_ns_N for outcome in outcomes])
    stamp_ns_N = outcomes[0].record.stamp_ns_N
    period_ms = float(np.median(np.diff(stamp_ns_N))) / NS_PER_MS
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    late = np.sort(np.maximum(lateness_ms, 1e-3))
    left.loglog(late, 1 - np.arange(len(late)) / len(late), drawstyle="steps-post")
    left.axvline(period_ms, color="0.6", linestyle="--", label=f"control period, {period_ms:g} ms")
    left.set(xlabel="tick lateness (ms)", ylabel="share of ticks later than this")
    left.set_title(_title("tick lateness", late))
    left.legend()
    right.hist(age_ms, bins=40)
    right.set(xlabel="age of the newest observation behind a command (ms)", ylabel="ticks")
    right.set_title(_title("observation age", np.asarray(age_ms)))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _joined(values_ns: Sequence[np.ndarray]) -> np.ndarray:
    """All episodes together, ms; -1 stands for a command without an observation."""
    joined = np.concatenate(values_ns)
    return joined[joined >= 0] / NS_PER_MS


def _title(name: str, values_ms: np.ndarray) -> str:
    p50, p99 = np.percentile(values_ms, [50, 99])
    return f"{name} (ms): p50 {p50:.3g}, p99 {p99:.3g}, max {values_ms.max():.3g}"


def plot_lateness(path: Path, phases: Mapping[str, Mapping[str, Lateness]]) -> None:
    """Writes a PNG: of each loop in each phase, the share of ticks later than x."""
    figure = Figure(figsize=(6 * len(phases), 4.5), layout="constrained")
    for axes, (phase, loops) in zip(
        figure.subplots(1, len(phases), squeeze=False, sharex=True, sharey=True)[0],
        phases.items(),
        strict=True,
    ):
        for name, lateness in loops.items():
            late = np.sort(np.maximum(lateness.late_ns_N / NS_PER_MS, 1e-3))
            share = 1 - np.arange(len(late)) / len(late)
            axes.loglog(late, share, drawstyle="steps-post", label=name)
        for limit_ms, share in ((MAX_P99_MS, 0.01), (MAX_P999_MS, 0.001)):
            axes.plot(limit_ms, share, "kx")
        axes.set(xlabel="tick lateness (ms)", ylabel="share of ticks later than this")
        axes.set_title(f"{phase} (x: budgets)")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def plot_delay(path: Path, cells: Sequence[Cell]) -> None:
    """Writes a PNG: success rate with its 95 % interval against the added delay, per joining."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    joinings = list(dict.fromkeys(cell.condition.joining for cell in cells))
    delays = list(dict.fromkeys(cell.condition.delay for cell in cells))
    for shift, joining in enumerate(joinings):
        own = [cell for cell in cells if cell.condition.joining == joining]
        x = np.array([delays.index(cell.condition.delay) + 0.06 * shift for cell in own])
        rate, low, high = np.array([cell.rate for cell in own]).T
        error = np.clip([rate - low, high - rate], 0, None) * 100
        marks = axes.errorbar(x, 100 * rate, error, fmt="o", capsize=3, label=joining)
        rows = [cell.condition.delay != DRAWN for cell in own]  # only these are a sequence
        axes.plot(x[rows], 100 * rate[rows], color=marks[0].get_color())
    axes.set_xticks(range(len(delays)), delays)
    axes.set(xlabel="added delay (rows of 100 ms)", ylabel="success (%)", ylim=(0, 102))
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
