"""What training does to camera images so that the policy does not lean on exact pixels.

Legend: B batch, T frames, HWC image. Every frame of one example gets the same change.
"""

import torch
from torch import Generator, Tensor


def random_shift(image_BTHWC: Tensor, *, up_to_px: int, generator: Generator) -> Tensor:
    """Each example moved by whole pixels, up to `up_to_px` both ways; the border repeats."""
    batch, _, height, width, _ = image_BTHWC.shape
    row = torch.arange(-up_to_px, height + up_to_px).clamp_(0, height - 1)
    column = torch.arange(-up_to_px, width + up_to_px).clamp_(0, width - 1)
    start_B2 = torch.randint(0, 2 * up_to_px + 1, (batch, 2), generator=generator)
    shifted = torch.empty_like(image_BTHWC)
    for example, (down, right) in enumerate(start_B2.tolist()):
        rows = image_BTHWC[example].index_select(1, row[down : down + height])
        shifted[example] = rows.index_select(2, column[right : right + width])
    return shifted


def colour_jitter(image_BTHWC: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """uint8 to float in about [0, 1], with random gain per colour and random brightness."""
    batch = image_BTHWC.shape[0]
    gain = 1 + strength * _uniform(batch, 3, generator=generator).to(image_BTHWC.device)
    offset = strength * _uniform(batch, 1, generator=generator).to(image_BTHWC.device)
    return torch.addcmul(offset, image_BTHWC.float(), gain / 255)


def _uniform(batch: int, channels: int, *, generator: Generator) -> Tensor:
    """(B, 1, 1, 1, channels) in [-1, 1)."""
    return 2 * torch.rand(batch, 1, 1, 1, channels, generator=generator) - 1
