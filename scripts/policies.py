"""Loading a checkpoint, ready to plan, with its touch as it is or tampered with."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from policy.checkpoint import load_checkpoint
from policy.config import Joining, PolicyConfig
from policy.planning.inference import DiffusionPolicy
from robot_io.errors import FeelforwardError
from robot_io.interfaces import ChunkSource
from robot_io.types import Observation

Touch = Literal["felt", "zeroed", "swapped"]
Images = Mapping[str, np.ndarray]  # stream -> (T, H, W, C) uint8


def load_policy(checkpoint: str, joining: Joining = "overwrite") -> DiffusionPolicy:
    """The checkpoint in this folder, warmed up: the first plan of an episode is not slower."""
    policy = load_checkpoint(Path(checkpoint), joining=joining)
    policy.warm_up()
    return policy


def check_streams(config: PolicyConfig, *, task: str, streams: tuple[str, ...]) -> None:
    """Refuses a checkpoint that wants to see what the task does not show."""
    missing = [name for name in config.history() if name not in streams]
    if missing:
        raise FeelforwardError(
            f"The checkpoint observes {', '.join(missing)}, which {task} does not have; it has "
            f"{', '.join(streams)}. Choose another --task or --checkpoint."
        )


def tactile_streams(config: PolicyConfig) -> tuple[str, ...]:
    return tuple(stream.name for stream in config.images if stream.kind == "tactile")


class TamperedTouch:
    """A policy whose tactile images are replaced on their way in: what is touch worth to it?"""

    def __init__(self, source: ChunkSource, replacement: Callable[[Observation], Images]) -> None:
        self._source, self._replacement = source, replacement

    def reset(self, seed: int) -> None:
        self._source.reset(seed)

    def plan(self, observation: Observation) -> np.ndarray:
        images = {**observation.images, **self._replacement(observation)}
        return self._source.plan(replace(observation, images=images))


class TouchListener:
    """Keeps the tactile images that a policy sees during an episode, plan by plan."""

    def __init__(self, source: ChunkSource, streams: tuple[str, ...]) -> None:
        self._source, self._streams = source, streams
        self.heard: list[Images] = []

    def reset(self, seed: int) -> None:
        self.heard.clear()
        self._source.reset(seed)

    def plan(self, observation: Observation) -> np.ndarray:
        self.heard.append({name: observation.images[name] for name in self._streams})
        return self._source.plan(observation)


def zeroed_touch(policy: DiffusionPolicy) -> TamperedTouch:
    """Always the untouched gel."""
    untouched = policy.reference_images

    def replacement(observation: Observation) -> Images:
        return {
            name: np.broadcast_to(image, observation.images[name].shape)
            for name, image in untouched.items()
        }

    return TamperedTouch(policy, replacement)


def swapped_touch(policy: ChunkSource, heard: list[Images]) -> TamperedTouch:
    """Plan by plan what was felt in another episode; when that is over, its last."""
    count = 0

    def replacement(observation: Observation) -> Images:
        nonlocal count
        images = heard[min(count, len(heard) - 1)]
        count += 1
        return images

    return TamperedTouch(policy, replacement)
