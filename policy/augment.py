"""What training does to camera images so that the policy does not lean on exact pixels.

Legend: B batch, T frames, HWC image. Every frame of one example gets the same change.
"""

import torch
from torch import Generator, Tensor


def random_shift(image_BTHWC: Tensor, *, up_to_px: int, generator: Generator) -> Tensor:
    """Each example moved by whole pixels, up to `up_to_px` both ways; the border repeats."""
    batch, _, height, width, _ = image_BTHWC.shape
    shift_B2 = torch.randint(-up_to_px, up_to_px + 1, (batch, 2), generator=generator)
    row_BH = (torch.arange(height) + shift_B2[:, :1]).clamp_(0, height - 1)
    column_BW = (torch.arange(width) + shift_B2[:, 1:]).clamp_(0, width - 1)
    example_B = torch.arange(batch)
    return torch.stack(
        [
            frame[example_B[:, None, None], row_BH[:, :, None], column_BW[:, None, :]]
            for frame in image_BTHWC.unbind(1)
        ],
        1,
    )


def colour_jitter(image_BTHWC: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """Random gain per colour and random brightness, up to ± `strength`; images in [0, 1]."""
    batch = image_BTHWC.shape[0]
    gain = 1 + strength * _uniform(batch, 3, generator=generator).to(image_BTHWC)
    offset = strength * _uniform(batch, 1, generator=generator).to(image_BTHWC)
    return (image_BTHWC * gain + offset).clamp_(0, 1)


def _uniform(batch: int, channels: int, *, generator: Generator) -> Tensor:
    """(B, 1, 1, 1, channels) in [-1, 1)."""
    return 2 * torch.rand(batch, 1, 1, 1, channels, generator=generator) - 1
