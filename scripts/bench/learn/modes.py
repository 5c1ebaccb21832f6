"""Row `modes`: left or right round an obstacle. Which heads choose, and which blur? (Claim C7.)

    start ──╭── left, 60 % ──╮── goal        a demonstration goes one way or the other,
            ◯  obstacle                      whatever is observed; the mean of both goes
            ╰── right, 40 % ─╯               through the obstacle

The policies are the project's own, small, trained and asked like any other.

Legend: B batch, H rows of a plan, P plans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from rich.table import Table

from policy.checkpoint import load_checkpoint
from policy.config import NetworkConfig, PolicyConfig, Recipe, TrainConfig, VectorStream
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share
from policy.generative.config import GenerativeConfig, SamplingConfig
from policy.training.train import train
from robot_io.types import MonoNs, Observation
from scripts.bench.learn.row import Claim, Figures, Measured, Size, judge, save_plot

HORIZON = 16
LEFT_SHARE = 0.6  # of the demonstrations
START = 0.2  # m that a start lies off the middle, at most
RADIUS = 0.3  # m, of the obstacle; demonstrations keep 0.45 from its middle
SOME = 0.1  # share from which on a mode counts as covered
FEW = 0.05  # share of plans in between that is still few
DRAWN_PLANS = 40
SEEDS: dict[Size, int] = {"small": 2, "full": 10}
PLANS: dict[Size, int] = {"small": 200, "full": 1000}
STEPS = 1500

_DDPM = GenerativeConfig(path="ddpm", prediction="noise", times="levels")
HEADS = {
    "flow": (GenerativeConfig(), SamplingConfig()),
    "DDPM": (_DDPM, SamplingConfig(solver="ddpm", grid="trailing", evaluations=100, clip=True)),
    "mixture": (GenerativeConfig(head="gmm"), SamplingConfig()),
    "MSE": (GenerativeConfig(head="mse"), SamplingConfig()),
}
CHOOSING, BLURRING = ("flow", "DDPM"), "MSE"


@dataclass(frozen=True, slots=True)
class ModesCell:
    head: str
    seed: int
    plans: int
    steps: int = STEPS  # of training


class Modes:
    """Share of plans on each side of the obstacle, and through it."""

    def cells(self, size: Size) -> list[ModesCell]:
        return [ModesCell(head, seed, PLANS[size]) for head in HEADS for seed in range(SEEDS[size])]

    def measure(self, cell: ModesCell) -> Figures:
        plan_PH2 = _plans(cell)
        through_P = np.linalg.norm(plan_PH2, axis=-1).min(1) < RADIUS
        left_P = plan_PH2[:, HORIZON // 2, 1] > 0
        return {
            "left": float(np.mean(left_P & ~through_P)),
            "right": float(np.mean(~left_P & ~through_P)),
            "between": float(np.mean(through_P)),
            "drawn": np.round(plan_PH2[:DRAWN_PLANS], 3).tolist(),
        }

    def table(self, measured: Measured[ModesCell]) -> Table:
        table = Table("head", "left", "right", "through the obstacle", "modes covered")
        table.title = "mean over trainings (least to most); demonstrations: 60 / 40 / 0 %"
        for head in HEADS:
            own = _of(head, measured)
            shares = [spread([100 * f[name] for f in own]) for name in ("left", "right", "between")]
            table.add_row(head, *shares, f"{min(map(covered, own))} of 2")
        return table

    def claims(self, measured: Measured[ModesCell]) -> list[Claim]:
        claims = []
        for head in CHOOSING:
            own = _of(head, measured)
            worst = max(figures["between"] for figures in own)
            modes = min(map(covered, own))
            what = f"{head}: both modes, at most {FEW:.0%} of the plans in between"
            value = f"{modes} modes, {worst:.1%} in the worst training"
            claims.append(Claim(what, value, judge(modes == 2 and worst <= FEW)))
        blurred = min(figures["between"] for figures in _of(BLURRING, measured))
        what = f"{BLURRING} blurs: plans in between"
        claims.append(Claim(what, f"{blurred:.0%} or more", judge(blurred > 1 / 2)))
        return claims

    def plot(self, path: Path, measured: Measured[ModesCell]) -> None:
        """Plans of each head; a colour is a training."""
        drawn = {"demonstrations": [Demonstrations(DRAWN_PLANS, seed=0).sample(0).action_BHD]}
        for head in HEADS:
            own = _of(head, measured)
            share = np.mean([figures["between"] for figures in own])
            each = DRAWN_PLANS // len(own)
            drawn[f"{head}: {share:.0%} through"] = [
                np.array(figures["drawn"][:each]) for figures in own
            ]
        figure = Figure(figsize=(11, 2.5), layout="constrained")
        panels = figure.subplots(1, len(drawn), sharex=True, sharey=True)
        for axes, (title, trainings) in zip(panels, drawn.items(), strict=True):
            axes.add_patch(Circle((0, 0), RADIUS, color="0.8"))
            for index, plan_PH2 in enumerate(trainings):
                style = {"color": f"C{index}", "alpha": 0.4, "linewidth": 0.8}
                axes.plot(plan_PH2[..., 0].T, plan_PH2[..., 1].T, **style)
            axes.set(title=title, aspect="equal", xticks=[], yticks=[])
        save_plot(figure, path)


@dataclass(frozen=True)
class Demonstrations:
    """Where a batch of training windows comes from: a `policy.statistics.Sampler`."""

    batch_size: int
    seed: int
    description: str = "left or right round an obstacle"

    def sample(self, step: int, share: Share = WHOLE) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        start_B = rng.uniform(-START, START, self.batch_size)
        side_B = np.where(rng.random(self.batch_size) < LEFT_SHARE, 1, -1)
        height_B = side_B * rng.uniform(0.55, 0.8, self.batch_size)
        along_H = np.linspace(0, 1, HORIZON)
        y_BH = start_B[:, None] * (1 - along_H) + height_B[:, None] * np.sin(np.pi * along_H)
        x_BH = np.broadcast_to(2 * along_H - 1, y_BH.shape)
        rows = share.rows(self.batch_size)
        start = {"start": start_B[rows, None, None].astype(np.float32)}
        action_BHD = np.stack([x_BH, y_BH], -1)[rows].astype(np.float32)
        return Batch(start, {}, action_BHD, np.ones(action_BHD.shape[:2], bool))

    def first_image(self, name: str) -> np.ndarray:
        raise AssertionError(f"no images, asked for {name}")


def _plans(cell: ModesCell) -> np.ndarray:
    """(P, H, 2) of a policy trained for this cell, each from another start."""
    generative, sampling = HEADS[cell.head]
    recipe = Recipe(
        policy=PolicyConfig(
            action="vector",
            vectors=(VectorStream(name="start"),),
            network=NetworkConfig(kind="mlp", widths=(128, 128), embedding=64),
            generative=generative,
            sampling=sampling,
        ),
        train=TrainConfig(
            steps=cell.steps,
            batch_size=128,
            noise_draws=4,
            learning_rate=2e-3,
            warmup_steps=cell.steps // 10,
            checkpoint_every=cell.steps,
            device="cpu",
            seed=cell.seed,
        ),
    )
    with TemporaryDirectory() as folder:
        demonstrations = Demonstrations(recipe.train.batch_size, cell.seed)
        done = train(recipe, demonstrations, Path(folder) / "run", progress=False)
        policy = load_checkpoint(done.checkpoint)
    policy.reset(cell.seed)
    starts = np.random.default_rng(cell.seed).uniform(-START, START, cell.plans)
    observed = [Observation(MonoNs(0), {"start": np.array([[start]])}, {}) for start in starts]
    return np.stack([policy.plan(each) for each in observed])


def _of(head: str, measured: Measured[ModesCell]) -> Sequence[Figures]:
    return [figures for cell, figures in measured if cell.head == head]


def covered(figures: Figures) -> int:
    """How many of the modes "left" and "right" are taken."""
    return (figures["left"] >= SOME) + (figures["right"] >= SOME)


def spread(percent: Sequence[float]) -> str:
    """Mean, least and most, for tables."""
    return f"{np.mean(percent):.1f} % ({min(percent):.1f} to {max(percent):.1f})"
