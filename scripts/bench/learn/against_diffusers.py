"""Row `diffusers`: DDPM, DDIM and DPM-Solver++ against the schedulers of `diffusers`.

The same network (the best noise prediction for a mixture), noise and schedule. The schedulers get
their ᾱ in double precision: in their own single precision that of level 99 is off by 1.3e-5.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from policy.generative.diffusion_samplers import ddim, ddpm, dpm_solver
from policy.generative.discrete_time import DiscreteTime, Schedule, alphas_cumprod
from policy.generative.predictions import converted
from policy.generative.samplers import Field
from scripts.bench.learn.row import Claim, Figures, Measured, Size, judge, save_plot
from scripts.bench.learn.targets import Oracle, seeded, target

LIMIT = 1e-5
DIMENSIONS = 16
SCHEDULERS = {
    "DDPM": "DDPMScheduler",
    "DDIM": "DDIMScheduler",
    "DPM-Solver++(2M)": "DPMSolverMultistepScheduler",
}


@dataclass(frozen=True, slots=True)
class SchedulerCell:
    sampler: str
    schedule: Schedule
    steps: int
    spacing: Literal["leading", "trailing", "linspace"]
    eta: float = 0.0
    clip: bool = False


class AgainstDiffusers:
    """The largest difference between a sample of ours and theirs."""

    def cells(self, size: Size) -> list[SchedulerCell]:
        cells = []
        for schedule in ("squaredcos_cap_v2", "linear"):
            for clip in (False, True):
                cells.append(SchedulerCell("DDPM", schedule, 100, "leading", 1.0, clip))
                for spacing in ("leading", "trailing"):
                    for eta in (0.0, 0.5, 1.0):
                        cells.append(SchedulerCell("DDIM", schedule, 10, spacing, eta, clip))
            for spacing in ("leading", "trailing", "linspace"):
                for steps in (5, 10, 20):
                    cells.append(SchedulerCell("DPM-Solver++(2M)", schedule, steps, spacing))
        return cells  # seconds, either way

    def measure(self, cell: SchedulerCell) -> Figures:
        path = DiscreteTime(alphas_cumprod(cell.schedule))
        noise_told = Oracle(target("mixture", DIMENSIONS)).telling("noise", path)
        scheduler = _scheduler(cell)
        times = (*[path.time(int(level)) for level in scheduler.timesteps], 1.0)
        x = torch.randn(64, DIMENSIONS, generator=seeded(5), dtype=torch.float64)
        off = _ours(cell, path, noise_told, x, times) - _theirs(
            cell, path, noise_told, x, scheduler
        )
        return {"largest_difference": off.abs().max().item()}

    def table(self, measured: Measured[SchedulerCell]) -> Table:
        import diffusers

        table = Table(title=f"largest difference to diffusers {diffusers.__version__}")
        for name in ("sampler", "schedule", "ways compared", "largest difference"):
            table.add_column(name)
        for (sampler, schedule), values in _grouped(measured).items():
            table.add_row(sampler, schedule, str(len(values)), f"{max(values):.1e}")
        return table

    def claims(self, measured: Measured[SchedulerCell]) -> list[Claim]:
        off = [figures["largest_difference"] for _, figures in measured]
        kept = all(each <= LIMIT for each in off)  # so that NaN is not
        what = f"{len(measured)} ways of sampling equal to diffusers' to {LIMIT:g}"
        return [Claim(what, f"largest difference {max(off):.1e}", judge(kept))]

    def plot(self, path: Path, measured: Measured[SchedulerCell]) -> None:
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        axes = figure.subplots()
        groups = _grouped(measured)
        for y, values in enumerate(groups.values()):
            axes.plot([max(value, 1e-17) for value in values], [y] * len(values), "o", alpha=0.6)
        axes.axvline(LIMIT, color="0.4", linestyle="--")
        axes.set_yticks(range(len(groups)), [", ".join(key) for key in groups])
        axes.set(xscale="log", xlabel="largest difference to diffusers", xlim=(1e-17, 1e-4))
        axes.grid(alpha=0.3)
        save_plot(figure, path)


def _grouped(measured: Measured[SchedulerCell]) -> dict[tuple[str, str], list[float]]:
    groups: dict[tuple[str, str], list[float]] = {}
    for cell, figures in measured:
        values = groups.setdefault((cell.sampler, cell.schedule), [])
        values.append(figures["largest_difference"])
    return groups


def _ours(
    cell: SchedulerCell, path: DiscreteTime, noise_told: Field, x: Tensor, times: tuple[float, ...]
) -> Tensor:
    told = converted(noise_told, path=path, source="noise", target="data")

    def data(x: Tensor, t: float) -> Tensor:
        return told(x, t).clamp(-1, 1) if cell.clip else told(x, t)

    if cell.sampler == "DDPM":
        return ddpm(data, x, times, path=path, generator=seeded(8))
    if cell.sampler == "DDIM":
        return ddim(data, x, times, path=path, eta=cell.eta, generator=seeded(8))
    return dpm_solver(data, x, times, path=path)


def _theirs(
    cell: SchedulerCell, path: DiscreteTime, noise_told: Field, x: Tensor, scheduler: Any
) -> Tensor:
    options = {
        "DDPM": {"generator": seeded(8)},
        "DDIM": {"generator": seeded(8), "eta": cell.eta, "use_clipped_model_output": True},
    }.get(cell.sampler, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that we do not use
        for level in scheduler.timesteps:
            told = noise_told(x, path.time(int(level)))
            x = scheduler.step(told, level, x, **options).prev_sample
    return x


def _scheduler(cell: SchedulerCell) -> Any:
    """A scheduler of `diffusers` at work in double precision."""
    import diffusers

    options: dict[str, Any] = {"timestep_spacing": cell.spacing}
    if cell.sampler != "DPM-Solver++(2M)":
        options["clip_sample"] = cell.clip
    make: Callable = getattr(diffusers, SCHEDULERS[cell.sampler])
    scheduler = make(num_train_timesteps=100, beta_schedule=cell.schedule, **options)
    scheduler.set_timesteps(cell.steps)
    kept = alphas_cumprod(cell.schedule)
    scheduler.alphas_cumprod, scheduler.one = kept, kept.new_ones(())
    scheduler.final_alpha_cumprod = scheduler.one
    if cell.sampler == "DPM-Solver++(2M)":
        at = kept[scheduler.timesteps]
        scheduler.sigmas = torch.cat([((1 - at) / at).sqrt(), at.new_zeros(1)])
    return scheduler
