"""What a denoiser is told beside the noisy chunk: what was seen, and what is known from it.

Legend: B batch, E embedding, H rows, A numbers of an action, M modulation numbers, N observation
tokens of C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Guess:
    """Of the normalised chunk: its mean, and how far it is off, roughly (a standard deviation)."""

    mean_BHA: Tensor
    spread_BHA: Tensor


@dataclass(frozen=True)
class Seen:
    """What the encoders say of an observation, each by itself, and the first guess from it."""

    parts: Sequence[Tensor]  # (B, E) each
    guess: Guess | None  # none without images


@dataclass(frozen=True)
class Condition:
    """What the denoiser knows: the observation's share of the modulation, and a first guess."""

    film_BM: Tensor
    guess: Guess | None  # none without images
    token_BNC: Tensor | None = None  # for a denoiser that looks at what was observed
    without: "Condition | None" = None  # the same with its goal hidden, for guidance

    def repeated(self, times: int) -> "Condition":
        """Each observation `times` times in a row."""
        return self if times == 1 else self._each(lambda x: x.repeat_interleave(times, 0))

    def followed_by(self, other: "Condition") -> "Condition":
        """Both in one batch."""
        return self._each(lambda x, y: torch.cat([x, y]), other)

    def where(self, hidden_B: Tensor, other: "Condition") -> "Condition":
        """`other` for the examples that are hidden."""

        def chosen(x: Tensor, y: Tensor) -> Tensor:
            return torch.where(hidden_B.reshape(-1, *[1] * (x.ndim - 1)), y, x)

        return self._each(chosen, other)

    def _each(self, change: Callable[..., Tensor], *others: "Condition") -> "Condition":
        """`change` of every tensor that there is, given those of `others` beside it.

        What comes of several has no goal that could be hidden from all of it.
        """
        every = (self, *others)
        guess = None
        if self.guess is not None:
            known = [each.guess for each in every if each.guess is not None]
            guess = Guess(
                change(*[each.mean_BHA for each in known]),
                change(*[each.spread_BHA for each in known]),
            )
        tokens = [each.token_BNC for each in every if each.token_BNC is not None]
        token_BNC = change(*tokens) if tokens else None
        without = None
        if self.without is not None and not others:
            without = self.without._each(change)
        return Condition(change(*[each.film_BM for each in every]), guess, token_BNC, without)
