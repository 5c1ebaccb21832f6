"""The whole trainable policy: encoders of what is observed, and the denoiser they steer.

Legend: B batch, T frames, HWC image, F numbers of an observation, E embedding, H rows,
A numbers of an action, M modulation numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.config import ImageStream, PolicyConfig
from policy.networks.denoisers import TimeModulation, make_denoiser
from policy.networks.encoders import IMAGE_EMBEDDING, CameraEncoder, TactileEncoder

SMALLEST_SPREAD = 0.02  # of a normalised chunk around its guess


@dataclass(frozen=True)
class Guess:
    """Of the normalised chunk: its mean, and how far it is off, roughly (a standard deviation)."""

    mean_BHA: Tensor
    spread_BHA: Tensor

    def repeated(self, times: int) -> "Guess":
        return Guess(
            self.mean_BHA.repeat_interleave(times, 0), self.spread_BHA.repeat_interleave(times, 0)
        )


@dataclass(frozen=True)
class Condition:
    """What the denoiser knows: the observation's share of the modulation, and a first guess."""

    film_BM: Tensor
    guess: Guess | None  # none without images

    def repeated(self, times: int) -> "Condition":
        """Each observation `times` times in a row."""
        if times == 1:
            return self
        guess = None if self.guess is None else self.guess.repeated(times)
        return Condition(self.film_BM.repeat_interleave(times, 0), guess)


class PolicyNetwork(nn.Module):
    """Velocity of a noisy chunk, given an observation; everything normalised, images in [0, 1]."""

    def __init__(
        self,
        config: PolicyConfig,
        *,
        feature_size: int,
        action_size: int,
        image_sizes: Mapping[str, tuple[int, int, int]],
    ) -> None:
        super().__init__()
        embedding = config.network.embedding
        self.features = nn.Sequential(
            nn.Linear(feature_size, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
        )
        self.encoders = nn.ModuleDict(
            {stream.name: _encoder(stream, image_sizes[stream.name]) for stream in config.images}
        )
        self.may_give_rows = config.given_rows > 0
        self.denoiser = make_denoiser(
            config.network,
            horizon=config.horizon,
            input_size=action_size * (2 if config.images else 1) + self.may_give_rows,
            action_size=action_size,
        )
        modulation = self.denoiser.modulation
        seen = IMAGE_EMBEDDING * len(config.images)
        self.join = nn.Linear(embedding + seen, embedding)
        self.glance = (
            Glance(feature_size + seen, (config.horizon, action_size)) if config.images else None
        )
        self.observation_modulation = nn.Linear(embedding, modulation)
        self.time_modulation = TimeModulation(modulation)

    def condition(
        self, feature_BF: Tensor, still_BF: Tensor, image: Mapping[str, Tensor]
    ) -> Condition:
        """`still_BF`: the same observation without a past; `image`: (B, T, H, W, C) each."""
        parts = [self.features(feature_BF)]
        parts += [encoder(image[name]) for name, encoder in self.encoders.items()]
        known = functional.silu(self.join(functional.silu(torch.cat(parts, -1))))
        guess = None
        if self.glance is not None:
            guess = self.glance(still_BF, torch.cat(parts[1:], -1))
        return Condition(self.observation_modulation(known), guess)

    def velocity(
        self,
        x_BHA: Tensor,
        t_B: Tensor,
        condition: Condition,
        *,
        given_BH1: Tensor | None = None,
    ) -> Tensor:
        """dx/dt at flow time t; rows that are given are clean, at their own time 1."""
        film_BM = condition.film_BM + self.time_modulation(t_B)
        t = t_B[:, None, None]
        if given_BH1 is not None:
            t = torch.where(given_BH1, 1.0, t)
        return self.denoise(x_BHA, t, film_BM, condition)

    def denoise(
        self, x_BHA: Tensor, t: Tensor | float, film_BM: Tensor, condition: Condition
    ) -> Tensor:
        """The same with the modulation of observation and time already added up; t may differ
        from row to row.

        The chunk lies around the guess g with about the spread s. Were it normal, then with
        y = x - t g and v² = t² s² + (1 - t)² the best velocity would be
        g + (t s² - (1 - t)) y / v², off by s / v. The denoiser tells the rest in units of that:
        so it need not carry the noise through, and its first samples are guesses (after the
        preconditioning of Karras et al. 2022, "EDM", table 1).
        """
        if condition.guess is None:
            return self.denoiser(self._marked([x_BHA], t), film_BM)
        guess, spread = condition.guess.mean_BHA.detach(), condition.guess.spread_BHA.detach()
        y = x_BHA - t * guess
        variance = (t * spread).square() + (1 - t) ** 2
        unit = variance.rsqrt()
        rest = self.denoiser(self._marked([y * unit, guess], t), film_BM)
        gain = (t * spread.square() - (1 - t)) / variance
        return guess + gain * y + spread * unit * rest

    def _marked(self, parts: list[Tensor], t: Tensor | float) -> Tensor:
        """Side by side, with a mark on the rows that are given."""
        if self.may_give_rows:
            clean = torch.as_tensor(t, device=parts[0].device) == 1
            parts = [*parts, clean.expand(parts[0][..., :1].shape).to(parts[0].dtype)]
        return torch.cat(parts, -1)

    def tactile_encoders(self) -> dict[str, TactileEncoder]:
        return {
            name: encoder
            for name, encoder in self.encoders.items()
            if isinstance(encoder, TactileEncoder)
        }


class Glance(nn.Module):
    """A first guess of the chunk, regressed from the images and an observation without a past.

    Where the arm is going can mostly be told from how it moved, so a denoiser learns that first
    and looks last. This head gives the encoders a gradient of their own, free of noise; the
    denoiser gets the guess beside the noisy chunk and starts from it.
    """

    def __init__(self, size: int, chunk: tuple[int, int], *, hidden: int = 256) -> None:
        super().__init__()
        self.chunk = chunk
        self.layers = nn.Sequential(
            nn.Linear(size, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
        )
        self.mean = nn.Linear(hidden, chunk[0] * chunk[1])
        self.spread = nn.Linear(hidden, chunk[0] * chunk[1])

    def forward(self, feature_BF: Tensor, seen_BE: Tensor) -> Guess:
        """The spread's gradient stays in its own layer: the eyes learn from the mean alone."""
        hidden = self.layers(torch.cat([feature_BF, seen_BE], -1))
        spread = SMALLEST_SPREAD + functional.softplus(self.spread(hidden.detach()))
        return Guess(self.mean(hidden).unflatten(-1, self.chunk), spread.unflatten(-1, self.chunk))


def _encoder(stream: ImageStream, size: tuple[int, int, int]) -> nn.Module:
    if stream.kind == "tactile":
        return TactileEncoder(frames=stream.history, width=stream.width, size=size)
    return CameraEncoder(frames=stream.history, width=stream.width, size=size)


def scale_image(image: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return image.float() / 255
