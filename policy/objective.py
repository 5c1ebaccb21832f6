"""The loss of one step, a pure function of (weights, batch, seed, step).

Legend: B batch, T frames, H rows, A numbers of an action, F numbers of an observation.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from policy.augment import colour_jitter, random_shift
from policy.config import Recipe
from policy.data.sampler import Batch
from policy.features import Features
from policy.network import PolicyNetwork, scale_image
from policy.paths import CondOT, flow_matching_loss
from policy.statistics import Statistics, as_streams

PATH = CondOT()


@dataclass(frozen=True)
class Objective:
    """Conditional flow matching on normalised chunks."""

    recipe: Recipe
    features: Features
    statistics: Statistics
    device: torch.device

    def loss(
        self, network: PolicyNetwork, batch: Batch, *, draw: tuple[int, int], augment: bool
    ) -> Tensor:
        """`draw` keys the noise, the flow times and the augmentation."""
        generator = keyed_generator(*draw)
        feature_BF, action_BHA = self._numbers(batch)
        images = self._images(batch, augment=augment, generator=generator)
        noise_BHA = torch.randn(action_BHA.shape, generator=generator).to(self.device)
        t_B = torch.rand(len(action_BHA), generator=generator).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.bf16):
            condition_BM = network.condition(feature_BF, images)
            return flow_matching_loss(
                lambda x, t: network.velocity(x, t, condition_BM),
                action_BHA,
                noise_BHA,
                t_B,
                path=PATH,
            )

    def _numbers(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised observation (B, F) and action (B, H, A)."""
        streams = as_streams(batch.vectors)
        rows_BHD = torch.from_numpy(np.asarray(batch.action_BHD, np.float64))
        feature = self.statistics.observation.normalize(self.features.observation(streams))
        action = self.statistics.action.normalize(self.features.encode(streams, rows_BHD))
        return feature.to(self.device), action.to(self.device)

    def _images(self, batch: Batch, *, augment: bool, generator: Generator) -> dict[str, Tensor]:
        train = self.recipe.train
        images = {}
        for stream in self.recipe.policy.images:
            image = torch.from_numpy(batch.images[stream.name])
            change = augment and stream.kind == "camera"
            if change and train.shift_px:
                image = random_shift(image, up_to_px=train.shift_px, generator=generator)
            image = image.to(self.device)
            images[stream.name] = (
                colour_jitter(image, strength=train.colour_jitter, generator=generator)
                if change
                else scale_image(image)
            )
        return images


def keyed_generator(seed: int, step: int) -> Generator:
    """Independent random numbers for every (seed, step), whatever ran before."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state >> np.uint64(1)))
