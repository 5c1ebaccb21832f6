"""A Gaussian mixture over whole samples, told by a network: the classical multimodal baseline.

p(z) = Σ_k w_k Π_i N(z_i; μ_ki, σ_ki²): one choice of mode for the whole sample, not one per number.
(Bishop 1994, "Mixture density networks"; "BC-GMM" of Mandlekar et al. 2021.)

Legend: B batch, K components, H rows, A numbers of a row.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

COMPONENTS = 5  # as in BC-GMM
SMALLEST_STD = 0.01  # of normalised data: no component may end up on one example
SHARED = 0.02  # of each example, which all components learn alike


def outputs(size: int) -> int:
    """Numbers that a network must tell per row of `size`: means, spreads, and a say in weights."""
    return COMPONENTS * (2 * size + 1)


@dataclass(frozen=True)
class MixtureHead:
    """What the network told, one mixture per example."""

    logit_BK: Tensor
    mean_BKHA: Tensor
    std_BKHA: Tensor

    @classmethod
    def told(
        cls, value_BHO: Tensor, *, offset: Tensor | float, scale: Tensor | float
    ) -> "MixtureHead":
        """From `outputs` numbers per row; z = offset + scale (what the network speaks of)."""
        size = (value_BHO.shape[-1] // COMPONENTS - 1) // 2
        each_BKHO = value_BHO.unflatten(-1, (COMPONENTS, -1)).transpose(1, 2)
        mean, spread, logit = each_BKHO.split([size, size, 1], -1)
        if isinstance(offset, Tensor) and isinstance(scale, Tensor):
            offset, scale = offset[:, None], scale[:, None]
        std = SMALLEST_STD + scale * functional.softplus(spread)
        return cls(logit.mean((-2, -1)), offset + scale * mean, std)

    def loss(self, z_BHA: Tensor, *, kept_BH1: Tensor | None = None) -> Tensor:
        """Mean of -log p(z) per number, in nats, nearly; rows that are not kept have p = 1.

        By the likelihood alone a component that begins nearest to all takes every example, gains
        weight, and is the only one in the end (2 of 6 trainings of `bench learn modes`). So all of
        them learn a small share of each example, weights included.
        """
        off = (z_BHA[:, None] - self.mean_BKHA) / self.std_BKHA
        log_BKHA = -off.square() / 2 - self.std_BKHA.log() - math.log(2 * math.pi) / 2
        if kept_BH1 is not None:
            log_BKHA = torch.where(kept_BH1[:, None], log_BKHA, 0.0)
        log_BK = log_BKHA.sum((-2, -1)) + self.logit_BK.log_softmax(-1)
        log_B = (1 - SHARED) * log_BK.logsumexp(-1) + SHARED * log_BK.mean(-1)
        return -log_B.mean() / z_BHA[0].numel()

    def draw(self, generator: Generator) -> Tensor:
        """(B, H, A): the mean of a component drawn by its weight.

        Its spread is left out, as in BC-GMM's "low-noise evaluation": numbers are independent
        within a component, and rows that shake independently are no motion. Its weight is the one
        that was learnt less the share of those that explain nothing.
        """
        share_BK = (self.logit_BK.softmax(-1) - SHARED / COMPONENTS).clamp(min=1e-9)
        k_B1 = torch.multinomial(share_BK, 1, generator=generator)
        return self.mean_BKHA[torch.arange(len(k_B1)), k_B1[:, 0]]
