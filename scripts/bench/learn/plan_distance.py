"""Row `plans`: does the robot's behaviour change where flow takes DDPM's place? (Claim C11.)

Five trainings of each plan many times from the same held-out observations. Trainings of one recipe
differ, too, so the question is whether flow and DDPM differ by more than that:

    flow, training 1   ╮  within: two trainings of one kind, other seeds
    flow, training 2   ╯╮
                        │ across: one of each, other seeds
    DDPM, training 1   ╮╯
    DDPM, training 2   ╯

Two sets of plans are as far apart as their energy distance says (Székely and Rizzo 2013),
2 E|X - Y| - E|X - X'| - E|Y - Y'|, which is 0 for two draws of the same; |X - Y| is how far two
plans are from each other, px, mean over their rows.

Legend: T trainings of both kinds, S of one kind, N observations, P plans of a training, H rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from rich.table import Table

from policy.checkpoint import load_checkpoint
from policy.data.sampler import Batch
from scripts.bench.learn.push_t import (
    ALL_NOISE,
    DDPM,
    RECIPE,
    TRAININGS,
    PushTBench,
    PushTCell,
    Sampling,
    repeated,
    settled,
)
from scripts.bench.learn.row import Claim, Figures, Measured, Size, save_plot
from scripts.stats import Crossed, crossed_interval
from scripts.training_data import window_samplers
from sim.pusht_field import MARK_3, block_of_keypoints, outline_of_block

FARTHER = 1.25  # times as far apart are flow and DDPM at most: bioequivalence's usual margin
OBSERVATIONS: dict[Size, int] = {"small": 10, "full": 50}
PLANS: dict[Size, int] = {"small": 8, "full": 16}
KINDS = (("flow", ()), ("DDPM", DDPM))
WAYS: dict[str, Sampling] = {"as the recipe draws": (), "with all the noise": ALL_NOISE}
DRAWN, DRAWN_PLANS = ("least", "middling", "most"), 6  # apart; plans of each training
LEAST_VIEW_PX, EDGE_PX = 130, 10  # shown around the plans' middle, to each side, and around them


@dataclass(frozen=True, slots=True)
class PlansCell:
    """`trainings`: first those of flow, then as many of DDPM."""

    name: str
    trainings: tuple[PushTCell, ...]
    observations: int
    plans: int


class Plans:
    """How far plans of flow and DDPM are apart, in units of how far two trainings are."""

    def __init__(self, bench: PushTBench) -> None:
        self._bench = bench

    def cells(self, size: Size) -> list[PlansCell]:
        """Two trainings of each kind at least: one has none to be compared with."""
        scale = self._bench.scale(size, seeds=TRAININGS)
        scale = replace(scale, seeds=max(2, scale.seeds))
        return [
            PlansCell(name, trainings, OBSERVATIONS[size], PLANS[size])
            for name, sampling in WAYS.items()
            for trainings in [
                tuple(
                    cell
                    for kind, training in KINDS
                    for cell in repeated(PushTCell(kind, RECIPE, training, sampling), scale)
                )
            ]
        ]

    def measure(self, cell: PlansCell) -> Figures:
        observed = self._observed(cell)
        plan_TNPH2 = np.stack([self._plans(each, observed, cell) for each in cell.trainings])
        apart_TTN = apart(plan_TNPH2)
        _, across_N = _within_and_across(energies(apart_TTN), range(len(plan_TNPH2) // 2))
        shown = np.argsort(across_N)[[0, len(across_N) // 2, -1]]  # as DRAWN says
        return {
            "apart_px": np.round(apart_TTN, 4).tolist(),
            "drawn": np.round(plan_TNPH2[:, shown, :DRAWN_PLANS], 1).tolist(),
            "keypoint": observed.vectors["keypoint"][shown, -1].tolist(),
            "agent": observed.vectors["agent"][shown, -1].tolist(),
        }

    def _observed(self, cell: PlansCell) -> Batch:
        """Held-out windows, the same for all."""
        first, *_ = cell.trainings
        training, held_out = window_samplers(first.trained_recipe(), self._bench.data)
        return (held_out or training).sample(0).evenly(cell.observations)

    def _plans(self, training: PushTCell, observed: Batch, cell: PlansCell) -> np.ndarray:
        """(N, P, H, 2)."""
        done = self._bench.train(training)
        policy = load_checkpoint(done.checkpoint, sampling=dict(training.sampling))
        policy.reset(training.seed)
        each = (observed.observation(i) for i in range(len(observed)))
        return np.stack([policy.plans(observation, cell.plans) for observation in each])

    def table(self, measured: Measured[PlansCell]) -> Table:
        table = Table(title="energy distance of plans, px (least to most of two trainings)")
        for column in ("plans are drawn", "over observations", *_PAIRS):
            table.add_column(column)
        for cell, figures in measured:
            distance_TTN = energies(np.array(figures["apart_px"]))
            for name, over in (("mean", np.mean), ("median", np.median)):
                pairs = pairs_of(over(distance_TTN, -1), len(cell.trainings) // 2)
                table.add_row(cell.name, name, *map(_spread, pairs))
        return table

    def claims(self, measured: Measured[PlansCell]) -> list[Claim]:
        claims = []
        for cell, figures in measured:
            farther = how_much_farther(np.array(figures["apart_px"]))
            what = (
                f"{cell.name}: plans of flow and DDPM at most {FARTHER} times as far apart as those"
                " of two trainings of one (5 %)"
            )
            value = f"{farther.mean:.2f} times (90 %: {farther.low:.2f} to {farther.high:.2f})"
            certain = farther.low > FARTHER
            played = [(training, figures) for training in cell.trainings]
            claims.append(
                Claim(what, value, settled(farther.high <= FARTHER, played, certain=certain))
            )
        return claims

    def plot(self, path: Path, measured: Measured[PlansCell]) -> None:
        """Distances of every two trainings; plans of both kinds from three observations."""
        figure = Figure(figsize=(13, 3.2 * len(measured)), layout="constrained")
        rows = figure.subplots(len(measured), 1 + len(DRAWN), squeeze=False)
        for (first, *others), (cell, figures) in zip(rows, measured, strict=True):
            each = len(cell.trainings) // 2
            distance_TT = energies(np.array(figures["apart_px"])).mean(-1)
            for y, values in enumerate(pairs_of(distance_TT, each)):
                first.plot(values, [y] * len(values), "o", alpha=0.5, color=_COLOURS[y])
            first.set(title=cell.name, xlabel="energy distance (px)", ylim=(2.5, -0.5))
            first.set_xlim(left=0)
            first.set_yticks(range(len(_PAIRS)), _PAIRS)
            first.grid(alpha=0.3)
            for index, axes in enumerate(others):
                _draw(axes, figures, index, each)
        save_plot(figure, path)


_PAIRS = ("flow, flow", "DDPM, DDPM", "flow, DDPM")
_COLOURS = ("C0", "C1", "0.3")


def apart(plan_TNPH2: np.ndarray) -> np.ndarray:
    """(T, T, N): mean distance of a plan of one training and a plan of another, px.

    On the diagonal that of two different plans of the same.
    """
    trainings, observations, plans = plan_TNPH2.shape[:3]
    apart_TTN = np.empty((trainings, trainings, observations))
    for n in range(observations):
        flat_MH2 = plan_TNPH2[:, n].reshape(trainings * plans, *plan_TNPH2.shape[3:])
        off_MM = np.stack([np.linalg.norm(flat_MH2 - x_H2, axis=-1).mean(-1) for x_H2 in flat_MH2])
        apart_TTN[..., n] = off_MM.reshape(trainings, plans, trainings, plans).mean((1, 3))
    own = np.arange(trainings)
    apart_TTN[own, own] *= plans / (plans - 1)  # a plan is no pair with itself
    return apart_TTN


def energies(apart_TTN: np.ndarray) -> np.ndarray:
    """(T, T, N): energy distance of every two trainings."""
    own_TN = np.einsum("ttn->tn", apart_TTN)
    return 2 * apart_TTN - own_TN[:, None] - own_TN[None]


def pairs_of(distance_TT: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of two flows, of two DDPMs, of one each, along the first axis; `each` trainings of a kind.

    Never two with the same seed: they begin with the same weights and see the same batches.
    """
    flow, ddpm = slice(0, each), slice(each, None)
    two, other_seed = np.triu_indices(each, 1), ~np.eye(each, dtype=bool)
    return (
        distance_TT[flow, flow][two],
        distance_TT[ddpm, ddpm][two],
        distance_TT[flow, ddpm][other_seed],
    )


def how_much_farther(apart_TTN: np.ndarray) -> Crossed:
    """Distance across kinds over that within them; 90 % interval for other trainings and starts.

    The interval is that of the difference, by jackknife: each training of flow and DDPM left out in
    turn gives so many values per observation that vary as the estimate does (Tukey 1958). Fewer
    than three of each say nothing of others.
    """
    distance_TTN = energies(apart_TTN)
    each = len(distance_TTN) // 2
    within_N, across_N = _within_and_across(distance_TTN, range(each))
    unit = within_N.mean()
    if each < 3:
        return Crossed(across_N.mean() / unit, 0.0, np.inf)
    pseudo_SN = []
    for out in range(each):
        rest = [seed for seed in range(each) if seed != out]
        within_rest_N, across_rest_N = _within_and_across(distance_TTN, rest)
        off_N, off_rest_N = across_N - within_N, across_rest_N - within_rest_N
        pseudo_SN.append(each * off_N - (each - 1) * off_rest_N)
    return Crossed(*(1 + np.array(crossed_interval(np.stack(pseudo_SN), level=0.90)) / unit))


def _within_and_across(
    distance_TTN: np.ndarray, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) each."""
    kept = np.array([*seeds, *(seed + len(distance_TTN) // 2 for seed in seeds)])
    flow, ddpm, both = pairs_of(distance_TTN[np.ix_(kept, kept)], len(seeds))
    return (flow.mean(0) + ddpm.mean(0)) / 2, both.mean(0)


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"


def _draw(axes: Axes, figures: Figures, index: int, each: int) -> None:
    """Seen from above as Push-T draws it: y points down."""
    block_3 = block_of_keypoints(np.array(figures["keypoint"][index]))
    axes.add_patch(Polygon(outline_of_block(MARK_3), facecolor="#c8e6c9"))
    axes.add_patch(Polygon(outline_of_block(block_3), facecolor="0.8"))
    plan_TPH2 = np.array([training[index] for training in figures["drawn"]])
    for number, plan_PH2 in enumerate(plan_TPH2):
        colour = _COLOURS[number // each]
        axes.plot(plan_PH2[..., 0].T, plan_PH2[..., 1].T, color=colour, alpha=0.4, linewidth=0.8)
    axes.plot(*figures["agent"][index], "o", color="C3")
    x, y = plan_TPH2.mean((0, 1, 2))
    reach = max(LEAST_VIEW_PX, np.abs(plan_TPH2 - (x, y)).max() + EDGE_PX)
    axes.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach))
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.set_title(f"flow (blue), DDPM (orange): {DRAWN[index]} apart", fontsize=9)
