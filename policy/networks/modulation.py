"""How a denoiser is told the time and what was observed: numbers that scale and shift its layers.

Legend: B batch, H rows, C channels, K frequencies, M modulation numbers.
Perez et al. 2018, "FiLM"; Peebles and Xie 2023, "Scalable diffusion models with transformers".

The modulation is linear in time and observation embeddings taken apart: a plan projects its
observation once and tabulates what depends on time only.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

TIME_EMBEDDING = 64


class TimeModulation(nn.Module):
    """Flow time t in [0, 1] to modulation numbers: sines and cosines, one hidden layer."""

    frequency_K: Tensor

    def __init__(self, modulation: int) -> None:
        super().__init__()
        octaves = torch.exp(torch.linspace(0, math.log(100.0), TIME_EMBEDDING // 2))
        self.register_buffer("frequency_K", octaves * math.pi / 2, persistent=False)
        self.hidden = nn.Linear(TIME_EMBEDDING, TIME_EMBEDDING)
        self.out = nn.Linear(TIME_EMBEDDING, modulation)

    def forward(self, t_B: Tensor) -> Tensor:
        angle_BK = t_B.to(self.frequency_K.device)[:, None] * self.frequency_K
        return self.out(
            functional.silu(self.hidden(torch.cat([angle_BK.sin(), angle_BK.cos()], -1)))
        )


class Film(nn.Module):
    """x (1 + a) + b, with a and b read from this block's share of the modulation."""

    def __init__(self, channels: int, *, start: int) -> None:
        super().__init__()
        self.channels = channels
        self.start = start

    def forward(self, x: Tensor, film_BM: Tensor) -> Tensor:
        own = film_BM[:, self.start : self.start + 2 * self.channels]
        if x.ndim == 3:
            own = own[:, None]
        gain, offset = own.chunk(2, -1)
        return torch.addcmul(offset, x, 1 + gain)


class Gate(nn.Module):
    """x + a y, with a read from this block's share of the modulation."""

    def __init__(self, channels: int, *, start: int) -> None:
        super().__init__()
        self.share = slice(start, start + channels)

    def forward(self, x_BHC: Tensor, y_BHC: Tensor, film_BM: Tensor) -> Tensor:
        return torch.addcmul(x_BHC, film_BM[:, None, self.share], y_BHC)


def start_at_zero(*layers: nn.Linear) -> None:
    """They say nothing until they have learnt to."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
