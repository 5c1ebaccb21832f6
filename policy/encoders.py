"""Small networks that turn images into embeddings.

Legend: B batch, T frames, HWC image, C channels, E embedding. Frames of one stream are stacked as
channels, so that what moved shows up in the first convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_EMBEDDING = 64


class CameraEncoder(nn.Module):
    """Strided convolutions, then where each feature is (spatial softmax) and how much there is."""

    def __init__(self, *, frames: int, width: int, points: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * frames, width, 7, stride=4, padding=3)
        self.stem_norm = nn.GroupNorm(8, width)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down_norm = nn.GroupNorm(8, 2 * width)
        self.mix = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.mix_norm = nn.GroupNorm(8, 2 * width)
        self.points = nn.Conv2d(2 * width, points, 1)
        self.out = nn.Linear(2 * points + 2 * width, IMAGE_EMBEDDING)

    def forward(self, image_BTHWC: Tensor) -> Tensor:
        """(B, E) from images scaled to [0, 1]."""
        x = _stack_frames(image_BTHWC)
        x = functional.silu(self.stem_norm(self.stem(x)))
        x = functional.silu(self.down_norm(self.down(x)))
        x = x + functional.silu(self.mix_norm(self.mix(x)))
        return self.out(torch.cat([spatial_softmax(self.points(x)), x.mean((2, 3))], -1))


class TactileEncoder(nn.Module):
    """Convolutions on the difference to the untouched gel: its image travels with the weights."""

    reference_HWC: Tensor  # [0, 1]
    gain: Tensor  # makes the difference of unit size

    def __init__(self, *, frames: int, width: int, size: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("reference_HWC", torch.zeros(size))
        self.register_buffer("gain", torch.ones(()))
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3 * frames, width, 5, stride=2, padding=2),
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            ]
        )
        cells = _halved(size[0], times=3) * _halved(size[1], times=3)
        self.out = nn.Linear(2 * width * cells, IMAGE_EMBEDDING)

    def calibrate(self, reference_HWC: Tensor, typical_BTHWC: Tensor) -> None:
        """Sets the untouched image, and the gain from images of typical use; both in [0, 1]."""
        self.reference_HWC.copy_(reference_HWC)
        touched = typical_BTHWC.to(self.reference_HWC.device)
        deviation = (touched - self.reference_HWC).square().mean().sqrt()
        self.gain.copy_(1 / deviation.clamp_min(1 / 255))

    def forward(self, image_BTHWC: Tensor) -> Tensor:
        """(B, E) from images scaled to [0, 1]."""
        x = _stack_frames((image_BTHWC - self.reference_HWC) * self.gain)
        for convolution in self.convolutions:
            x = functional.silu(convolution(x))
        return self.out(x.flatten(1))


def spatial_softmax(score_BCHW: Tensor) -> Tensor:
    """Where each channel is largest, softly: (B, 2C), rows then columns, in [-1, 1].

    Levine et al. 2016, "End-to-end training of deep visuomotor policies".
    """
    weight = score_BCHW.flatten(2).softmax(-1).view_as(score_BCHW)
    height, width = score_BCHW.shape[2:]
    row = torch.linspace(-1, 1, height, dtype=weight.dtype, device=weight.device)
    column = torch.linspace(-1, 1, width, dtype=weight.dtype, device=weight.device)
    return torch.cat([weight.sum(3) @ row, weight.sum(2) @ column], -1)


def _stack_frames(image_BTHWC: Tensor) -> Tensor:
    """(B, TC, H, W), channels last in memory: the layout the processor's convolutions like."""
    batch, frames, height, width, channels = image_BTHWC.shape
    stacked = image_BTHWC.permute(0, 1, 4, 2, 3).reshape(batch, frames * channels, height, width)
    return stacked.contiguous(memory_format=torch.channels_last)


def _halved(size: int, *, times: int) -> int:
    for _ in range(times):
        size = (size + 1) // 2
    return size
