"""Row `evaluations`: how often the network must be asked for a plan, and how much noise helps."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cycler import cycler
from matplotlib import color_sequences
from matplotlib.figure import Figure
from rich.table import Table

from scripts.bench.learn.push_t import (
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
from scripts.bench.learn.push_t_scores import Scores, errorbar, told
from scripts.bench.learn.row import Claim, Measured, Size, save_plot
from scripts.stats import Crossed, best_by_other_starts, crossed_difference, success_rate

FEW, FEW_LOSE = 2, 0.03  # so few evaluations lose so much success at most
OWN_WAY, TEACHER = "velocity, midpoint, late", 10  # how it draws, and the evaluations that it takes
COLOURS = color_sequences["tab10"]
BESIDE = 1.025  # so that the intervals of curves at one number of evaluations can be told apart
STARTS = 500  # of student and teacher: with a hundred, 3 points are within their luck

DISTILLED = "push_t_distilled.toml"
DATA: Settings = ("policy.generative.prediction=data", "policy.generative.weight=velocity")
V: Settings = (
    "policy.generative.path=variance_preserving_cosine",
    "policy.generative.prediction=v",
)
EVEN, LATE = (("grid", "uniform"),), (("grid", "quadratic"),)  # steps
EULER, MIDPOINT = (("solver", "euler"), *EVEN), (("solver", "midpoint"),)
DPM_SOLVER = (("solver", "dpmpp_2m"),)


@dataclass(frozen=True, slots=True)
class Curve:
    """A way of drawing plans, at several numbers of evaluations or several σ."""

    name: str
    sampling: Sampling
    values: tuple[float, ...]
    key: str = "evaluations"  # of [policy.sampling], which x is put into
    training: Settings = ()
    recipe: str = RECIPE
    teacher: str = ""

    def cell(self, value: float) -> PushTCell:
        sampling = (*self.sampling, (self.key, value))
        name = f"{self.name}: {value:g}"
        return PushTCell(name, self.recipe, self.training, sampling, teacher=self.teacher)


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that are looked at together; one may be in several."""

    title: str
    curves: tuple[Curve, ...]
    x: str = "network evaluations"


STUDENT, ITS_TEACHER = f"student: {FEW}", f"{OWN_WAY}: {TEACHER}"  # cells


def _panels(counts: tuple[int, ...], sigmas: tuple[float, ...]) -> list[Panel]:
    """The score has no curve of its own: it is learnt as noise is."""
    even = tuple(n for n in counts if n % 2 == 0)
    fourth = tuple(n - 1 for n in counts if n % 4 == 0)  # RK4's last step takes one less
    sde, sde_heun = (("solver", "sde"), *EVEN), (("solver", "sde_heun"), *EVEN)
    warm = (*EULER, ("warm_start", 1.0))
    leading = (("grid", "leading"),)
    own_way = Curve(OWN_WAY, (*MIDPOINT, *LATE), tuple(sorted((*even, TEACHER))))
    student = Curve("student", (), (FEW,), recipe=DISTILLED, teacher=RECIPE)
    dpm = Curve("velocity, DPM-Solver++", (*DPM_SOLVER, *EVEN), counts)
    dpm_late = Curve("velocity, DPM-Solver++, late", (*DPM_SOLVER, *LATE), counts)
    return [
        Panel(
            "how it is drawn",
            (
                Curve("velocity, Euler", EULER, counts),
                Curve("velocity, midpoint", (*MIDPOINT, *EVEN), even),
                own_way,
                Curve("velocity, Heun", (("solver", "heun"), *EVEN), even),
                Curve("velocity, RK4", (("solver", "rk4"), *EVEN), fourth),
                dpm,
                dpm_late,
                Curve("velocity, SDE", sde, counts),
                Curve("velocity, SDE by Heun", sde_heun, even),
                student,
            ),
        ),
        Panel(
            "what is learnt",
            (
                own_way,
                Curve(
                    "unweighted velocity, midpoint, late",
                    (*MIDPOINT, *LATE),
                    even,
                    training=UNWEIGHTED,
                ),
                dpm_late,
                Curve(
                    "unweighted velocity, DPM-Solver++, late",
                    (*DPM_SOLVER, *LATE),
                    counts,
                    training=UNWEIGHTED,
                ),
                dpm,
                Curve("v, DPM-Solver++", (*DPM_SOLVER, *EVEN), counts, training=V),
                Curve("data, DPM-Solver++", (*DPM_SOLVER, *EVEN), counts, training=DATA),
                Curve("data, Euler", EULER, counts, training=DATA),
                Curve("noise, DPM-Solver++", (*DPM_SOLVER, *leading), counts, training=DDPM),
                Curve("noise, DDIM", (("solver", "ddim"), *leading), counts, training=DDPM),
                Curve("noise, DDPM", (), counts, training=DDPM),
            ),
        ),
        Panel(
            "warm start",
            (
                Curve("velocity, Euler, warm", warm, counts),
                Curve("unweighted velocity, Euler, warm", warm, counts, training=UNWEIGHTED),
                Curve("data, Euler, warm", warm, counts, training=DATA),
            ),
        ),
        Panel(
            "noise on the way: σ of the SDE, 16 evaluations",
            (Curve("velocity, SDE in 16, σ", (*sde, ("evaluations", 16)), sigmas, key="sigma"),),
            x="σ, in units of β",
        ),
    ]


class Evaluations:
    """Success against the number of evaluations and against σ, for trained weights as they are."""

    SMALL = _panels((1, 2, 4), (0.0, 1.0))
    FULL = _panels((1, 2, 4, 8, 16), (0.0, 0.25, 0.5, 1.0, 2.0))

    def __init__(self, bench: PushTBench) -> None:
        self.measure, self._scale = bench.measure, bench.scale

    def cells(self, size: Size) -> list[PushTCell]:
        panels = self.SMALL if size == "small" else self.FULL
        curves = dict.fromkeys(curve for panel in panels for curve in panel.curves)
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
        figure = Figure(figsize=(12, 13), layout="constrained")
        for axes, panel in zip(figure.subplots(2, 2, sharey=True).flat, self.FULL, strict=True):
            counts = all(curve.key == "evaluations" for curve in panel.curves)
            axes.set_prop_cycle(cycler(linestyle=["-", "--"]) * cycler(color=COLOURS))
            for i, curve in enumerate(panel.curves):
                values = [v for v in curve.values if curve.cell(v).name in played]
                rates = [success_rate(scores.successes(curve.cell(v).name)) for v in values]
                beside = BESIDE ** (i - len(panel.curves) / 2) if counts else 1.0
                if values:
                    errorbar(axes, [beside * v for v in values], rates, label=curve.name)
            if counts:
                axes.set_xscale("log", base=2)
                axes.xaxis.set_major_formatter("{x:g}")
            axes.set(xlabel=panel.x, title=panel.title)
            axes.grid(alpha=0.3)
            if axes.has_data():
                axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
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
