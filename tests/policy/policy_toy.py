"""Stand-ins for demonstrations: made-up windows, a pure function of (seed, step)."""

from dataclasses import dataclass

import numpy as np

from policy.config import (
    ImageStream,
    NetworkConfig,
    PolicyConfig,
    Recipe,
    TrainConfig,
    VectorStream,
)
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share

CAMERA = (96, 96, 3)
TOUCH = (32, 32, 3)


@dataclass(frozen=True)
class ToolSampler:
    """Random tool poses near a mean pose, with smooth commands and noise for images."""

    config: PolicyConfig
    batch_size: int = 8
    seed: int = 0
    description: str = "made-up tool poses"

    def sample(self, step: int, share: Share = WHOLE) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        vectors = {s.name: self._rows(rng, s.history) for s in self.config.vectors}
        images = {
            s.name: rng.integers(0, 256, (self.batch_size, s.history, *size(s)), np.uint8)
            for s in self.config.images
        }
        action_BHD = self._rows(rng, self.config.horizon)
        ends_B1 = rng.integers(1, 2 * self.config.horizon, (self.batch_size, 1))
        kept_BH = np.arange(self.config.horizon) < ends_B1
        return _part(Batch(vectors, images, action_BHD, kept_BH), share)

    def first_image(self, name: str) -> np.ndarray:
        stream = next(s for s in self.config.images if s.name == name)
        return np.full(size(stream), 128, np.float32)

    def _rows(self, rng: np.random.Generator, steps: int) -> np.ndarray:
        shape = (self.batch_size, steps)
        return random_rows(rng, shape).astype(np.float32)


@dataclass(frozen=True)
class ForkSampler:
    """A two-way choice: whatever is observed, all rows are +0.8 or all are -0.8."""

    horizon: int = 16
    batch_size: int = 32
    seed: int = 0
    description: str = "made-up forks"

    def sample(self, step: int, share: Share = WHOLE) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        side_B = rng.choice([-1.0, 1.0], (self.batch_size, 1, 1))
        rows = 0.8 * side_B * np.ones((1, self.horizon, 2)) + 0.2 * side_B * [[[0.0, 1.0]]]
        state = rng.uniform(-1, 1, (self.batch_size, 2, 3))
        kept_BH = np.ones(rows.shape[:2], bool)
        whole = Batch({"state": state.astype(np.float32)}, {}, rows.astype(np.float32), kept_BH)
        return _part(whole, share)

    def first_image(self, name: str) -> np.ndarray:
        raise AssertionError(f"no images, asked for {name}")


def _part(batch: Batch, share: Share) -> Batch:
    rows = share.rows(len(batch.action_BHD))
    return Batch(
        {name: x[rows] for name, x in batch.vectors.items()},
        {name: x[rows] for name, x in batch.images.items()},
        batch.action_BHD[rows],
        batch.kept_BH[rows],
    )


def random_rows(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Tool rows (*shape, 8): positions within 0.1 m, any rotation, widths up to 0.08 m."""
    position = np.array([0.5, 0.0, 0.2]) + rng.uniform(-0.1, 0.1, (*shape, 3))
    quat_wxyz = rng.normal(size=(*shape, 4))
    quat_wxyz /= np.linalg.norm(quat_wxyz, axis=-1, keepdims=True)
    return np.concatenate([position, quat_wxyz, rng.uniform(0, 0.08, (*shape, 1))], -1)


def size(stream: ImageStream) -> tuple[int, int, int]:
    return TOUCH if stream.kind == "tactile" else CAMERA


def tool_config(*, horizon: int = 16, images: bool = False, touch: bool = True) -> PolicyConfig:
    """Two cameras and two tactile sensors, or none; with or without the command history."""
    vectors = [VectorStream(name="measured", history=8 if touch else 1)]
    streams = []
    if touch:
        vectors.append(VectorStream(name="commanded", history=8))
    if images:
        streams += [ImageStream(name="wrist"), ImageStream(name="scene")]
    if images and touch:
        streams += [
            ImageStream(name="tactile_left", kind="tactile", history=2, width=16),
            ImageStream(name="tactile_right", kind="tactile", history=2, width=16),
        ]
    return PolicyConfig(
        action="tool", horizon=horizon, vectors=tuple(vectors), images=tuple(streams)
    )


def fork_recipe(*, steps: int = 300, kind: str = "unet", **train: object) -> Recipe:
    """A small network for `ForkSampler`."""
    widths = (24, 32) if kind == "unet" else (128, 128)
    return Recipe(
        policy=PolicyConfig(
            action="vector",
            vectors=(VectorStream(name="state", history=2),),
            network=NetworkConfig(kind=kind, widths=widths, embedding=32),
        ),
        train=TrainConfig(
            **{
                "steps": steps,
                "learning_rate": 4e-3,
                "warmup_steps": 20,
                "checkpoint_every": 100,
                "log_every": 10,
                **train,
            }
        ),
    )
