"""The loss of one step, a pure function of (weights, batch, seed, step).

Legend: B batch, T frames, H rows, A numbers of an action, F numbers of an observation. What is
drawn per observation (`noise_draws`) lies side by side along B.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from policy.config import Recipe
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share
from policy.features import Features, without_past
from policy.generative.method import draw_times
from policy.networks.condition import Guess
from policy.networks.network import PolicyNetwork, scale_image
from policy.planning.given_rows import GivenRows
from policy.statistics import Statistics, as_streams
from policy.training.augment import colour_jitter, random_shift
from policy.training.chunk_loss import DrawnChunk, chunk_loss, mean_square
from policy.training.teacher import Teacher


@dataclass(frozen=True)
class Objective:
    """What the recipe's method pays for normalised chunks, and two helps for encoders of images.

    What moved tells most of what comes, so a network that sees its own past learns to go on as
    before and looks last (de Haan et al. 2019, "Causal confusion in imitation learning"). Hence
    `history_dropout` hides the past of some examples, and `glance_weight` adds a regression of
    the chunk from the images and the newest step alone (`policy.networks.network.Glance`).
    """

    recipe: Recipe
    features: Features
    statistics: Statistics
    device: torch.device
    teacher: Teacher | None = None  # whose plans a distilled policy learns instead of the data

    def loss(
        self,
        network: PolicyNetwork,
        batch: Batch,
        *,
        draw: tuple[int, int],
        augment: bool,
        share: Share = WHOLE,
    ) -> Tensor:
        """`draw` keys the noise, the flow times, the augmentation and what is hidden.

        `batch` is a share of the one that they are drawn for.
        """
        train = self.recipe.train
        generator = keyed_generator(*draw)
        feature_BF, still_BF, action_BHA = self._numbers(batch)
        images = self._images(batch, augment=augment, generator=generator, share=share)
        draws_BHA = action_BHA.repeat_interleave(train.noise_draws, 0)
        noise_BHA = share.of(
            lambda n: torch.randn(n, *draws_BHA.shape[1:], generator=generator), len(draws_BHA)
        ).to(self.device)
        generative = self.recipe.policy.generative
        t_B = share.of(lambda n: draw_times(generative, n, generator=generator), len(draws_BHA))
        t_B = t_B.to(self.device)
        if augment and train.history_dropout:
            luck_B1 = share.of(lambda n: torch.rand(n, 1, generator=generator), len(action_BHA))
            hidden_B1 = luck_B1 < train.history_dropout
            feature_BF = torch.where(hidden_B1.to(self.device), still_BF, feature_BF)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=train.bf16):
            seen = network.look(feature_BF, still_BF, images)
            condition = network.condition(seen)
            told = condition
            if augment and generative.null_share:
                hidden_B = self._hidden(len(action_BHA), generator, share)
                told = condition.where(hidden_B, network.condition_without_goal(seen))
            told = told.repeated(train.noise_draws)
            kept_BH1 = self._kept(batch)
            chunk = DrawnChunk(
                draws_BHA,
                noise_BHA,
                t_B,
                self._given(draws_BHA, generator, share) if augment else None,
                _repeated(kept_BH1, train.noise_draws),
            )
            if self.teacher is not None:
                looked_at = feature_BF, still_BF, images
                chunk = self.teacher.lesson(chunk, network, told, looked_at, generator)
            loss = chunk_loss(network, told, chunk)
            if augment and condition.guess is not None:
                guess_loss = _guess_loss(condition.guess, action_BHA, kept_BH1)
                loss = loss + train.glance_weight * guess_loss
        return loss

    def _kept(self, batch: Batch) -> Tensor | None:
        """Which rows something is learnt of, (B, H, 1); None: of all."""
        if not self.recipe.train.mask_padding:
            return None
        return torch.from_numpy(batch.kept_BH)[..., None].to(self.device)

    def _given(
        self, action_BHA: Tensor, generator: Generator, share: Share = WHOLE
    ) -> GivenRows | None:
        """The first rows: none half of the time, else up to `given_rows`.

        A policy that is mostly given rows learns to go on as they do and looks less; so does one
        that can trust them to the last digit, hence `given_noise`.
        """
        most = self.recipe.policy.given_rows
        if most == 0:
            return None
        count_B = share.of(
            lambda n: torch.randint(1 - most, most + 1, (n,), generator=generator), len(action_BHA)
        )
        row_H = torch.arange(action_BHA.shape[1])
        mask_BH1 = (row_H < count_B[:, None])[..., None].to(self.device)
        if not (size := self.recipe.train.given_noise):
            return GivenRows(mask_BH1, action_BHA)
        noise_BHA = share.of(
            lambda n: torch.randn(n, *action_BHA.shape[1:], generator=generator), len(action_BHA)
        )
        return GivenRows(mask_BH1, action_BHA + size * noise_BHA.to(self.device))

    def _hidden(self, batch: int, generator: Generator, share: Share) -> Tensor:
        """Which examples are learnt without their goal, (B,), for classifier-free guidance."""
        luck_B = share.of(lambda n: torch.rand(n, generator=generator), batch)
        return (luck_B < self.recipe.policy.generative.null_share).to(self.device)

    def _numbers(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised observation (B, F), the same without a past, and action (B, H, A)."""
        streams = as_streams(batch.vectors)
        rows_BHD = torch.from_numpy(np.asarray(batch.action_BHD, np.float64))
        scale = self.statistics.observation.normalize
        feature = scale(self.features.observation(streams))
        still_feature = scale(self.features.observation(without_past(streams)))
        action = self.statistics.action.normalize(self.features.encode(streams, rows_BHD))
        return feature.to(self.device), still_feature.to(self.device), action.to(self.device)

    def _images(
        self, batch: Batch, *, augment: bool, generator: Generator, share: Share
    ) -> dict[str, Tensor]:
        train = self.recipe.train
        images = {}
        for stream in self.recipe.policy.images:
            image = torch.from_numpy(batch.images[stream.name]).to(self.device)
            change = augment and stream.kind == "camera"
            if change and train.shift_px:
                image = random_shift(
                    image, up_to_px=train.shift_px, generator=generator, share=share
                )
            images[stream.name] = (
                colour_jitter(image, strength=train.colour_jitter, generator=generator, share=share)
                if change
                else scale_image(image)
            )
        return images


def _guess_loss(guess: Guess, action_BHA: Tensor, kept_BH1: Tensor | None) -> Tensor:
    """The mean learns by squared error; the spread to be what a normal error's size tells."""
    off_BHA = guess.mean_BHA - action_BHA
    spread_off_BHA = guess.spread_BHA - math.sqrt(math.pi / 2) * off_BHA.detach().abs()
    return mean_square(off_BHA, kept_BH1) + mean_square(spread_off_BHA, kept_BH1)


def _repeated(kept_BH1: Tensor | None, draws: int) -> Tensor | None:
    return None if kept_BH1 is None else kept_BH1.repeat_interleave(draws, 0)


def keyed_generator(seed: int, step: int) -> Generator:
    """Independent random numbers for every (seed, step), whatever ran before."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state >> np.uint64(1)))
