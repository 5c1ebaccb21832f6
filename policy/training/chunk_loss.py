"""What the network pays for what it says of a chunk, whichever generative method it learns.

Legend: B batch, Q every 4th of it, H rows, A numbers of an action.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from policy.generative.losses import prediction_loss
from policy.generative.method import time_weight
from policy.generative.predictions import combine
from policy.generative.shortcut import EVERY, shortcut_loss
from policy.networks.network import Condition, PolicyNetwork

Predict = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x, t_B, step_B)


@dataclass(frozen=True)
class DrawnChunk:
    """A chunk of the data, and what chance decided for it."""

    action_BHA: Tensor
    noise_BHA: Tensor
    t_B: Tensor
    given_BH1: Tensor | None = None  # rows that the network sees clean
    long_QQ: tuple[Tensor, Tensor] | None = None  # of a shortcut: where long steps begin, how long


def chunk_loss(network: PolicyNetwork, condition: Condition, chunk: DrawnChunk) -> Tensor:
    """The loss of `network.generative`, a mean per number."""
    config, path = network.generative, network.path
    if config.head == "mse":
        return (network.regress(condition) - chunk.action_BHA).square().mean()
    if config.head == "gmm":
        return network.mixture(condition).loss(chunk.action_BHA)
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
    """The network's prediction; where rows are given it sees them clean, and they cost nothing.

    (Training-time real-time chunking, arXiv 2512.05964.)
    """
    given_BH1 = chunk.given_BH1
    if given_BH1 is None:
        return lambda x, t_B, step_B: network.predict(x, t_B, condition, step_B=step_B)

    def predict(x: Tensor, t_B: Tensor, step_B: Tensor | None) -> Tensor:
        truth = combine(
            chunk.action_BHA,
            chunk.noise_BHA,
            t_B,
            path=network.path,
            prediction=network.generative.prediction,
        )
        x = torch.where(given_BH1, chunk.action_BHA, x)
        told = network.predict(x, t_B, condition, given_BH1=given_BH1, step_B=step_B)
        return torch.where(given_BH1, truth, told)

    return predict


def _every(chunk: DrawnChunk, n: int) -> DrawnChunk:
    given_BH1 = None if chunk.given_BH1 is None else chunk.given_BH1[::n]
    return DrawnChunk(chunk.action_BHA[::n], chunk.noise_BHA[::n], chunk.t_B[::n], given_BH1)
