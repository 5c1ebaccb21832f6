"""Row `evaluations`: how often the network must be asked for a plan, and how much noise helps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import color_sequences
from matplotlib.figure import Figure
from rich.table import Table

from scripts.learn.push_t import (
    DDPM,
    RECIPE,
    PushTBench,
    PushTCell,
    Sampling,
    Settings,
    repeated,
    settled,
)
from scripts.learn.push_t_scores import Scores, errorbar, told
from scripts.learn.row import Claim, Measured, Size, save_plot
from scripts.stats import best_by_other_starts, crossed_difference, success_rate

FEW, FEW_LOSE = 2, 0.03  # so few evaluations lose so much success at most
OWN_WAY, TEACHER = "velocity, midpoint, late", 10  # how it draws, and the evaluations that it takes

DISTILLED = "push_t_distilled.toml"
DATA: Settings = ("policy.generative.prediction=data", "policy.generative.weight=velocity")


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
    teacher: str = ""

    def cell(self, value: float) -> PushTCell:
        name = f"{self.panel}: {self.name}, {value:g}"
        sampling = (*self.sampling, (self.key, value))
        return PushTCell(name, self.recipe, self.training, sampling, teacher=self.teacher)


COLD, WARM, DIFFUSION = "cold", "warm", "σ"
EVEN, LATE = (("grid", "uniform"),), (("grid", "quadratic"),)  # steps
EULER, MIDPOINT = (("solver", "euler"), *EVEN), (("solver", "midpoint"),)
DPM_SOLVER = (("solver", "dpmpp_2m"),)


def _curves(counts: tuple[int, ...], sigmas: tuple[float, ...]) -> list[Curve]:
    even = tuple(n for n in counts if n % 2 == 0)
    ddim = (("solver", "ddim"), ("grid", "leading"))
    warm = (*EULER, ("warm_start", 1.0))
    sde = (("solver", "sde"), ("evaluations", 16), *EVEN)

    def cold(
        name: str,
        sampling: Sampling,
        *,
        training: Settings = (),
        values: tuple[int, ...] = counts,
    ) -> Curve:
        return Curve(COLD, name, RECIPE, training, sampling, "evaluations", values)

    return [
        cold("velocity, Euler", EULER),
        cold("velocity, midpoint", (*MIDPOINT, *EVEN), values=even),
        cold(OWN_WAY, (*MIDPOINT, *LATE), values=tuple(sorted((*even, TEACHER)))),
        cold("velocity, Heun", (("solver", "heun"), *EVEN), values=even),
        cold("velocity, DPM-Solver++", (*DPM_SOLVER, *EVEN)),
        cold("velocity, DPM-Solver++, late", (*DPM_SOLVER, *LATE)),
        cold("data, Euler", EULER, training=DATA),
        cold("data, DPM-Solver++", (*DPM_SOLVER, *EVEN), training=DATA),
        cold("noise, DDIM", ddim, training=DDPM),
        cold("noise, DDPM", (), training=DDPM),
        Curve(COLD, "distilled", DISTILLED, (), (), "evaluations", (FEW,), teacher=RECIPE),
        Curve(WARM, "velocity, Euler", RECIPE, (), warm, "evaluations", counts),
        Curve(WARM, "data, Euler", RECIPE, DATA, warm, "evaluations", counts),
        Curve(DIFFUSION, "velocity, 16", RECIPE, (), sde, "sigma", sigmas),
    ]


class Evaluations:
    """Success against the number of evaluations and against σ, for trained weights as they are."""

    SMALL_CURVES = _curves((1, 2, 4), (0.0, 1.0))
    FULL_CURVES = _curves((1, 2, 4, 8, 16), (0.0, 0.25, 0.5, 1.0, 2.0))

    def __init__(self, bench: PushTBench) -> None:
        self.measure, self._scale = bench.measure, bench.scale

    def cells(self, size: Size) -> list[PushTCell]:
        curves = self.SMALL_CURVES if size == "small" else self.FULL_CURVES
        return [
            cell
            for curve in curves
            for value in curve.values
            for cell in repeated(curve.cell(value), self._scale(size))
        ]

    def table(self, measured: Measured[PushTCell]) -> Table:
        return Scores(measured).table("Push-T against network evaluations, and against σ")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        """Against the best of all, chosen by other starts than it is told of."""
        scores = Scores(measured)
        asked = {cell.name: dict(cell.sampling)["evaluations"] for cell, _ in measured}
        few = [name for name in scores.names if asked[name] in range(1, FEW + 1)]

        def success(name: str) -> float:
            return scores.successes(name).mean()

        def best(names: Sequence[str]) -> tuple[np.ndarray, str]:
            success_SE, chosen = best_by_other_starts(np.stack([*map(scores.successes, names)]))
            return success_SE, " and ".join(dict.fromkeys(names[i] for i in chosen))

        def lost(what: str, quick: Sequence[str], others: Sequence[str]) -> Claim:
            (quick_SE, quick_name), (best_SE, best_name) = best(quick), best(others)
            off = crossed_difference(best_SE, quick_SE)
            lucky = max(map(success, others)) - max(map(success, quick))
            return Claim(
                f"{what} cost at most {100 * FEW_LOSE:.0f} points of success",
                f"{told(off, 100, 1)} points ({quick_name} against {best_name}); "
                f"{100 * lucky:.1f} against the best on the same starts",
                settled(off.mean <= FEW_LOSE, measured),
            )

        return [
            lost(f"{FEW} or fewer evaluations", few, scores.names),
            lost(
                f"{FEW} evaluations of a student, where its teacher has {TEACHER},",
                [f"{COLD}: distilled, {FEW}"],
                [f"{COLD}: {OWN_WAY}, {TEACHER}"],
            ),
        ]

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        scores, played = Scores(measured), {cell.name for cell, _ in measured}
        figure = Figure(figsize=(13, 4.6), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for axes, panel in zip(panels, (COLD, WARM, DIFFUSION), strict=True):
            axes.set_prop_cycle(color=color_sequences["tab20"])
            asked = set[float]()
            for curve in (curve for curve in self.FULL_CURVES if curve.panel == panel):
                x = [v for v in curve.values if curve.cell(v).name in played]
                rates = [success_rate(scores.successes(curve.cell(v).name)) for v in x]
                if x:
                    errorbar(axes, x, rates, label=curve.name)
                asked.update(x)
            if panel != DIFFUSION:
                axes.set_xscale("log", base=2)
                axes.set_xticks(sorted(asked), [f"{v:g}" for v in sorted(asked)])
            axes.set(xlabel="network evaluations", title=f"{panel} start")
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
        panels[-1].set(xlabel="σ, in units of β", title="SDE")
        figure.supylabel("success (%)")
        save_plot(figure, path)
