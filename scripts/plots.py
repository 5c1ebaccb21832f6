"""The timing plot: how late the control ticks were, and how old what the policy saw was."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from robot_io.clock import NS_PER_MS
from robot_io.files import replacing
from robot_io.session_timing import Outcome


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
