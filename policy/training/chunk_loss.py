"""What the network pays for what it says of a chunk, whichever generative method it learns.

Legend: B batch, Q every 4th of it, H rows, A numbers of an action.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from policy.generative.losses import prediction_loss
from policy.generative.method import time_weight
from policy.generative.predictions import combine
from policy.generative.shortcut import EVERY, shortcut_loss
from policy.networks.condition import Condition
from policy.networks.network import PolicyNetwork

Predict = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x, t_B, step_B)


@dataclass(frozen=True)
class GivenRows:
    """The first rows, which the network is shown instead of noisy ones, and what is shown there."""

    mask_BH1: Tensor
    shown_BHA: Tensor

    def in_place(self, x_BHA: Tensor) -> Tensor:
        return torch.where(self.mask_BH1, self.shown_BHA, x_BHA)

    def every(self, n: int) -> "GivenRows":
        return GivenRows(self.mask_BH1[::n], self.shown_BHA[::n])


@dataclass(frozen=True)
class DrawnChunk:
    """A chunk of the data, and what chance decided for it."""

    action_BHA: Tensor
    noise_BHA: Tensor
    t_B: Tensor
    given: GivenRows | None = None
    kept_BH1: Tensor | None = None  # False: rows that nothing is learnt of
    long_QQ: tuple[Tensor, Tensor] | None = None  # of a shortcut: where long steps begin, how long


def chunk_loss(network: PolicyNetwork, condition: Condition, chunk: DrawnChunk) -> Tensor:
    """The loss of `network.generative`, a mean per number."""
    config, path = network.generative, network.path
    if config.head == "mse":
        return mean_square(network.regress(condition) - chunk.action_BHA, chunk.kept_BH1)
    if config.head == "gmm":
        return network.mixture(condition).loss(chunk.action_BHA, kept_BH1=chunk.kept_BH1)
    predict = _continuing(network, condition, chunk)
    if chunk.long_QQ is not None:
        start_Q, step_Q = chunk.long_QQ
        return shortcut_loss(
            predict,
            _continuing(network, condition.every(EVERY), _every(chunk, EVERY)),
            chunk.action_BHA,
            chunk.noise_BHA,
            chunk.t_B,
            start_Q=start_Q,
            step_Q=step_Q,
        )
    return prediction_loss(
        lambda x, t_B: predict(x, t_B, None),
        chunk.action_BHA,
        chunk.noise_BHA,
        chunk.t_B,
        path=path,
        prediction=config.prediction,
        weight_B=time_weight(config, chunk.t_B, path=path),
    )


def _continuing(network: PolicyNetwork, condition: Condition, chunk: DrawnChunk) -> Predict:
    """The network's prediction; rows that are given cost nothing.

    (Training-time real-time chunking, arXiv 2512.05964.) Nor do rows that are not kept.
    """
    given = chunk.given
    free = [given.mask_BH1] if given is not None else []
    if chunk.kept_BH1 is not None:
        free.append(~chunk.kept_BH1)
    if not free:
        return lambda x, t_B, step_B: network.predict(x, t_B, condition, step_B=step_B)
    free_BH1 = reduce(torch.logical_or, free)

    def predict(x: Tensor, t_B: Tensor, step_B: Tensor | None) -> Tensor:
        truth = combine(
            chunk.action_BHA,
            chunk.noise_BHA,
            t_B,
            path=network.path,
            prediction=network.generative.prediction,
        )
        x, given_BH1 = (x, None) if given is None else (given.in_place(x), given.mask_BH1)
        told = network.predict(x, t_B, condition, given_BH1=given_BH1, step_B=step_B)
        return torch.where(free_BH1, truth, told)

    return predict


def _every(chunk: DrawnChunk, n: int) -> DrawnChunk:
    given = None if chunk.given is None else chunk.given.every(n)
    kept_BH1 = None if chunk.kept_BH1 is None else chunk.kept_BH1[::n]
    return DrawnChunk(chunk.action_BHA[::n], chunk.noise_BHA[::n], chunk.t_B[::n], given, kept_BH1)


def mean_square(off_BHA: Tensor, kept_BH1: Tensor | None) -> Tensor:
    """Over all numbers; rows that are not kept are not off."""
    return (off_BHA if kept_BH1 is None else torch.where(kept_BH1, off_BHA, 0.0)).square().mean()
