"""Row `conversions`: velocity, score, noise, data and v turned into each other and back."""

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from policy.generative.paths import ProbabilityPath, interpolate
from policy.generative.predictions import PREDICTIONS, Prediction, combine, convert
from scripts.bench.learn.row import Claim, Figures, Measured, Size, judge, save_plot
from scripts.bench.learn.targets import PATHS, seeded

LIMIT = 1e-6  # of max(1, |value|)
TIMES = torch.linspace(0.001, 1 - 1e-6, 1000, dtype=torch.float64)
PAIRS = list(permutations(PREDICTIONS, 2))
NUMBERS = 5


@dataclass(frozen=True, slots=True)
class ConversionCell:
    path: str


class Conversions:
    """Worst error of a round trip over all times, and whether both ends are finite."""

    def cells(self, size: Size) -> list[ConversionCell]:
        return [ConversionCell(path) for path in PATHS]  # a second, either way

    def measure(self, cell: ConversionCell) -> Figures:
        path = PATHS[cell.path]
        worst = {f"{a} → {b}": _round_trip(path, a, b) for a, b in PAIRS}
        finite = all(_finite(path, t, dtype) for t in (0.0, 1.0) for dtype in _DTYPES)
        return {"worst": worst, "finite": finite}

    def table(self, measured: Measured[ConversionCell]) -> Table:
        table = Table("path", "worst round trip", "between", "finite at both ends")
        table.title = "conversions among velocity, score, noise, data and v, float64"
        for cell, figures in measured:
            pair, worst = max(figures["worst"].items(), key=lambda item: item[1])
            table.add_row(cell.path, f"{worst:.1e}", pair, "yes" if figures["finite"] else "NO")
        return table

    def claims(self, measured: Measured[ConversionCell]) -> list[Claim]:
        errors = [error for _, figures in measured for error in figures["worst"].values()]
        within = all(error <= LIMIT for error in errors)  # so that NaN is not
        finite = all(figures["finite"] for _, figures in measured)
        return [
            Claim(f"round trips within {LIMIT:g}", f"worst {max(errors):.1e}", judge(within)),
            Claim(
                "finite at t = 0 and t = 1, float32 and float64",
                "all" if finite else "not all",
                judge(finite),
            ),
        ]

    def plot(self, path: Path, measured: Measured[ConversionCell]) -> None:
        figure = Figure(figsize=(11, 4), layout="constrained")
        axes = figure.subplots()
        names = list(measured[0][1]["worst"])
        error = np.array([[figures["worst"][name] for name in names] for _, figures in measured])
        image = axes.imshow(np.log10(np.maximum(error, 1e-17)), cmap="viridis", aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(measured)), [cell.path for cell, _ in measured], fontsize=8)
        figure.colorbar(image, label="log10 of the worst round trip")
        save_plot(figure, path)


_DTYPES = (torch.float32, torch.float64)


def _round_trip(path: ProbabilityPath, source: Prediction, target: Prediction) -> float:
    x_1, x_0 = _pair(torch.float64)
    x = interpolate(path, x_1, x_0, TIMES)
    value = combine(x_1, x_0, TIMES, path=path, prediction=source)
    there = convert(value, x, TIMES, path=path, source=source, target=target)
    back = convert(there, x, TIMES, path=path, source=target, target=source)
    return ((back - value).abs() / value.abs().clamp_min(1)).max().item()


def _finite(path: ProbabilityPath, t: float, dtype: torch.dtype) -> bool:
    x_1, x_0 = _pair(dtype)
    x = interpolate(path, x_1, x_0, t)
    for source, target in PAIRS:
        value = combine(x_1, x_0, t, path=path, prediction=source)
        there = convert(value, x, t, path=path, source=source, target=target)
        if not (value.isfinite().all() and there.isfinite().all()):
            return False
    return True


def _pair(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Data and noise."""
    generator = seeded(1)
    data, noise = torch.randn(2, len(TIMES), NUMBERS, generator=generator, dtype=torch.float64)
    return data.to(dtype), noise.to(dtype)
