"""What trained policies came to on Push-T, with intervals: for the tables and plots of their rows.

Legend: S trainings, E episodes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from scripts.bench.learn.push_t import PushTCell
from scripts.bench.learn.row import Figures, Measured, save_plot
from scripts.stats import Crossed, crossed_interval, success_rate


class Scores:
    """Of each name, (S, E) of all trainings."""

    def __init__(self, measured: Measured[PushTCell]) -> None:
        self._of: dict[str, list[Figures]] = {}
        for cell, figures in measured:
            self._of.setdefault(cell.name, []).append(figures)
        self.names = list(self._of)

    def rewards(self, name: str) -> np.ndarray:
        return np.array([figures["max_reward"] for figures in self._of[name]])

    def successes(self, name: str) -> np.ndarray:
        return np.array([figures["success"] for figures in self._of[name]], np.float64)

    def minutes(self, name: str) -> float:
        """Of the longest training."""
        return max(figures["training_minutes"] for figures in self._of[name])

    def parameters(self, name: str) -> int:
        return self._of[name][0]["parameters"]

    def table(self, title: str) -> Table:
        table = Table(title=title)
        for column in ("", "trainings × starts", "max. reward (95 %)", "success (95 %)"):
            table.add_column(column)
        table.add_column("parameters", justify="right")
        table.add_column("minutes", justify="right")
        for name in self.names:
            reward, success = (self.rewards(name), self.successes(name))
            table.add_row(
                name,
                f"{len(reward)} × {reward.shape[1]}",
                told(crossed_interval(reward), 1, 3),
                told(success_rate(success), 100, 1) + " %",
                f"{self.parameters(name) / 1e6:.2f} M",
                f"{self.minutes(name):.1f}",
            )
        return table


def told(value: Crossed, unit: float, digits: int) -> str:
    mean, low, high = (f"{unit * each:.{digits}f}" for each in value)
    return f"{mean} ({low} to {high})"


def errorbar(axes: Axes, x: Sequence[float], rates: Sequence[Crossed], *, label: str) -> None:
    mean, low, high = 100 * np.array(rates).reshape(-1, 3).T
    error = np.clip([mean - low, high - mean], 0, None)
    axes.errorbar(x, mean, error, marker="o", capsize=2, elinewidth=0.7, markersize=4, label=label)


def plot_bars(path: Path, scores: Scores, *, reward: float, success: float | None = None) -> None:
    """Reward and success of each name with their intervals, and what they should be at least."""
    figure = Figure(figsize=(9, 1.5 + 0.4 * len(scores.names)), layout="constrained")
    y = range(len(scores.names))
    rewards = [crossed_interval(scores.rewards(name)) for name in scores.names]
    successes = [success_rate(scores.successes(name)) for name in scores.names]
    for axes, intervals, goal, label in zip(
        figure.subplots(1, 2, sharey=True),
        (rewards, successes),
        (reward, success),
        ("mean of the maximum reward", "success"),
        strict=True,
    ):
        mean, low, high = np.array(intervals).T
        axes.errorbar(mean, y, xerr=np.clip([mean - low, high - mean], 0, None), fmt="o", capsize=4)
        if goal is not None:
            axes.axvline(goal, color="0.4", linestyle="--")
        axes.set(xlabel=label, xlim=(0, 1.02))
        axes.set_yticks(y, scores.names)
        axes.grid(alpha=0.3)
    save_plot(figure, path)
