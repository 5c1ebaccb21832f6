"""Row `samplers`: does every sampler arrive at the target? Judged by exact velocity and score."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Generator, Tensor

from policy.generative.diffusion_samplers import ddim, ddpm, dpm_solver, solve_sde
from policy.generative.grids import Grid, uniform_grid
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import CondOT, VariancePreservingCosine
from policy.generative.samplers import Solver, solve, solve_adaptive
from scripts.bench.learn.row import Claim, Figures, Measured, Size, judge, save_plot
from scripts.bench.learn.targets import FreshSets, Kind, Oracle, seeded, target

LIMIT = 1.1  # of the distance between two fresh sets
DIMENSIONS = (2, 16, 64)
EVALUATIONS: dict[Size, tuple[int, ...]] = {"small": (10, 80), "full": (10, 20, 40, 80, 160, 320)}
TOLERANCES: dict[Size, tuple[float, ...]] = {"small": (0.1, 0.01), "full": (0.1, 0.01, 0.001)}
SAMPLES: dict[Size, int] = {"small": 125, "full": 1000}  # in a set
# Sets: in few dimensions the chance of how many samples fall into each mode counts most.
SETS: dict[Size, dict[int, int]] = {
    "small": {2: 600, 16: 150, 64: 150},
    "full": {2: 1000, 16: 400, 64: 300},
}
AT_ONCE = 10  # sets
ADAPTIVE = "ODE, adaptive"


@dataclass(frozen=True, slots=True)
class SamplerCell:
    """`setting`: how many evaluations, or the tolerance of the adaptive solver."""

    kind: Kind
    dimensions: int
    sampler: str
    setting: float
    sets: int
    samples: int  # in each set


Sampler = Callable[[Oracle, Tensor, float, Generator], Tensor]
CONDOT, COSINE = CondOT(), VariancePreservingCosine()


_STAGES = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}


def _grid(steps: float) -> Grid:
    return uniform_grid(round(steps))


def _ode(solver: Solver) -> Sampler:
    def sample(oracle: Oracle, x: Tensor, evaluations: float, generator: Generator) -> Tensor:
        velocity = oracle.telling("velocity", CONDOT)
        return solve(velocity, x, _grid(evaluations / _STAGES[solver]), solver=solver)

    return sample


def _adaptive(oracle: Oracle, x: Tensor, tolerance: float, generator: Generator) -> Tensor:
    return solve_adaptive(oracle.telling("velocity", CONDOT), x, tolerance=tolerance)


def _sde(solver: Literal["euler", "heun"], sigma: Callable[[float], float]) -> Sampler:
    def sample(oracle: Oracle, x: Tensor, evaluations: float, generator: Generator) -> Tensor:
        return solve_sde(
            oracle.telling("data", CONDOT),
            x,
            _grid(evaluations / _STAGES[solver]),
            path=CONDOT,
            sigma=sigma,
            solver=solver,
            generator=generator,
        )

    return sample


def _ddpm(oracle: Oracle, x: Tensor, evaluations: float, generator: Generator) -> Tensor:
    known = oracle.telling("data", COSINE)
    return ddpm(known, x, _grid(evaluations), path=COSINE, generator=generator)


def _ddim(oracle: Oracle, x: Tensor, evaluations: float, generator: Generator) -> Tensor:
    known = oracle.telling("data", COSINE)
    return ddim(known, x, _grid(evaluations), path=COSINE, generator=generator)


def _dpm_solver(oracle: Oracle, x: Tensor, evaluations: float, generator: Generator) -> Tensor:
    return dpm_solver(oracle.telling("data", COSINE), x, _grid(evaluations), path=COSINE)


SAMPLERS: dict[str, Sampler] = {
    "ODE, Euler": _ode("euler"),
    "ODE, midpoint": _ode("midpoint"),
    "ODE, Heun": _ode("heun"),
    "ODE, RK4": _ode("rk4"),
    ADAPTIVE: _adaptive,
    "SDE, Euler, σ = β/2": _sde("euler", lambda t: (1 - t) / 2),
    "SDE, Euler, σ = β": _sde("euler", lambda t: 1 - t),
    "SDE, Euler, σ = 1": _sde("euler", lambda t: 1.0),
    "SDE, Euler, σ = 2 sin πt": _sde("euler", lambda t: 2 * math.sin(math.pi * t)),
    "SDE, Heun, σ = β": _sde("heun", lambda t: 1 - t),
    "SDE, Heun, σ = 1": _sde("heun", lambda t: 1.0),
    "DDPM": _ddpm,
    "DDIM": _ddim,
    "DPM-Solver++(2M)": _dpm_solver,
}


class Samplers:
    """Sliced Wasserstein distance to fresh samples, against the number of network evaluations."""

    def cells(self, size: Size) -> list[SamplerCell]:
        return [
            SamplerCell(kind, dimensions, sampler, setting, SETS[size][dimensions], SAMPLES[size])
            for kind in ("gaussian", "mixture")
            for dimensions in DIMENSIONS
            for sampler in SAMPLERS
            for setting in (TOLERANCES if sampler == ADAPTIVE else EVALUATIONS)[size]
        ]

    def measure(self, cell: SamplerCell) -> Figures:
        data, fresh = _judge(cell.kind, cell.dimensions, cell.sets, cell.samples)
        oracle = Oracle(data)
        sample, batches, sorted_sets = SAMPLERS[cell.sampler], cell.sets // AT_ONCE, []
        for index in range(batches):
            generator = seeded(1_000_000 + index)
            size = (AT_ONCE * cell.samples, cell.dimensions)
            x = torch.randn(size, generator=generator, dtype=torch.float64)
            x = sample(oracle, x, cell.setting, generator)
            sorted_sets += [fresh.sorted(each) for each in x.split(cell.samples)]
        ratio = fresh.ratio(torch.stack(sorted_sets))
        return {**asdict(ratio), "evaluations": oracle.evaluations / batches}

    def table(self, measured: Measured[SamplerCell]) -> Table:
        """Each sampler's last cell: the most evaluations, the least tolerance."""
        table = Table(
            title="distance to the target / between two fresh sets < its upper 95 % bound"
        )
        for name in ("sampler", "evaluations", *map(_name, _targets(measured))):
            table.add_column(name)
        last = _last(measured)
        for sampler in SAMPLERS:
            own = [last[key, sampler] for key in _targets(measured)]
            evaluations = sorted({round(figures["evaluations"]) for figures in own})
            asked = " to ".join(map(str, dict.fromkeys((evaluations[0], evaluations[-1]))))
            told = [f"{figures['value']:.2f} < {figures['high']:.2f}" for figures in own]
            table.add_row(sampler, asked, *told)
        return table

    def claims(self, measured: Measured[SamplerCell]) -> list[Claim]:
        last = _last(measured)
        worst_key, worst = max(last.items(), key=lambda item: item[1]["high"])
        kept = all(figures["high"] <= LIMIT for figures in last.values())
        missed = not all(figures["low"] <= LIMIT for figures in last.values())
        value = (
            f"worst {worst['value']:.3f} ({worst['low']:.2f} to {worst['high']:.2f}), "
            f"{worst_key[1]} on {_name(worst_key[0])}"
        )
        what = f"{len(last)} pairs of sampler and target, upper bound of each ratio <= {LIMIT}"
        return [Claim(what, value, judge(kept, certain=missed))]

    def plot(self, path: Path, measured: Measured[SamplerCell]) -> None:
        """The ratio against network evaluations, one panel per target."""
        figure = Figure(figsize=(12, 6.5), layout="constrained")
        panels = figure.subplots(2, len(DIMENSIONS), sharex=True, sharey=True)
        styles = {name: f"{'os^'[i // 10]}C{i % 10}-" for i, name in enumerate(SAMPLERS)}
        ticks = EVALUATIONS["full"]
        for axes, key in zip(panels.flat, _targets(measured), strict=True):
            for sampler, own in _by_sampler(key, measured).items():
                x = [figures["evaluations"] for figures in own]
                y = [figures["value"] for figures in own]
                axes.plot(x, y, styles[sampler], label=sampler, markersize=3)
            axes.axhline(LIMIT, color="0.4", linestyle="--")
            axes.set(title=_name(key), xscale="log")
            axes.set_xticks(ticks, [str(n) for n in ticks])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
        figure.supxlabel("network evaluations")
        figure.supylabel("distance to the target / between two fresh sets")
        handles, names = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", fontsize=8)
        save_plot(figure, path)


@cache
def _judge(
    kind: Kind, dimensions: int, sets: int, samples: int
) -> tuple[GaussianMixture, FreshSets]:
    data = target(kind, dimensions)
    return data, FreshSets(data, sets=sets, samples=samples)


def _targets(measured: Measured[SamplerCell]) -> list[tuple[Kind, int]]:
    return list(dict.fromkeys((cell.kind, cell.dimensions) for cell, _ in measured))


def _name(key: tuple[Kind, int]) -> str:
    return f"{key[0]}, {key[1]} D"


def _by_sampler(key: tuple[Kind, int], measured: Measured[SamplerCell]) -> dict[str, list[Figures]]:
    own: dict[str, list[Figures]] = {}
    for cell, figures in measured:
        if (cell.kind, cell.dimensions) == key:
            own.setdefault(cell.sampler, []).append(figures)
    return own


def _last(measured: Measured[SamplerCell]) -> dict[tuple[tuple[Kind, int], str], Figures]:
    """Target and sampler -> figures of the last setting, the finest."""
    return {((cell.kind, cell.dimensions), cell.sampler): figures for cell, figures in measured}
