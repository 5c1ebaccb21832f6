"""What training does to camera images so that the policy does not lean on exact pixels.

It happens on the device that the images are on, with random numbers drawn on the CPU: the same on
any device. Legend: B batch, T frames, HWC image. Every frame of one example gets the same change.
"""

import torch
from torch import Generator, Tensor

from policy.data.share import WHOLE, Share


def random_shift(
    image_BTHWC: Tensor, *, up_to_px: int, generator: Generator, share: Share = WHOLE
) -> Tensor:
    """Each example moved by whole pixels, up to `up_to_px` both ways; the border repeats."""
    batch, frames, height, width, channels = image_BTHWC.shape
    device, most = image_BTHWC.device, 2 * up_to_px + 1
    start_B2 = share.of(lambda n: torch.randint(0, most, (n, 2), generator=generator), batch)
    down_B1, across_B1 = (start_B2 - up_to_px).to(device).split(1, -1)
    row_BH = (torch.arange(height, device=device) + down_B1).clamp(0, height - 1)
    column_BW = (torch.arange(width, device=device) + across_B1).clamp(0, width - 1)
    frame_BT = torch.arange(batch * frames, device=device).view(batch, frames)
    line_BTH = frame_BT[..., None] * height + row_BH[:, None]
    pixel_BTHW = line_BTH[..., None] * width + column_BW[:, None, None]
    taken = image_BTHWC.reshape(-1, channels).index_select(0, pixel_BTHW.flatten())
    return taken.view(image_BTHWC.shape)


def colour_jitter(
    image_BTHWC: Tensor, *, strength: float, generator: Generator, share: Share = WHOLE
) -> Tensor:
    """uint8 to float in about [0, 1], with random gain per colour and random brightness."""
    batch, _, _, width, _ = image_BTHWC.shape
    gain = 1 + strength * _uniform(batch, 3, generator, share).to(image_BTHWC.device)
    offset = strength * _uniform(batch, 1, generator, share).to(image_BTHWC.device)
    # Whole rows at once: three colours alone make too short a loop.
    row_gain = (gain / 255).repeat(1, 1, 1, width)
    changed = torch.addcmul(offset, image_BTHWC.flatten(3).float(), row_gain)
    return changed.view(image_BTHWC.shape)


def _uniform(batch: int, channels: int, generator: Generator, share: Share) -> Tensor:
    """(B, 1, 1, channels) in [-1, 1)."""
    return 2 * share.of(lambda n: torch.rand(n, 1, 1, channels, generator=generator), batch) - 1
