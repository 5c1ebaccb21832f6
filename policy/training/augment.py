"""What training does to camera images so that the policy does not lean on exact pixels.

Legend: B batch, T frames, HWC image. Every frame of one example gets the same change.
"""

import numpy as np
import torch
from torch import Generator, Tensor


def random_shift(image_BTHWC: Tensor, *, up_to_px: int, generator: Generator) -> Tensor:
    """Each example moved by whole pixels, up to `up_to_px` both ways; the border repeats."""
    batch, _, height, width, _ = image_BTHWC.shape
    start_B2 = torch.randint(0, 2 * up_to_px + 1, (batch, 2), generator=generator)
    border = (up_to_px, up_to_px)
    padded = np.pad(image_BTHWC.numpy(), ((0, 0), (0, 0), border, border, (0, 0)), mode="edge")
    shifted = [
        example[:, down : down + height, across : across + width]
        for example, (down, across) in zip(padded, start_B2.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(shifted))  # NumPy copies bytes faster than torch


def colour_jitter(image_BTHWC: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """uint8 to float in about [0, 1], with random gain per colour and random brightness."""
    batch, _, _, width, _ = image_BTHWC.shape
    gain = 1 + strength * _uniform(batch, 3, generator=generator).to(image_BTHWC.device)
    offset = strength * _uniform(batch, 1, generator=generator).to(image_BTHWC.device)
    # Whole rows at once: three colours alone make too short a loop.
    row_gain = (gain / 255).repeat(1, 1, 1, width)
    changed = torch.addcmul(offset, image_BTHWC.flatten(3).float(), row_gain)
    return changed.view(image_BTHWC.shape)


def _uniform(batch: int, channels: int, *, generator: Generator) -> Tensor:
    """(B, 1, 1, channels) in [-1, 1)."""
    return 2 * torch.rand(batch, 1, 1, channels, generator=generator) - 1
