"""Row `symmetric`: Push-T from starts that look the same in a mirror. Left or right? (Claim C7.)

The mark is its own image in the mirror x + y = 512, and so is a block that was moved along this
line, with the agent on the line at the wrong end of the block. To push the block back the agent
must go round it, and both sides are equally far; straight on it would push the wrong way.

        ╭── left ──▶ push          Each head plans many times from each start; a plan counts as
    agent   block                  left, right, or in between: through the block.
        ╰── right ─▶ push

Legend: P plans, H rows of a plan, S starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from rich.table import Table

from policy.checkpoint import load_checkpoint
from robot_io.types import MonoNs, Observation
from scripts.bench.learn.modes import DRAWN_PLANS, FEW, covered, spread
from scripts.bench.learn.push_t import (
    ALL_NOISE,
    DDPM,
    RECIPE,
    UNWEIGHTED,
    PushTBench,
    PushTCell,
    Settings,
    repeated,
    settled,
)
from scripts.bench.learn.row import Claim, Figures, Measured, Size, save_plot
from sim.pusht_field import FIELD_PX, MARK_3, in_block, keypoints_of_block, outline_of_block

PLANS: dict[Size, int] = {"small": 50, "full": 500}
SIDES = ("left", "right", "between")
FINE = 8  # parts of the way between two rows, at whose ends a plan is looked at


@dataclass(frozen=True, slots=True)
class Start:
    """Block and agent on the mirror, px from the mark along the block's stem."""

    block: float
    agent: float

    @property
    def block_3(self) -> np.ndarray:
        return MARK_3 + np.array([*(self.block * ALONG), 0.0])

    @property
    def agent_2(self) -> np.ndarray:
        return MARK_3[:2] + self.agent * ALONG

    def observation(self) -> dict[str, np.ndarray]:
        """At rest: two equal steps of each stream."""
        vectors = {"keypoint": keypoints_of_block(self.block_3), "agent": self.agent_2}
        return {name: np.stack([value, value]) for name, value in vectors.items()}


ALONG = np.array([-1, 1]) / sqrt(2)  # the mark's stem, along the mirror
ACROSS = np.array([1, 1]) / sqrt(2)  # to the left, seen along the stem: y points down
STARTS = (Start(block=80, agent=-60), Start(block=-80, agent=150))  # before the bar; the stem's end


REGRESSION: Settings = (  # knows neither given rows, nor noise, nor times that could count more
    "policy.given_rows=0",
    "policy.sampling.temperature=1",
    *UNWEIGHTED,
)


class SymmetricStarts:
    """Share of plans on each side of the block and through it, per head."""

    HEADS = ("flow", "DDPM", "mixture", "MSE")
    CHOOSING, BLURRING = ("flow", "DDPM"), "MSE"

    def __init__(self, bench: PushTBench) -> None:
        self._bench = bench

    def cells(self, size: Size) -> list[PushTCell]:
        scale = replace(self._bench.scale(size), episodes=PLANS[size])
        training = {
            "flow": (),
            "DDPM": DDPM,
            "mixture": ("policy.generative.head=gmm", *REGRESSION),
            "MSE": ("policy.generative.head=mse", *REGRESSION),
        }
        return [
            cell
            for head in self.HEADS
            for cell in repeated(PushTCell(head, RECIPE, training[head], ALL_NOISE), scale)
        ]

    def measure(self, cell: PushTCell) -> Figures:
        """Shares over the plans of all starts; the first plans of each, to draw."""
        policy = load_checkpoint(self._bench.train(cell).checkpoint, sampling=dict(cell.sampling))
        policy.reset(cell.seed)
        drawn, sides = [], []
        for start in STARTS:
            observed = Observation(MonoNs(0), start.observation())
            plan_PH2 = policy.plans(observed, cell.episodes)
            sides.append(side_of(plan_PH2, start))
            drawn.append(np.round(plan_PH2[:DRAWN_PLANS], 1).tolist())
        side_P = np.concatenate(sides)
        shares = {side: float(np.mean(side_P == side)) for side in ("left", "right", "between")}
        return {**shares, "drawn": drawn}

    def table(self, measured: Measured[PushTCell]) -> Table:
        table = Table("head", "left", "right", "through the block", "ways taken")
        table.title = "Push-T, symmetric starts: mean over trainings (least to most)"
        for head in self.HEADS:
            own = _of(head, measured)
            shares = [spread([100 * each[side] for each in own]) for side in SIDES]
            table.add_row(head, *shares, f"{min(map(covered, own))} of 2")
        return table

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        claims = []
        for head in self.CHOOSING:
            own = _of(head, measured)
            worst, ways = max(each["between"] for each in own), min(map(covered, own))
            what = f"{head}: both ways taken, at most {FEW:.0%} of the plans in between"
            value = f"{ways} ways, {worst:.1%} in the worst training"
            claims.append(Claim(what, value, settled(ways == 2 and worst <= FEW, measured)))
        more = min(each["between"] for each in _of(self.BLURRING, measured))
        less = max(each["between"] for head in self.CHOOSING for each in _of(head, measured))
        what = f"{self.BLURRING} goes through the block more often than any that chooses"
        claims.append(Claim(what, f"{more:.0%} against {less:.0%}", settled(more > less, measured)))
        return claims

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        """Plans of the first training of each head, over the block."""
        figure = Figure(figsize=(11, 5.6), layout="constrained")
        rows = figure.subplots(len(STARTS), len(self.HEADS), sharex=True, sharey=True)
        for column, head in enumerate(self.HEADS):
            figures, *_ = _of(head, measured)
            rows[0, column].set_title(f"{head}: {figures['between']:.0%} through")
            for index, start in enumerate(STARTS):
                _draw(rows[index, column], start, np.array(figures["drawn"][index]))
        save_plot(figure, path)


def side_of(plan_PH2: np.ndarray, start: Start) -> np.ndarray:
    """(P,) of "left", "right", "between": where each plan passes the block, or goes into it.

    Seen from the agent towards the block; the side is that of the row furthest from the mirror.
    """
    whole_PH2 = np.concatenate([np.tile(start.agent_2, (len(plan_PH2), 1, 1)), plan_PH2], 1)
    share_F11 = np.linspace(0, 1, FINE, endpoint=False)[:, None, None]
    fine_PHF2 = np.stack(
        [(1 - share) * whole_PH2[:, :-1] + share * whole_PH2[:, 1:] for share in share_F11], 2
    )
    points_N2 = fine_PHF2.reshape(-1, 2)
    inside_P = in_block(points_N2, start.block_3).reshape(len(plan_PH2), -1).any(1)
    across_PH = (plan_PH2 - MARK_3[:2]) @ ACROSS * np.sign(start.block - start.agent)
    furthest_P = np.take_along_axis(across_PH, np.abs(across_PH).argmax(1)[:, None], 1)[:, 0]
    return np.where(inside_P, "between", np.where(furthest_P > 0, "left", "right"))


def _of(head: str, measured: Measured[PushTCell]) -> Sequence[Figures]:
    return [figures for cell, figures in measured if cell.name == head]


def _draw(axes: Axes, start: Start, plan_PH2: np.ndarray) -> None:
    """Seen from above as Push-T draws it: y points down."""
    axes.add_patch(Polygon(outline_of_block(MARK_3), facecolor="#c8e6c9"))
    axes.add_patch(Polygon(outline_of_block(start.block_3), facecolor="0.75"))
    axes.plot([0, FIELD_PX], [FIELD_PX, 0], color="0.8", linewidth=0.8, linestyle=":")
    axes.plot(plan_PH2[..., 0].T, plan_PH2[..., 1].T, color="C0", alpha=0.4, linewidth=0.8)
    axes.plot(*start.agent_2, "o", color="C3")
    axes.set(xlim=(0, FIELD_PX), ylim=(FIELD_PX, 0), aspect="equal", xticks=[], yticks=[])
