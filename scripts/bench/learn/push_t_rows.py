"""Rows `push_t`, `images`, `images_light` and `denoisers`: policies from human Push-T, played."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.table import Table

from scripts.bench.learn.evaluations import Evaluations
from scripts.bench.learn.plan_distance import Plans
from scripts.bench.learn.push_t import (
    DDPM,
    DIT,
    IMAGE,
    IMAGE_LIGHT,
    MLP,
    RECIPE,
    TRAININGS,
    PushTBench,
    PushTCell,
    repeated,
    settled,
)
from scripts.bench.learn.push_t_scores import Scores, plot_bars, told
from scripts.bench.learn.row import Claim, Measured, Row, Size
from scripts.bench.learn.symmetric_starts import SymmetricStarts
from scripts.stats import crossed_difference, crossed_interval, success_rate

REWARD, SUCCESS = 0.95, 0.60  # at least: mean of the maximum reward, success at 95 % coverage
MINUTES = 90  # a training may take, on 2 cores
IMAGE_REWARD, IMAGE_LIGHT_REWARD = 0.88, 0.70  # at least: on a GPU; on 2 cores over night
REWARD_MARGIN, SUCCESS_MARGIN = 0.03, 0.10  # flow and DDPM are equivalent within


class PushT:
    """Mean of the maximum reward and success at 95 % coverage of the recipe."""

    def __init__(self, bench: PushTBench) -> None:
        self.measure, self._scale = bench.measure, bench.scale

    def cells(self, size: Size) -> list[PushTCell]:
        return repeated(PushTCell("flow, U-Net", RECIPE), self._scale(size, seeds=TRAININGS))

    def table(self, measured: Measured[PushTCell]) -> Table:
        return Scores(measured).table("Push-T, human demonstrations, state, starts from 100000")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        scores = Scores(measured)
        (name,) = scores.names
        reward = crossed_interval(scores.rewards(name))
        success = success_rate(scores.successes(name))
        minutes = scores.minutes(name)
        return [
            Claim(
                f"mean of the maximum reward at least {REWARD}",
                told(reward, 1, 3),
                settled(reward.mean >= REWARD, measured),
            ),
            Claim(
                f"success at least {SUCCESS:.0%}",
                told(success, 100, 1) + " %",
                settled(success.mean >= SUCCESS, measured),
            ),
            Claim(
                f"a training within {MINUTES} min",
                f"{minutes:.1f}",
                settled(minutes <= MINUTES, measured),
            ),
        ]

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        plot_bars(path, Scores(measured), reward=REWARD, success=SUCCESS)


class Images:
    """Mean of the maximum reward of a recipe that sees the camera, for hardware it was made for."""

    def __init__(self, bench: PushTBench, *, name: str, recipe: str, reward: float) -> None:
        self.measure, self._scale = bench.measure, bench.scale
        self._name, self._recipe, self._reward = name, recipe, reward

    def cells(self, size: Size) -> list[PushTCell]:
        """The small size trains the light network either way: a processor must do it."""
        if size == "small":
            return repeated(PushTCell("light, U-Net", IMAGE_LIGHT), self._scale(size))
        return repeated(PushTCell(self._name, self._recipe), self._scale(size, seeds=TRAININGS))

    def table(self, measured: Measured[PushTCell]) -> Table:
        return Scores(measured).table("Push-T, human demonstrations, images, starts from 100000")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        scores = Scores(measured)
        (name,) = scores.names
        reward = crossed_interval(scores.rewards(name))
        return [
            Claim(
                f"mean of the maximum reward at least {self._reward}",
                told(reward, 1, 3),
                settled(reward.mean >= self._reward, measured),
            )
        ]

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        plot_bars(path, Scores(measured), reward=self._reward)


class Denoisers:
    """Networks of equal size, on the same data for the same time of a processor."""

    NETWORKS = (("U-Net", RECIPE), ("MLP", MLP), ("DiT", DIT))

    def __init__(self, bench: PushTBench) -> None:
        self.measure, self._scale = bench.measure, bench.scale

    def cells(self, size: Size) -> list[PushTCell]:
        return [
            cell
            for network, recipe in self.NETWORKS
            for head, training in (("flow", ()), ("DDPM", DDPM))
            for cell in repeated(
                PushTCell(f"{network}, {head}", recipe, training), self._scale(size)
            )
        ]

    def table(self, measured: Measured[PushTCell]) -> Table:
        return Scores(measured).table("Push-T, equal data, compute and parameters")

    def claims(self, measured: Measured[PushTCell]) -> list[Claim]:
        """Flow against DDPM (claim C11): equivalence on reward and on success."""
        scores, claims = Scores(measured), []
        for network, _ in self.NETWORKS:
            flow, ddpm = f"{network}, flow", f"{network}, DDPM"
            for what, of, margin in (
                ("reward", scores.rewards, REWARD_MARGIN),
                ("success", scores.successes, SUCCESS_MARGIN),
            ):
                off = crossed_difference(of(flow), of(ddpm), level=0.90)
                inside = -margin < off.low and off.high < margin
                outside = off.low >= margin or off.high <= -margin
                claims.append(
                    Claim(
                        f"{network}: {what} of flow less DDPM within {margin} (TOST, 5 %)",
                        f"{off.mean:+.3f} (90 %: {off.low:+.3f} to {off.high:+.3f})",
                        settled(inside, measured, certain=outside),
                    )
                )
        return claims

    def plot(self, path: Path, measured: Measured[PushTCell]) -> None:
        plot_bars(path, Scores(measured), reward=REWARD, success=SUCCESS)


ROWS: dict[str, Callable[[PushTBench], Row]] = {
    "push_t": PushT,
    "images": partial(Images, name="ResNet-18, U-Net", recipe=IMAGE, reward=IMAGE_REWARD),
    "images_light": partial(
        Images, name="light, U-Net", recipe=IMAGE_LIGHT, reward=IMAGE_LIGHT_REWARD
    ),
    "denoisers": Denoisers,
    "plans": Plans,
    "evaluations": Evaluations,
    "symmetric": SymmetricStarts,
}
