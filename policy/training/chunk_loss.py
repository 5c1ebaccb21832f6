"""What the network pays for what it says of a chunk, whichever generative method it learns.

Legend: B batch, H rows, A numbers of an action.
"""

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from policy.generative.losses import Network, arrival_loss, prediction_loss
from policy.generative.method import time_weight
from policy.generative.predictions import combine
from policy.networks.condition import Condition
from policy.networks.network import PolicyNetwork
from policy.planning.given_rows import GivenRows


@dataclass(frozen=True)
class DrawnChunk:
    """A chunk of the data, or a teacher's plan, and what chance decided for it."""

    action_BHA: Tensor
    noise_BHA: Tensor
    t_B: Tensor
    given: GivenRows | None = None
    kept_BH1: Tensor | None = None  # False: rows that nothing is learnt of


def chunk_loss(network: PolicyNetwork, condition: Condition, chunk: DrawnChunk) -> Tensor:
    """The loss of `network.generative`, a mean per number."""
    config, path = network.generative, network.path
    if config.head == "mse":
        return mean_square(network.regress(condition) - chunk.action_BHA, chunk.kept_BH1)
    if config.head == "gmm":
        return network.mixture(condition).loss(chunk.action_BHA, kept_BH1=chunk.kept_BH1)
    predict = _continuing(network, condition, chunk)
    pair = chunk.action_BHA, chunk.noise_BHA, chunk.t_B
    if config.distilled:
        return arrival_loss(predict, *pair, path=path, prediction=config.prediction)
    weight_B = time_weight(config, chunk.t_B, path=path)
    return prediction_loss(
        predict, *pair, path=path, prediction=config.prediction, weight_B=weight_B
    )


def _continuing(network: PolicyNetwork, condition: Condition, chunk: DrawnChunk) -> Network:
    """The network's prediction; rows that are given cost nothing.

    (Training-time real-time chunking, arXiv 2512.05964.) Nor do rows that are not kept.
    """
    given = chunk.given
    free = [given.mask_BH1] if given is not None else []
    if chunk.kept_BH1 is not None:
        free.append(~chunk.kept_BH1)
    if not free:
        return lambda x, t_B: network.predict(x, t_B, condition)
    free_BH1 = reduce(torch.logical_or, free)

    def predict(x: Tensor, t_B: Tensor) -> Tensor:
        truth = combine(
            chunk.action_BHA,
            chunk.noise_BHA,
            t_B,
            path=network.path,
            prediction=network.generative.prediction,
        )
        x, given_BH1 = (x, None) if given is None else (given.in_place(x), given.mask_BH1)
        told = network.predict(x, t_B, condition, given_BH1=given_BH1)
        return torch.where(free_BH1, truth, told)

    return predict


def mean_square(off_BHA: Tensor, kept_BH1: Tensor | None) -> Tensor:
    """Over all numbers; rows that are not kept are not off."""
    return (off_BHA if kept_BH1 is None else torch.where(kept_BH1, off_BHA, 0.0)).square().mean()
