"""The loss of one step, a pure function of (weights, batch, seed, step).

Legend: B batch, T frames, H rows, A numbers of an action, F numbers of an observation. What is
drawn per observation (`noise_draws`) lies side by side along B.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from policy.config import Recipe
from policy.data.sampler import Batch
from policy.features import Features, without_past
from policy.generative.losses import Network, flow_matching_loss
from policy.generative.paths import CondOT
from policy.generative.time_sampling import uniform_times
from policy.networks.network import Condition, Guess, PolicyNetwork, scale_image
from policy.statistics import Statistics, as_streams
from policy.training.augment import colour_jitter, random_shift

PATH = CondOT()


@dataclass(frozen=True)
class Objective:
    """Conditional flow matching on normalised chunks, and two helps for the encoders of images.

    What moved tells most of what comes, so a network that sees its own past learns to go on as
    before and looks last (de Haan et al. 2019, "Causal confusion in imitation learning"). Hence
    `history_dropout` hides the past of some examples, and `glance_weight` adds a regression of
    the chunk from the images and the newest step alone (`policy.networks.network.Glance`).
    """

    recipe: Recipe
    features: Features
    statistics: Statistics
    device: torch.device

    def loss(
        self, network: PolicyNetwork, batch: Batch, *, draw: tuple[int, int], augment: bool
    ) -> Tensor:
        """`draw` keys the noise, the flow times, the augmentation and what is hidden."""
        train = self.recipe.train
        generator = keyed_generator(*draw)
        feature_BF, still_BF, action_BHA = self._numbers(batch)
        images = self._images(batch, augment=augment, generator=generator)
        draws_BHA = action_BHA.repeat_interleave(train.noise_draws, 0)
        noise_BHA = torch.randn(draws_BHA.shape, generator=generator).to(self.device)
        t_B = uniform_times(len(draws_BHA), generator=generator).to(self.device)
        if augment and train.history_dropout:
            hidden_B1 = torch.rand(len(action_BHA), 1, generator=generator) < train.history_dropout
            feature_BF = torch.where(hidden_B1.to(self.device), still_BF, feature_BF)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=train.bf16):
            condition = network.condition(feature_BF, still_BF, images)
            repeated = condition.repeated(train.noise_draws)
            given_BH1 = self._given(draws_BHA, generator) if augment else None
            loss = flow_matching_loss(
                _continuing(network, repeated, draws_BHA, noise_BHA, given_BH1),
                draws_BHA,
                noise_BHA,
                t_B,
                path=PATH,
            )
            if augment and condition.guess is not None:
                loss = loss + train.glance_weight * _guess_loss(condition.guess, action_BHA)
        return loss

    def _given(self, action_BHA: Tensor, generator: Generator) -> Tensor | None:
        """Which first rows are given, (B, H, 1): 0 to `given_rows` of them, all as likely."""
        most = self.recipe.policy.given_rows
        if most == 0:
            return None
        count_B = torch.randint(most + 1, (len(action_BHA),), generator=generator)
        row_H = torch.arange(action_BHA.shape[1])
        return (row_H < count_B[:, None])[..., None].to(self.device)

    def _numbers(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised observation (B, F), the same without a past, and action (B, H, A)."""
        streams = as_streams(batch.vectors)
        rows_BHD = torch.from_numpy(np.asarray(batch.action_BHD, np.float64))
        scale = self.statistics.observation.normalize
        feature = scale(self.features.observation(streams))
        still_feature = scale(self.features.observation(without_past(streams)))
        action = self.statistics.action.normalize(self.features.encode(streams, rows_BHD))
        return feature.to(self.device), still_feature.to(self.device), action.to(self.device)

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


def _continuing(
    network: PolicyNetwork,
    condition: Condition,
    action_BHA: Tensor,
    noise_BHA: Tensor,
    given_BH1: Tensor | None,
) -> Network:
    """The network's velocity; where rows are given it sees them clean, and they cost nothing.

    (Training-time real-time chunking, arXiv 2512.05964.)
    """
    if given_BH1 is None:
        return lambda x, t: network.velocity(x, t, condition)
    truth_BHA = action_BHA - noise_BHA  # the velocity of `PATH`

    def velocity(x: Tensor, t_B: Tensor) -> Tensor:
        x = torch.where(given_BH1, action_BHA, x)
        told = network.velocity(x, t_B, condition, given_BH1=given_BH1)
        return torch.where(given_BH1, truth_BHA, told)

    return velocity


def _guess_loss(guess: Guess, action_BHA: Tensor) -> Tensor:
    """The mean learns by squared error; the spread to be what a normal error's size tells."""
    off_BHA = guess.mean_BHA - action_BHA
    spread_BHA = math.sqrt(math.pi / 2) * off_BHA.detach().abs()
    return off_BHA.square().mean() + functional.mse_loss(guess.spread_BHA, spread_BHA)


def keyed_generator(seed: int, step: int) -> Generator:
    """Independent random numbers for every (seed, step), whatever ran before."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state >> np.uint64(1)))
