"""Row `evaluations`: how often the network must be asked for a plan, and how much noise helps."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib import color_sequences
from matplotlib.figure import Figure
from rich.table import Table

from scripts.learn.push_t import (
    DDPM,
    RECIPE,
    UNWEIGHTED,
    PushTBench,
    PushTCell,
    Sampling,
    Settings,
    repeated,
    settled,
)
from scripts.learn.push_t_scores import Scores, errorbar, told
from scripts.learn.row import Claim, Measured, Size, save_plot
from scripts.stats import Crossed, best_by_other_starts, crossed_difference, success_rate

FEW, FEW_LOSE = 2, 0.03  # so few evaluations lose so much success at most
OWN_WAY, TEACHER = "velocity, midpoint, late", 10  # how it draws, and the evaluations that it takes
STARTS = 500  # of student and teacher: with a hundred, 3 points are within their luck

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
STUDENT, ITS_TEACHER = f"{COLD}: distilled, {FEW}", f"{COLD}: {OWN_WAY}, {TEACHER}"  # cells
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
        cold(
            "unweighted velocity, midpoint, late",
            (*MIDPOINT, *LATE),
            training=UNWEIGHTED,
            values=even,
        ),
        cold("unweighted velocity, DPM-Solver++, late", (*DPM_SOLVER, *LATE), training=UNWEIGHTED),
        cold("data, Euler", EULER, training=DATA),
        cold("data, DPM-Solver++", (*DPM_SOLVER, *EVEN), training=DATA),
        cold("noise, DDIM", ddim, training=DDPM),
        cold("noise, DDPM", (), training=DDPM),
        Curve(COLD, "distilled", DISTILLED, (), (), "evaluations", (FEW,), teacher=RECIPE),
        Curve(WARM, "velocity, Euler", RECIPE, (), warm, "evaluations", counts),
        Curve(WARM, "unweighted velocity, Euler", RECIPE, UNWEIGHTED, warm, "evaluations", counts),
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
        scale = self._scale(size)
        longer = replace(scale, episodes=STARTS) if size == "full" else scale
        cells = (curve.cell(value) for curve in curves for value in curve.values)
        return [
            repetition
            for cell in cells
            for repetition in repeated(
                cell, longer if cell.name in (STUDENT, ITS_TEACHER) else scale
            )
        ]

    def table(self, measured: Measured[PushTCell]) -> Table:
        return Scores(measured).table("Push-T against network evaluations, and against σ")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        """Against the best of all, chosen by other starts than it is told of; and student against
        teacher, over more starts."""
        scores = Scores(measured)
        starts = min(scores.successes(name).shape[1] for name in scores.names)
        success = {name: scores.successes(name)[:, :starts] for name in scores.names}
        asked = {cell.name: dict(cell.sampling)["evaluations"] for cell, _ in measured}
        few = {name: success[name] for name in success if asked[name] in range(1, FEW + 1)}
        (few_SE, few_names), (best_SE, best_names) = _best(few), _best(success)
        lucky = 100 * (_most(success) - _most(few))
        taught = crossed_difference(scores.successes(ITS_TEACHER), scores.successes(STUDENT))
        return [
            _lost(
                f"{FEW} or fewer evaluations",
                crossed_difference(best_SE, few_SE),
                measured,
                f" ({few_names} against {best_names}); {lucky:.1f} against the best on the same"
                " starts",
            ),
            _lost(
                f"{FEW} evaluations of a student, where its teacher has {TEACHER},",
                taught,
                measured,
            ),
        ]

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        scores, played = Scores(measured), {cell.name for cell, _ in measured}
        figure = Figure(figsize=(13, 5.6), layout="constrained")
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
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
        panels[-1].set(xlabel="σ, in units of β", title="SDE")
        figure.supylabel("success (%)")
        save_plot(figure, path)


def _best(success: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """(S, E) of the best way, chosen by other starts, and who that is."""
    names = list(success)
    best_SE, chosen = best_by_other_starts(np.stack([success[name] for name in names]))
    return best_SE, " and ".join(dict.fromkeys(names[i] for i in chosen))


def _most(success: dict[str, np.ndarray]) -> float:
    """Of the best way on the same starts."""
    return max(each.mean() for each in success.values())


def _lost(what: str, off: Crossed, measured: Measured[PushTCell], how: str = "") -> Claim:
    return Claim(
        f"{what} cost at most {100 * FEW_LOSE:.0f} points of success",
        f"{told(off, 100, 1)} points{how}",
        settled(off.mean <= FEW_LOSE, measured),
    )
