"""What an episode shows: at each instant what was seen, and what was meant to be done."""

from collections.abc import Mapping, Sequence

import numpy as np

from policy.data import LeRobotWriter
from robot_io.control.loop import Tick
from robot_io.control.observer import Observer
from robot_io.types import ArmState, Observation
from scripts.tasks.report import EpisodeResult

Shown = tuple[Observation, np.ndarray]  # what was observed, and the row (D,) meant at that stamp
Demonstration = tuple[EpisodeResult, Sequence[Shown]]


class Notes(Observer):
    """Keeps what was observed, whoever asked for it, and what was meant to be done."""

    def reset(self) -> None:
        super().reset()
        self._seen: list[Observation] = []
        self._intended: dict[int, np.ndarray] = {}

    def observe(self) -> Observation | None:
        observation = super().observe()
        if observation is not None:
            self._seen.append(observation)
        return observation

    def intend(self, stamp_ns: int, row_D: np.ndarray) -> None:
        self._intended[stamp_ns] = row_D

    def take(self, tick: Tick, state: ArmState) -> None:
        """After a tick whose command is what was meant."""
        self.intend(tick.stamp_ns, np.array(tick.verdict.row_D))
        self.observe()

    def shown(self) -> list[Shown]:
        """Exposures fall on ticks: each observation has its intention."""
        return [
            (seen, self._intended[seen.observed_ns])
            for seen in self._seen
            if seen.observed_ns in self._intended
        ]


def by_kind(history: Mapping[str, int], *, images: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many steps of which stream, as an observer wants to be told; `images` are the cameras."""
    return {
        "vectors": {name: steps for name, steps in history.items() if name not in images},
        "images": {name: steps for name, steps in history.items() if name in images},
    }


def save(
    writer: LeRobotWriter, result: EpisodeResult, shown: Sequence[Shown], *, text: str
) -> None:
    """One demonstration of what `text` says as one episode: row t is what was shown at its stamp.

    All simulated sensors expose together, so one stamp holds for every stream of a row.
    """
    first, _ = shown[0]
    row_ns = np.array([seen.observed_ns for seen, _ in shown], np.int64)
    vectors = {n: np.stack([seen.vectors[n][-1] for seen, _ in shown]) for n in first.vectors}
    images = {n: np.stack([seen.images[n][-1] for seen, _ in shown]) for n in first.images}
    writer.save_episode(
        vectors={**vectors, "action": np.stack([row_D for _, row_D in shown])},
        images=images,
        stamps={"row": row_ns, **dict.fromkeys(images, row_ns)},
        task=text,
        extra={"seed": result.seed, "success": result.success, **result.scores},
    )
