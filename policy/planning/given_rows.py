"""First rows of a chunk that are known: the others are drawn so that they continue them.

(Training-time real-time chunking, arXiv 2512.05964.) It takes a network that was trained with
`policy.given_rows` > 0.

Legend: B batch, H rows, A numbers of an action.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from policy.generative.samplers import Field


@dataclass(frozen=True)
class GivenRows:
    """Which rows are given, and what the network is shown there."""

    mask_BH1: Tensor
    shown_BHA: Tensor

    def in_place(self, x_BHA: Tensor) -> Tensor:
        return torch.where(self.mask_BH1, self.shown_BHA, x_BHA)

    def row_time(self, t: float) -> Tensor:
        """When each row is, (B, H, 1): at t, but at 1 if it is given."""
        return torch.where(self.mask_BH1, 1.0, torch.full_like(self.shown_BHA[..., :1], t))


def continuing(
    network: Field, given: GivenRows, *, tells: Literal["velocity", "data"] = "velocity"
) -> Field:
    """The field of a network that is told the time of each row (`GivenRows.row_time`).

    The given rows are clean at their own time 1 and lie still (`GivenRows.in_place` puts them
    there); the others are carried from noise as usual.
    """
    still = given.shown_BHA if tells == "data" else 0.0

    def field(x: Tensor, t: float) -> Tensor:
        return torch.where(given.mask_BH1, still, network(given.in_place(x), t))

    return field
