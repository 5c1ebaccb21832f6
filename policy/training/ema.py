"""The average of the weights over training, which is what a checkpoint holds."""

import copy

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from policy.networks.network import PolicyNetwork


class Ema:
    """A copy of a network whose weights follow it with decay 1 - (1 + step) ** -power.

    The average grows longer as training goes on (Karras et al. 2024 argue for power schedules).
    """

    def __init__(self, network: PolicyNetwork, *, power: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._power = power

    @torch.no_grad()
    def update(self, network: PolicyNetwork, *, step: int) -> None:
        """After step `step`, counted from 0."""
        share = (1 + step) ** -self._power
        average = get_ema_multi_avg_fn(decay=1 - share)
        average(list(self.network.parameters()), list(network.parameters()), None)
