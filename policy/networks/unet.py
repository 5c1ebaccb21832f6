"""1-D U-Net over the rows of a chunk (Chi et al. 2023, "Diffusion Policy").

Legend: B batch, H rows, I numbers of an input row, C channels, M modulation numbers.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.networks.modulation import Film


class RowConvolution(nn.Module):
    """Convolution along the rows as one matrix product, rows first in memory.

    torch's own conv1d takes a slow path on a processor when the batch is 1.
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.taps = nn.Linear(3 * channels_in, channels_out)

    def forward(self, x_BHC: Tensor) -> Tensor:
        x = functional.pad(x_BHC, (0, 0, 1, 1))
        rows, step = x_BHC.shape[1], self.stride
        taps = [x[:, k : k + rows : step] for k in range(3)]
        return self.taps(torch.cat(taps, -1))


class ResidualBlock(nn.Module):
    """Two convolutions, modulated in between, and a way around them."""

    def __init__(self, channels_in: int, channels: int, *, film_start: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(channels_in)
        self.conv_in = RowConvolution(channels_in, channels)
        self.norm = nn.LayerNorm(channels)
        self.film = Film(channels, start=film_start)
        self.conv = RowConvolution(channels, channels)
        nn.init.zeros_(self.conv.taps.weight)
        same = channels_in == channels
        self.skip = nn.Identity() if same else nn.Linear(channels_in, channels)

    def forward(self, x_BHC: Tensor, film_BM: Tensor) -> Tensor:
        y = self.conv_in(functional.silu(self.norm_in(x_BHC)))
        y = self.conv(functional.silu(self.film(self.norm(y), film_BM)))
        return y + self.skip(x_BHC)


class UNet(nn.Module):
    """1-D U-Net over the rows of a chunk; each level after the first has half the rows.

    rows H   ──block──┬──────────────────────▶ cat ──block──▶ velocity
             H/2      └─down──block──┬──▶ cat ──block──up──┘
             H/4                     └─down──block──block──up──┘
    """

    def __init__(
        self, widths: tuple[int, ...], *, horizon: int, input_size: int, action_size: int
    ) -> None:
        super().__init__()
        self.modulation = 0
        self.stem = nn.Linear(input_size, widths[0])
        self.position_HC = nn.Parameter(0.02 * torch.randn(horizon, widths[0]))
        self.enter = nn.ModuleList(self._block(width, width) for width in widths)
        self.down = nn.ModuleList(
            RowConvolution(a, b, stride=2) for a, b in itertools.pairwise(widths)
        )
        self.middle = self._block(widths[-1], widths[-1])
        self.up = nn.ModuleList(nn.Linear(b, a) for a, b in itertools.pairwise(widths))
        self.leave = nn.ModuleList(self._block(2 * width, width) for width in widths)
        self.norm = nn.LayerNorm(widths[0])
        self.out = nn.Linear(widths[0], action_size)

    def _block(self, channels_in: int, channels: int) -> ResidualBlock:
        block = ResidualBlock(channels_in, channels, film_start=self.modulation)
        self.modulation += 2 * channels
        return block

    def forward(self, x_BHI: Tensor, film_BM: Tensor) -> Tensor:
        x = self.stem(x_BHI) + self.position_HC
        kept = []
        for level, block in enumerate(self.enter):
            x = block(self.down[level - 1](x) if level else x, film_BM)
            kept.append(x)
        x = self.middle(x, film_BM)
        for level in reversed(range(len(kept))):
            x = self.leave[level](torch.cat([x, kept[level]], -1), film_BM)
            if level:
                x = self.up[level - 1](x).repeat_interleave(2, dim=1)
        return self.out(functional.silu(self.norm(x)))
