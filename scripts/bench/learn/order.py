"""Row `order`: how fast the error of each solver shrinks with its steps, against the theory.

On a line the exact flow keeps ranks, F(x_1) = Φ(x_0): the error of a deterministic sampler is known
without a reference solution. For a Gaussian target a sample is a linear function of the noises
drawn, so the error of an SDE sampler's variance is known without chance.

Legend: B samples, N noises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Generator, Tensor

from policy.generative.diffusion_samplers import ddim, dpm_solver, solve_sde
from policy.generative.grids import cosine_grid, uniform_grid
from policy.generative.paths import CondOT, ProbabilityPath
from policy.generative.samplers import Solver, solve, solve_adaptive
from scripts.bench.learn.row import Claim, Figures, Measured, Size, judge, save_plot
from scripts.bench.learn.targets import PATHS, Oracle, on_a_line, seeded, share_below, target

STEPS = (20, 40, 80, 160)
TOLERANCES = (1e-5, 1e-6, 1e-7, 1e-8)  # at looser ones rejected steps blur the order
OFF_BY = 0.25  # allowed difference of a fitted slope: the next order shows at few steps
CONDOT = CondOT()


@dataclass(frozen=True, slots=True)
class OrderCell:
    solver: str
    path: str
    order: int  # by theory


CELLS = [
    *[
        OrderCell(solver, path, order)
        for path in ("CondOT", "variance preserving, cosine")
        for solver, order in {"Euler": 1, "midpoint": 2, "Heun": 2, "RK4": 4, "adaptive": 3}.items()
    ],
    OrderCell("DDIM", "CondOT", 1),
    OrderCell("DPM-Solver++(2M)", "CondOT", 2),
    OrderCell("SDE, Euler-Maruyama", "CondOT", 1),
    OrderCell("SDE, Heun", "CondOT", 2),
]
ODE: dict[str, Solver] = {"Euler": "euler", "midpoint": "midpoint", "Heun": "heun", "RK4": "rk4"}


class Order:
    """Error against steps on a logarithmic scale, and the slope of the fitted line."""

    def cells(self, size: Size) -> list[OrderCell]:
        return CELLS  # seconds, either way

    def measure(self, cell: OrderCell) -> Figures:
        """`steps` are evaluations for the adaptive solver, whose steps differ."""
        path = PATHS[cell.path]
        if cell.solver == "adaptive":
            points = [_adaptive(path, tolerance) for tolerance in TOLERANCES]
        else:
            points = [(steps, _error(cell.solver, path, steps)) for steps in STEPS]
        steps, errors = zip(*points, strict=True)
        slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        return {"steps": steps, "errors": errors, "order": -float(slope)}

    def table(self, measured: Measured[OrderCell]) -> Table:
        table = Table("solver", "path", "order by theory", "measured", title="order of convergence")
        for cell, figures in measured:
            table.add_row(cell.solver, cell.path, str(cell.order), f"{figures['order']:.2f}")
        return table

    def claims(self, measured: Measured[OrderCell]) -> list[Claim]:
        off = [abs(figures["order"] - cell.order) for cell, figures in measured]
        cell, figures = measured[int(np.argmax(off))]
        value = f"worst {figures['order']:.2f} instead of {cell.order}, {cell.solver}, {cell.path}"
        kept = all(each <= OFF_BY for each in off)  # so that NaN is not
        return [Claim(f"orders as by theory, within {OFF_BY}", value, judge(kept))]

    def plot(self, path: Path, measured: Measured[OrderCell]) -> None:
        figure = Figure(figsize=(7, 4.8), layout="constrained")
        axes = figure.subplots()
        own = [(cell, figures) for cell, figures in measured if cell.path == "CondOT"]
        for index, (cell, figures) in enumerate(own):
            label = f"{cell.solver}: {figures['order']:.2f} ({cell.order})"
            x, marker = figures["steps"], "osD^v<>P*"[index]
            axes.loglog(x, figures["errors"], marker=marker, markersize=4, label=label)
        axes.set(xlabel="steps (adaptive: evaluations)", ylabel="error", title="CondOT")
        axes.grid(alpha=0.3)
        axes.legend(title="measured order (theory)", fontsize=8)
        save_plot(figure, path)


def _error(solver: str, path: ProbabilityPath, steps: int) -> float:
    if solver == "SDE, Euler-Maruyama":
        return _spread_error("euler", steps)
    if solver == "SDE, Heun":
        return _spread_error("heun", steps)
    if solver == "DDIM":
        sampler = partial(ddim, path=path, generator=seeded(0))
        return _rank_error(lambda x: sampler(_known("data", path), x, cosine_grid(steps)))
    if solver == "DPM-Solver++(2M)":
        return _rank_error(
            lambda x: dpm_solver(_known("data", path), x, cosine_grid(steps), path=path)
        )
    velocity, grid = _known("velocity", path), uniform_grid(steps)
    return _rank_error(lambda x: solve(velocity, x, grid, solver=ODE[solver]))


def _adaptive(path: ProbabilityPath, tolerance: float) -> tuple[int, float]:
    oracle = Oracle(on_a_line())
    velocity = oracle.telling("velocity", path)
    error = _rank_error(lambda x: solve_adaptive(velocity, x, tolerance=tolerance))
    return oracle.evaluations, error


def _known(prediction: Literal["data", "velocity"], path: ProbabilityPath):
    return Oracle(on_a_line()).telling(prediction, path)


def _rank_error(sample: Callable[[Tensor], Tensor]) -> float:
    """Mean |F(x_1) - Φ(x_0)|, in shares of the data."""
    x_B1 = torch.linspace(-2.5, 2.5, 200, dtype=torch.float64)[:, None]
    off_B1 = share_below(on_a_line(), sample(x_B1)) - torch.special.ndtr(x_B1)
    return off_B1.abs().mean().item()


def _spread_error(solver: Literal["euler", "heun"], steps: int) -> float:
    """|std of the samples - std of the target| for a Gaussian and σ = β, by linear algebra.

    A sample is c + Σ w_n ξ_n; with more samples than noises the w are solved for, exactly.
    """
    data, grid = target("gaussian", 1), uniform_grid(steps)
    noise_BN = _noises(2 * steps, steps)
    x_B1 = solve_sde(
        Oracle(data).telling("data", CONDOT),
        noise_BN[:, :1],
        grid,
        path=CONDOT,
        sigma=lambda t: 1 - t,
        solver=solver,
        generator=seeded(9),
    )
    known_BN = torch.cat([torch.ones_like(noise_BN[:, :1]), noise_BN], 1)
    weight_N1 = torch.linalg.lstsq(known_BN, x_B1).solution
    return abs(weight_N1[1:].norm().item() - data.std_KD.item())


def _noises(batch: int, steps: int) -> Tensor:
    """(B, N): the noise at the start, then what the sampler will draw: one a step but the last."""

    def draw(generator: Generator) -> Tensor:
        return torch.randn(batch, 1, generator=generator, dtype=torch.float64)

    generator = seeded(9)
    drawn = [draw(generator) for _ in range(steps - 1)]
    return torch.cat([draw(seeded(10)), *drawn], 1)
