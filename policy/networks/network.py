"""The whole trainable policy: encoders of what is observed, and the denoiser they steer.

Legend: B batch, T frames, HWC image, F numbers of an observation, E embedding, H rows,
A numbers of an action, M modulation numbers, N observation tokens of C channels.
"""

from collections.abc import Mapping
from itertools import compress

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.config import PolicyConfig
from policy.generative.method import make_path
from policy.generative.mixture_head import MixtureHead, outputs
from policy.generative.predictions import Prediction
from policy.networks.condition import Condition, Guess, Seen
from policy.networks.denoisers import make_denoiser
from policy.networks.dit import DiT, ObservationTokens
from policy.networks.encoders import make_encoder
from policy.networks.images import IMAGE_EMBEDDING
from policy.networks.modulation import TimeModulation, start_at_zero
from policy.networks.preconditioning import Preconditioning, around, plain
from policy.networks.tactile import TactileEncoder

SMALLEST_SPREAD = 0.02  # of a normalised chunk around its guess


class PolicyNetwork(nn.Module):
    """What `config.generative` learns of a chunk, given an observation: the prediction of a noisy
    one, or a regression. Everything normalised, images in [0, 1]."""

    def __init__(
        self,
        config: PolicyConfig,
        *,
        feature_size: int,
        action_size: int,
        image_sizes: Mapping[str, tuple[int, int, int]],
        goal_size: int = 0,
    ) -> None:
        """`goal_size`: so many of an observation's numbers, the last, say what is to be done."""
        super().__init__()
        embedding = config.network.embedding
        self.generative = config.generative
        self.path = make_path(config.generative.path)
        self.rows = (config.horizon, action_size)
        self.sizes = (feature_size - goal_size, goal_size)
        self.features = _numbers_encoder(self.sizes[0], embedding)
        self.encoders = nn.ModuleDict(
            {
                stream.name: make_encoder(stream, image_sizes[stream.name])
                for stream in config.images
            }
        )
        self.goal = _numbers_encoder(goal_size, embedding) if goal_size else None
        self.observed = [stream.name for stream in config.images if not stream.goal]
        self.may_give_rows = config.given_rows > 0
        self.denoiser = make_denoiser(
            config.network,
            horizon=config.horizon,
            input_size=action_size * (2 if self.observed else 1) + self.may_give_rows,
            action_size=outputs(action_size) if self.generative.head == "gmm" else action_size,
        )
        if self.generative.head == "gmm":  # components that begin alike would remain so
            nn.init.normal_(self.denoiser.out.bias, std=0.5)
        modulation = self.denoiser.modulation
        sizes = [embedding, *[IMAGE_EMBEDDING] * len(config.images), *[embedding] * bool(goal_size)]
        goals = [False, *[stream.goal for stream in config.images], *[True] * bool(goal_size)]
        self.may_hide = goals if any(goals) else [True] * len(sizes)  # of each part
        self.join = nn.Linear(sum(sizes), embedding)
        seen = IMAGE_EMBEDDING * len(self.observed)
        self.glance = (
            Glance(self.sizes[0] + seen, (config.horizon, action_size)) if self.observed else None
        )
        self.observation_modulation = nn.Linear(embedding, modulation)
        self.time_modulation = TimeModulation(modulation)
        hidden = sum(compress(sizes, self.may_hide))
        self.null_E = (  # what the encoders say of what is hidden
            nn.Parameter(torch.zeros(hidden)) if self.generative.null_share else None
        )
        self.tokens = None
        if isinstance(self.denoiser, DiT):
            self.tokens = ObservationTokens(sizes, self.denoiser.token_size)
            start_at_zero(self.observation_modulation, self.time_modulation.out)

    def look(self, feature_BF: Tensor, still_BF: Tensor, image: Mapping[str, Tensor]) -> Seen:
        """`still_BF`: the same observation without a past; `image`: (B, T, H, W, C) each."""
        own_BF, goal_BF = feature_BF.split(self.sizes, -1)
        looks = {name: encoder(image[name]) for name, encoder in self.encoders.items()}
        parts = [self.features(own_BF), *looks.values()]
        if self.goal is not None:
            parts.append(self.goal(goal_BF))
        guess = None
        if self.glance is not None:
            seen_BE = torch.cat([looks[name] for name in self.observed], -1)
            guess = self.glance(still_BF[:, : self.sizes[0]], seen_BE)
        return Seen(parts, guess)

    def condition(self, seen: Seen) -> Condition:
        """What is known from all of it."""
        known = functional.silu(self.join(functional.silu(torch.cat([*seen.parts], -1))))
        token_BNC = None if self.tokens is None else self.tokens(seen.parts)
        return Condition(self.observation_modulation(known), seen.guess, token_BNC)

    def condition_without_goal(self, seen: Seen) -> Condition:
        """The goal hidden: something learnt stands in its place. Where no stream is a goal, all of
        the observation is hidden, and the guess is the mean of all data.
        """
        assert self.null_E is not None
        hidden = iter(self.null_E.split([p.shape[-1] for p in compress(seen.parts, self.may_hide)]))
        parts = [
            next(hidden).expand_as(part) if may_hide else part
            for part, may_hide in zip(seen.parts, self.may_hide, strict=True)
        ]
        guess = seen.guess
        if guess is not None and all(self.may_hide):
            guess = Guess(torch.zeros_like(guess.mean_BHA), torch.ones_like(guess.spread_BHA))
        return self.condition(Seen(parts, guess))

    def predict(
        self,
        x_BHA: Tensor,
        t_B: Tensor,
        condition: Condition,
        *,
        given_BH1: Tensor | None = None,
    ) -> Tensor:
        """`generative.prediction` at flow time t, (B, H, A); given rows have their own time 1."""
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
        """
        shown = self._shown(x_BHA, t, condition, self.generative.prediction)
        told = self._tell(shown.seen, t, film_BM, condition)
        return shown.offset + shown.scale * told

    def regress(self, condition: Condition) -> Tensor:
        """Head "mse": the mean of all chunks that fit, (B, H, A).

        The best data prediction at t = 0, where x is noise that tells nothing, is this mean: so
        it is the same network, asked once, without the noise.
        """
        shown, told = self._asked_without_noise(condition)
        return shown.offset + shown.scale * told

    def mixture(self, condition: Condition) -> MixtureHead:
        """Head "gmm": a mixture over chunks."""
        shown, told = self._asked_without_noise(condition)
        return MixtureHead.told(told.float(), offset=shown.offset, scale=shown.scale)

    def _asked_without_noise(self, condition: Condition) -> tuple[Preconditioning, Tensor]:
        nothing_BHA = condition.film_BM.new_zeros(len(condition.film_BM), *self.rows)
        film_BM = condition.film_BM + self.time_modulation(condition.film_BM.new_zeros(1))
        shown = self._shown(nothing_BHA, 0.0, condition, "data")
        return shown, self._tell(shown.seen, 0.0, film_BM, condition)

    def _shown(
        self, x_BHA: Tensor, t: Tensor | float, condition: Condition, prediction: Prediction
    ) -> Preconditioning:
        guess = condition.guess
        if guess is None:
            return plain(x_BHA, t, path=self.path, prediction=prediction)
        mean_BHA, spread_BHA = guess.mean_BHA.detach(), guess.spread_BHA.detach()
        return around(mean_BHA, spread_BHA, x_BHA, t, path=self.path, prediction=prediction)

    def _tell(
        self, seen_BHA: Tensor, t: Tensor | float, film_BM: Tensor, condition: Condition
    ) -> Tensor:
        """What the denoiser says of these rows, the guess beside them."""
        parts = [seen_BHA]
        if condition.guess is not None:
            parts.append(condition.guess.mean_BHA.detach())
        tokens = () if condition.token_BNC is None else (condition.token_BNC,)
        return self.denoiser(self._marked(parts, t), film_BM, *tokens)

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


def _numbers_encoder(size: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, embedding), nn.SiLU(), nn.Linear(embedding, embedding))


def scale_image(image: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return image.float() / 255
