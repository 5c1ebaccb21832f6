"""DDPM's numbered noise levels seen as a probability path, so that everything else works on it.

    level k       K-1   K-2   ...    1     0    (none)
    time t         0    1/K   ...        1-1/K    1        t = 1 - (k + 1) / K
    √ᾱ_k         least                   most     1        α at that time

Between levels log α is linear, as in DPM-Solver's continuous view (Lu et al. 2022, app. D.3).
"""

import math
from typing import Literal

import torch
from torch import Tensor

from policy.generative.paths import d_preserving_beta, preserving_beta

Schedule = Literal["squaredcos_cap_v2", "linear"]


def alphas_cumprod(schedule: Schedule, *, levels: int = 100) -> Tensor:
    """ᾱ_k = Π (1 - β_i), i <= k, float64 of shape (levels,). Here β are DDPM's variances.

    squaredcos_cap_v2: ᾱ follows cos²(π/2 (s + 0.008) / 1.008), β <= 0.999 (Nichol, Dhariwal 2021);
    linear: β from 1e-4 to 0.02, meant for 1000 levels (Ho et al. 2020).
    """
    if levels < 1:
        raise ValueError(f"levels = {levels}, allowed 1 or more")
    if schedule == "squaredcos_cap_v2":
        s = torch.linspace(0, 1, levels + 1, dtype=torch.float64)
        kept = torch.cos(math.pi / 2 * (s + 0.008) / 1.008).square()
        variance = (1 - kept[1:] / kept[:-1]).clamp_max(0.999)
    elif schedule == "linear":
        variance = torch.linspace(1e-4, 0.02, levels, dtype=torch.float64)
    else:
        raise ValueError(f"schedule {schedule!r}, allowed squaredcos_cap_v2, linear")
    return (1 - variance).cumprod(0)


class DiscreteTime:
    """The path through K given noise levels, and from the least of them to the data.

    path = DiscreteTime(alphas_cumprod("squaredcos_cap_v2"))
    path.time(99)    # 0.0
    path.level(0.0)  # 99
    """

    def __init__(self, alphas_cumprod_K: Tensor) -> None:
        log_alpha = alphas_cumprod_K.double().log() / 2
        if not (torch.diff(log_alpha) < 0).all() or not log_alpha[0] < 0:
            raise ValueError("alphas_cumprod must fall from below 1, level by level")
        self.levels = len(log_alpha)
        self._log_alpha = torch.cat([log_alpha.flip(0), log_alpha.new_zeros(1)])

    def time(self, level: int) -> float:
        """When the path is at this level; level -1 is the data."""
        return (self.levels - 1 - level) / self.levels

    def level(self, t: float) -> int:
        """The level nearest to t, which a network trained on numbered levels is told."""
        return self.levels - 1 - round(t * self.levels)

    def alpha(self, t: Tensor) -> Tensor:
        return self._at(t)[0].exp()

    def beta(self, t: Tensor) -> Tensor:
        return preserving_beta(self._at(t)[0])

    def d_alpha(self, t: Tensor) -> Tensor:
        log_alpha, slope = self._at(t)
        return slope * log_alpha.exp()

    def d_beta(self, t: Tensor) -> Tensor:
        return d_preserving_beta(*self._at(t))

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """log α and its slope; at a level the slope is that of the piece that follows."""
        log_alpha = self._log_alpha.to(t)
        position = t * self.levels
        piece = (position + 1e-4).floor().clamp(0, self.levels - 1)  # rounding must not step back
        index = piece.long()
        rise = log_alpha[index + 1] - log_alpha[index]
        return log_alpha[index] + (position - piece) * rise, rise * self.levels
