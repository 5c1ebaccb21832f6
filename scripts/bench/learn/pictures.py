"""The pictures of docs/theory.md, drawn with exact velocities and scores of small mixtures.

Legend: B samples, D dimensions, T times.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from policy.generative.diffusion_samplers import solve_sde
from policy.generative.grids import Grid, uniform_grid
from policy.generative.guidance import classifier_free
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import CondOT, ProbabilityPath, VariancePreservingCosine
from policy.generative.predictions import Prediction, combine
from policy.generative.samplers import solve
from scripts.bench.learn.row import save_plot
from scripts.bench.learn.targets import Oracle, on_a_line, seeded

CONDOT = CondOT()
TIMES = torch.linspace(0, 1, 201, dtype=torch.float64)
SIZE = (10, 3.3)


def draw(folder: Path) -> None:
    """Writes theory_paths.png, theory_targets.png, theory_steps.png and theory_guidance.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        save_plot(picture(), folder / f"theory_{name}.png")


def paths() -> Figure:
    """Where the samples of an ODE and of an SDE go, over the density p_t that both have."""
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(2, 2, 1))
    grid, few = uniform_grid(100), 14
    ends = {}
    for axes, sigma, title in zip(panels, (0.0, 1.0), ("ODE: σ = 0", "SDE: σ = 1"), strict=False):
        track_TB = _track(sigma, grid)
        ends[title] = track_TB[-1]
        _density(axes)
        axes.plot(grid, track_TB[:, :few].numpy(), color="white", linewidth=0.7)
        axes.set(title=title, xlabel="t (0 noise, 1 data)", xlim=(0, 1), ylim=(-2.4, 2.4))
    panels[0].set_ylabel("x")
    x = torch.linspace(-2.4, 2.4, 400, dtype=torch.float64)
    panels[2].plot(_density_at(x, 1.0).numpy(), x.numpy(), "k", linewidth=1, label="data")
    for title, end_B in ends.items():
        bins = np.linspace(-2.4, 2.4, 60)
        options = {"density": True, "histtype": "step", "orientation": "horizontal"}
        panels[2].hist(end_B.numpy(), bins=bins, label=title, **options)
    panels[2].set(title="at t = 1", xticks=[])
    panels[2].legend(fontsize=7)
    return figure


def targets() -> Figure:
    """α and β of two paths, and how large what a network is asked for gets."""
    figure = Figure(figsize=SIZE, layout="constrained")
    left, right = figure.subplots(1, 2)
    times = TIMES.numpy()
    cosine = VariancePreservingCosine()
    both: dict[str, ProbabilityPath] = {"CondOT": CONDOT, "cosine": cosine}
    for index, (name, path) in enumerate(both.items()):
        left.plot(times, path.alpha(TIMES).numpy(), f"C{index}-", label=f"α, {name}")
        left.plot(times, path.beta(TIMES).numpy(), f"C{index}--", label=f"β, {name}")
    left.set(xlabel="t (0 noise, 1 data)", title="paths: x = α z + β ε")
    asked: tuple[Prediction, ...] = ("velocity", "noise", "data", "score")
    for prediction in asked:
        size_T = _root_mean_square(prediction, TIMES[:-1])
        right.semilogy(times[:-1], size_T.numpy(), label=prediction)
    right.set(xlabel="t (0 noise, 1 data)", title="size of the target, CondOT")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def steps() -> Figure:
    """The same noise, carried to three modes by ever more of Euler's steps."""
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    data = three_modes()
    velocity = Oracle(data).telling("velocity", CONDOT)
    counts = (1, 2, 4, 10)
    for axes, n in zip(figure.subplots(1, len(counts)), counts, strict=True):
        x = solve(velocity, _noise(600), uniform_grid(n), solver="euler")
        _scatter(axes, x, data, f"{n} evaluation{'s' * (n > 1)}")
    return figure


def guidance() -> Figure:
    """Samples of one mode, asked for with weights 0, 1 and 3."""
    figure = Figure(figsize=(7.5, 2.6), layout="constrained")
    data, weights = three_modes(), (0.0, 1.0, 3.0)
    one = GaussianMixture(torch.ones(1).double(), data.mean_KD[:1], data.std_KD[:1])
    conditional = Oracle(one).telling("velocity", CONDOT)
    unconditional = Oracle(data).telling("velocity", CONDOT)
    for axes, w in zip(figure.subplots(1, len(weights)), weights, strict=True):
        velocity = classifier_free(
            conditional,
            lambda x, t: (conditional(x, t), unconditional(x, t)),
            weight=lambda t, w=w: w,
        )
        x = solve(velocity, _noise(600), uniform_grid(40), solver="midpoint")
        _scatter(axes, x, data, f"w = {w:g}")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "paths": paths,
    "targets": targets,
    "steps": steps,
    "guidance": guidance,
}


def three_modes() -> GaussianMixture:
    """In the plane, at the corners of a triangle."""
    mean_KD = torch.tensor([[0.0, 1.2], [-1.1, -0.7], [1.1, -0.7]], dtype=torch.float64)
    return GaussianMixture(
        torch.full((3,), 1 / 3).double(), mean_KD, torch.full((3, 2), 0.2).double()
    )


def _track(sigma: float, grid: Grid) -> Tensor:
    """(T, B): where samples are at each time of the grid."""
    known = Oracle(on_a_line()).telling("data", CONDOT)
    generator, track = seeded(3), []

    def data(x_B1: Tensor, t: float) -> Tensor:  # asked once a step
        track.append(x_B1[:, 0])
        return known(x_B1, t)

    x_B1 = torch.randn(4000, 1, generator=generator, dtype=torch.float64)
    options = {"path": CONDOT, "sigma": lambda t: sigma, "generator": generator}
    x_B1 = solve_sde(data, x_B1, grid, solver="euler", **options)
    return torch.stack([*track, x_B1[:, 0]])


def _density(axes: Axes) -> None:
    """p_t(x) as a picture; each time scaled to its own maximum, or the noise would be black."""
    x = torch.linspace(-2.4, 2.4, 300, dtype=torch.float64)
    columns = [_density_at(x, t) for t in TIMES.tolist()]
    shown = torch.stack([column / column.max() for column in columns], 1)
    extent = (0, 1, -2.4, 2.4)
    axes.imshow(shown.numpy(), origin="lower", extent=extent, aspect="auto", cmap="viridis")


def _density_at(x: Tensor, t: float) -> Tensor:
    """p_t of `on_a_line` on CondOT: Σ w N(t μ, t² σ² + (1 - t)²)."""
    data = on_a_line()
    spread_K = ((t * data.std_KD[:, 0]) ** 2 + (1 - t) ** 2).sqrt()
    normal_K = torch.distributions.Normal(t * data.mean_KD[:, 0], spread_K)
    return (data.weight_K * normal_K.log_prob(x[:, None]).exp()).sum(1)


def _root_mean_square(prediction: Prediction, times: Tensor) -> Tensor:
    """Of the target that a network is shown, over data and noise, at each time."""
    generator, n = seeded(6), 4000
    data = on_a_line().sample(n, generator=generator)
    noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    targets = [combine(data, noise, t, path=CONDOT, prediction=prediction) for t in times.tolist()]
    return torch.stack([target.square().mean().sqrt() for target in targets])


def _scatter(axes: Axes, x_BD: Tensor, data: GaussianMixture, title: str) -> None:
    axes.scatter(*x_BD.T.numpy(), s=3, alpha=0.5)
    axes.plot(*data.mean_KD.T.numpy(), "k+", markersize=10)
    axes.set(title=title, xlim=(-2.2, 2.2), ylim=(-1.8, 2.2), aspect="equal", xticks=[], yticks=[])


def _noise(n: int) -> Tensor:
    return torch.randn(n, 2, generator=seeded(4), dtype=torch.float64)
