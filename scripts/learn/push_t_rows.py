"""Rows `push_t`, `denoisers` and `evaluations`: policies from human Push-T, in closed loop.

Legend: S trainings, E episodes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from scripts.learn.push_t import (
    DDPM,
    DIT,
    FULL,
    MLP,
    SMALL,
    UNET,
    PushTBench,
    PushTCell,
    Sampling,
    Scale,
    Settings,
    repeated,
    settled,
)
from scripts.learn.row import Claim, Figures, Measured, Row, Size, save_plot
from scripts.learn.symmetric_starts import SymmetricStarts
from scripts.stats import Crossed, crossed_difference, crossed_interval, wilson_interval

REWARD, SUCCESS = 0.95, 0.60  # at least: mean of the maximum reward, success at 95 % coverage
MINUTES = 90  # a training may take, on 2 cores
REWARD_MARGIN, SUCCESS_MARGIN = 0.03, 0.10  # flow and DDPM are equivalent within
FEW, FEW_LOSE = 2, 0.03  # so few evaluations lose so much success at most

SHORTCUT = "push_t_shortcut.toml"
DATA: Settings = ("policy.generative.prediction=data", "policy.generative.weight=velocity")


class _Scores:
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
                _told(crossed_interval(reward), 1, 3),
                _told(_success(success), 100, 1) + " %",
                f"{self.parameters(name) / 1e6:.2f} M",
                f"{self.minutes(name):.1f}",
            )
        return table


class PushT:
    """Mean of the maximum reward and success at 95 % coverage of the recipe."""

    def __init__(self, bench: PushTBench) -> None:
        self.measure = bench.measure

    def cells(self, size: Size) -> list[PushTCell]:
        scale = SMALL if size == "small" else FULL
        return repeated(PushTCell("flow, MLP", MLP), scale)

    def table(self, measured: Measured[PushTCell]) -> Table:
        return _Scores(measured).table("Push-T, human demonstrations, state, starts from 100000")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        scores = _Scores(measured)
        (name,) = scores.names
        reward = crossed_interval(scores.rewards(name))
        success = _success(scores.successes(name))
        minutes = scores.minutes(name)
        return [
            Claim(
                f"mean of the maximum reward at least {REWARD}",
                _told(reward, 1, 3),
                settled(reward.mean >= REWARD, measured),
            ),
            Claim(
                f"success at least {SUCCESS:.0%}",
                _told(success, 100, 1) + " %",
                settled(success.mean >= SUCCESS, measured),
            ),
            Claim(
                f"a training within {MINUTES} min",
                f"{minutes:.1f}",
                settled(minutes <= MINUTES, measured),
            ),
        ]

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        _plot_bars(path, _Scores(measured))


class Denoisers:
    """Networks of equal size and heads, on the same data for the same number of steps."""

    NETWORKS = (("MLP", MLP), ("U-Net", UNET), ("DiT", DIT))

    def __init__(self, bench: PushTBench) -> None:
        self.measure = bench.measure

    def cells(self, size: Size) -> list[PushTCell]:
        scale = SMALL if size == "small" else FULL
        return [
            cell
            for network, recipe in self.NETWORKS
            for head, training in (("flow", ()), ("DDPM", DDPM))
            for cell in repeated(PushTCell(f"{network}, {head}", recipe, training), scale)
        ]

    def table(self, measured: Measured[PushTCell]) -> Table:
        return _Scores(measured).table("Push-T, equal data, steps and parameters")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        """Flow against DDPM (claim C11): equivalence on reward and on success."""
        scores, claims = _Scores(measured), []
        for network, _ in self.NETWORKS:
            flow, ddpm = f"{network}, flow", f"{network}, DDPM"
            for what, of, margin in (
                ("reward", scores.rewards, REWARD_MARGIN),
                ("success", scores.successes, SUCCESS_MARGIN),
            ):
                off = crossed_difference(of(flow), of(ddpm), level=0.90)
                inside = -margin < off.low and off.high < margin
                outside = off.low >= margin or off.high <= -margin
                claims.append(
                    Claim(
                        f"{network}: {what} of flow less DDPM within {margin} (TOST, 5 %)",
                        f"{off.mean:+.3f} (90 %: {off.low:+.3f} to {off.high:+.3f})",
                        settled(inside, measured, certain=outside),
                    )
                )
        return claims

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        _plot_bars(path, _Scores(measured))


@dataclass(frozen=True, slots=True)
class Curve:
    """A way of drawing plans, at several numbers of evaluations or several σ."""

    panel: str
    name: str
    recipe: str
    training: Settings
    sampling: Sampling
    key: str  # of [policy.sampling], which x is put into
    values: tuple[float, ...]

    def cell(self, value: float) -> PushTCell:
        name = f"{self.panel}: {self.name}, {value:g}"
        return PushTCell(name, self.recipe, self.training, (*self.sampling, (self.key, value)))


COLD, WARM, DIFFUSION = "cold", "warm", "σ"
EULER, DPM_SOLVER = (("solver", "euler"),), (("solver", "dpmpp_2m"),)


def _curves(counts: tuple[int, ...], sigmas: tuple[float, ...]) -> list[Curve]:
    even = tuple(n for n in counts if n % 2 == 0)
    ddim = (("solver", "ddim"), ("grid", "leading"))
    warm = (*EULER, ("warm_start", 1.0))
    sde = (("solver", "sde"), ("evaluations", 16))

    def cold(
        name: str,
        sampling: Sampling,
        *,
        recipe: str = MLP,
        training: Settings = (),
        values: tuple[int, ...] = counts,
    ) -> Curve:
        return Curve(COLD, name, recipe, training, sampling, "evaluations", values)

    return [
        cold("velocity, Euler", EULER),
        cold("velocity, midpoint", (("solver", "midpoint"),), values=even),
        cold("velocity, Heun", (("solver", "heun"),), values=even),
        cold("velocity, DPM-Solver++", DPM_SOLVER),
        cold("data, Euler", EULER, training=DATA),
        cold("data, DPM-Solver++", DPM_SOLVER, training=DATA),
        cold("noise, DDIM", ddim, training=DDPM),
        cold("noise, DDPM", (), training=DDPM),
        cold("shortcut", (), recipe=SHORTCUT),
        Curve(WARM, "velocity, Euler", MLP, (), warm, "evaluations", counts),
        Curve(WARM, "data, Euler", MLP, DATA, warm, "evaluations", counts),
        Curve(DIFFUSION, "velocity, 16", MLP, (), sde, "sigma", sigmas),
    ]


class Evaluations:
    """Success against the number of evaluations and against σ, for trained weights as they are."""

    SMALL_CURVES = _curves((1, 4), (0.0, 1.0))
    FULL_CURVES = _curves((1, 2, 4, 8, 16), (0.0, 0.25, 0.5, 1.0, 2.0))

    def __init__(self, bench: PushTBench) -> None:
        self.measure = bench.measure

    def cells(self, size: Size) -> list[PushTCell]:
        small = size == "small"
        scale = SMALL if small else Scale(seeds=3, episodes=100, steps=None)
        curves = self.SMALL_CURVES if small else self.FULL_CURVES
        return [
            cell
            for curve in curves
            for value in curve.values
            for cell in repeated(curve.cell(value), scale)
        ]

    def table(self, measured: Measured[PushTCell]) -> Table:
        return _Scores(measured).table("Push-T against network evaluations, and against σ")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        scores = _Scores(measured)
        asked = {cell.name: dict(cell.sampling)["evaluations"] for cell, _ in measured}
        few = [name for name in scores.names if asked[name] in range(1, FEW + 1)]

        def success(name: str) -> float:
            return scores.successes(name).mean()

        best = max(scores.names, key=success)
        quick = max(few, key=success)
        off = crossed_difference(scores.successes(best), scores.successes(quick))
        return [
            Claim(
                f"{FEW} or fewer evaluations lose at most {100 * FEW_LOSE:.0f} points of success",
                f"{_told(off, 100, 1)} points ({quick} against {best})",
                settled(off.mean <= FEW_LOSE, measured),
            )
        ]

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        scores, played = _Scores(measured), {cell.name for cell, _ in measured}
        figure = Figure(figsize=(13, 4.6), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for axes, panel in zip(panels, (COLD, WARM, DIFFUSION), strict=True):
            for curve in (curve for curve in self.FULL_CURVES if curve.panel == panel):
                x = [v for v in curve.values if curve.cell(v).name in played]
                told = [_success(scores.successes(curve.cell(v).name)) for v in x]
                _errorbar(axes, x, told, label=curve.name)
            if panel != DIFFUSION:
                axes.set_xscale("log", base=2)
            axes.set(xlabel="network evaluations", title=f"{panel} start")
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        panels[-1].set(xlabel="σ, in units of β", title="SDE")
        figure.supylabel("success (%)")
        save_plot(figure, path)


ROWS: dict[str, Callable[[PushTBench], Row[PushTCell]]] = {
    "push_t": PushT,
    "denoisers": Denoisers,
    "evaluations": Evaluations,
    "symmetric": SymmetricStarts,
}


def _success(success_SE: np.ndarray) -> Crossed:
    """A rate of success; of one training by Wilson, who knows what few starts tell near 0 and 1."""
    if len(success_SE) > 1:
        return crossed_interval(success_SE)
    successes, starts = int(success_SE.sum()), success_SE.size
    return Crossed(successes / starts, *wilson_interval(successes, starts))


def _told(value: Crossed, unit: float, digits: int) -> str:
    mean, low, high = (f"{unit * each:.{digits}f}" for each in value)
    return f"{mean} ({low} to {high})"


def _errorbar(axes, x: Sequence[float], told: Sequence[Crossed], *, label: str) -> None:
    mean, low, high = 100 * np.array(told).reshape(-1, 3).T
    error = np.clip([mean - low, high - mean], 0, None)
    axes.errorbar(x, mean, error, marker="o", capsize=3, markersize=4, label=label)


def _plot_bars(path: Path, scores: _Scores) -> None:
    """Reward and success of each name with their intervals."""
    figure = Figure(figsize=(9, 1.5 + 0.4 * len(scores.names)), layout="constrained")
    y = range(len(scores.names))
    rewards = [crossed_interval(scores.rewards(name)) for name in scores.names]
    successes = [_success(scores.successes(name)) for name in scores.names]
    for axes, told, goal, label in zip(
        figure.subplots(1, 2, sharey=True),
        (rewards, successes),
        (REWARD, SUCCESS),
        ("mean of the maximum reward", "success"),
        strict=True,
    ):
        mean, low, high = np.array(told).T
        axes.errorbar(mean, y, xerr=np.clip([mean - low, high - mean], 0, None), fmt="o", capsize=4)
        axes.axvline(goal, color="0.4", linestyle="--")
        axes.set(xlabel=label, xlim=(0, 1.02))
        axes.set_yticks(y, scores.names)
        axes.grid(alpha=0.3)
    save_plot(figure, path)
