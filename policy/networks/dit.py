"""Transformer over the rows of a chunk: each row is a token, and looks at what was observed.

Legend: B batch, H rows, I numbers of an input row, A of an action, C channels, N observation
tokens, G attention heads, M modulation numbers.
Peebles and Xie 2023, "Scalable diffusion models with transformers" (DiT, adaLN-zero); Chi et al.
2023, "Diffusion Policy" (cross-attention to the observation).

    rows ─▶ stem + position ─▶ block ─▶ … ─▶ block ─▶ norm, modulated ─▶ velocity
                                 ▲ ▲                     ▲
    observation tokens ──────────┘ └── modulation ───────┘
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.networks.modulation import Film, Gate, start_at_zero

BLOCK_MODULATION = 6  # numbers per channel: gain, offset and gate, of attention and of the MLP
MLP_RATIO = 4


class DiT(nn.Module):
    """A modulation of zeros makes every block the identity (adaLN-zero), and training starts there:
    the layers that make the modulation begin at zero (`PolicyNetwork`).
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        heads: int,
        horizon: int,
        input_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        depth, width = len(widths), widths[0]
        per_block = BLOCK_MODULATION * width
        self.modulation = depth * per_block + 2 * width
        self.token_size = width
        self.stem = nn.Linear(input_size, width)
        self.position_HC = nn.Parameter(0.02 * torch.randn(horizon, width))
        self.blocks = nn.ModuleList(
            Block(width, heads=heads, start=i * per_block) for i in range(depth)
        )
        self.norm = _norm(width)
        self.film = Film(width, start=depth * per_block)
        self.out = nn.Linear(width, action_size)

    def forward(self, x_BHI: Tensor, film_BM: Tensor, token_BNC: Tensor) -> Tensor:
        x = self.stem(x_BHI) + self.position_HC
        for block in self.blocks:
            x = block(x, film_BM, token_BNC)
        return self.out(self.film(self.norm(x), film_BM))


class Block(nn.Module):
    """Rows look at each other, then at the observation, then each thinks by itself."""

    def __init__(self, width: int, *, heads: int, start: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.mix_film = Film(width, start=start)
        self.mix = Attention(width, heads=heads)
        self.mix_gate = Gate(width, start=start + 2 * width)
        self.look = Attention(width, heads=heads)
        start_at_zero(self.look.out)  # not gated
        self.think_film = Film(width, start=start + 3 * width)
        self.think = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(MLP_RATIO * width, width),
        )
        self.think_gate = Gate(width, start=start + 5 * width)

    def forward(self, x_BHC: Tensor, film_BM: Tensor, token_BNC: Tensor) -> Tensor:
        row = self.mix_film(self.norm(x_BHC), film_BM)
        x = self.mix_gate(x_BHC, self.mix(row, row), film_BM)
        x = x + self.look(self.norm(x), token_BNC)
        row = self.think_film(self.norm(x), film_BM)
        return self.think_gate(x, self.think(row), film_BM)


class Attention(nn.Module):
    """What each row takes from the tokens that fit its question, over several heads."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, row_BHC: Tensor, token_BNC: Tensor) -> Tensor:
        query, key, value = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, G, H or N, C / G)
            for each in (self.query(row_BHC), *self.key_value(token_BNC).chunk(2, -1))
        )
        # torch's fused attention goes backward seven times slower in bf16 on a processor
        weight = functional.softmax(query @ key.mT / math.sqrt(query.shape[-1]), -1)
        taken = weight @ value
        return self.out(taken.transpose(1, 2).flatten(-2))


class ObservationTokens(nn.Module):
    """One token for what each encoder tells, and one that tells nothing: a row may look away."""

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(size, width) for size in sizes)
        self.nothing_C = nn.Parameter(0.02 * torch.randn(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """(B, N, C) from one (B, E) per encoder; N is one more than they are."""
        told = [layer(part) for layer, part in zip(self.embed, parts, strict=True)]
        return self.norm(torch.stack([*told, self.nothing_C.expand_as(told[0])], 1))


def _norm(width: int) -> nn.LayerNorm:
    """Without gain and offset of its own: the modulation has them."""
    return nn.LayerNorm(width, elementwise_affine=False)
