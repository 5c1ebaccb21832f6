"""The encoder of a gel-like tactile sensor.

Legend: B batch, T frames, HWC image, N cells, C channels, E embedding.
"""

import torch
from torch import Tensor, nn

from policy.networks.cells import CELL, Cells
from policy.networks.images import IMAGE_EMBEDDING, Size


class TactileEncoder(nn.Module):
    """Looks at the difference to the untouched gel: its image travels with the weights."""

    reference_HWC: Tensor  # [0, 1]
    gain: Tensor  # makes the difference of unit size

    def __init__(self, *, frames: int, width: int, size: Size) -> None:
        super().__init__()
        self.register_buffer("reference_HWC", torch.zeros(size))
        self.register_buffer("gain", torch.ones(()))
        self.cells = Cells(frames=frames, width=width, size=size, reach=1)
        cells = (size[0] // CELL) * (size[1] // CELL)
        self.out = nn.Linear(2 * width * cells, IMAGE_EMBEDDING)

    def calibrate(self, reference_HWC: Tensor, typical_BTHWC: Tensor) -> None:
        """Sets the untouched image, and the gain from images of typical use; both in [0, 1]."""
        self.reference_HWC.copy_(reference_HWC)
        touched = typical_BTHWC.to(self.reference_HWC.device)
        deviation = (touched - self.reference_HWC).square().mean().sqrt()
        self.gain.copy_(1 / deviation.clamp_min(1 / 255))

    def forward(self, image_BTHWC: Tensor) -> Tensor:
        """(B, E) from images scaled to [0, 1]."""
        _, cell_BNC = self.cells((image_BTHWC - self.reference_HWC) * self.gain)
        return self.out(cell_BNC.flatten(1))
