"""ResNet-18 with group norm and spatial softmax: the encoder of cameras that the field uses most.

He et al. 2016, "Deep residual learning for image recognition"; Wu and He 2018, "Group
normalization"; Chi et al. 2023, "Diffusion Policy". Built here, since torchvision's wheel does not
load beside a CPU build of torch. Weights start at random, as in Diffusion Policy.

Legend: B batch, T frames, HWC image, C channels, K points, M places of the last map, E embedding.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.networks.images import IMAGE_EMBEDDING, Size, spatial_softmax

WIDTHS = (64, 128, 256, 512)  # of the four stages, two blocks each
STRIDE_PX = 32  # from one place of the last map to the next
GROUP = 16  # channels that are normalised together
POINTS = 32


class ResNetEncoder(nn.Module):
    """Where each of 32 features is, to about the 32 px of a place of the last map and finer."""

    position_2M: Tensor  # row and column of every place, in [-1, 1]

    def __init__(self, *, frames: int, size: Size) -> None:
        super().__init__()
        self.body = resnet18(frames * size[2])
        self.score = nn.Linear(WIDTHS[-1], POINTS, bias=False)  # a softmax sees no offset
        self.out = nn.Linear(2 * POINTS, IMAGE_EMBEDDING)
        self.register_buffer("position_2M", _places(size), persistent=False)

    def forward(self, image_BTHWC: Tensor) -> Tensor:
        """(B, E) from images scaled to [0, 1]."""
        image_BCHW = image_BTHWC.permute(0, 1, 4, 2, 3).flatten(1, 2)
        feature_BMC = self.body(2 * image_BCHW - 1).flatten(2).transpose(1, 2)
        place_B2K = spatial_softmax(self.score(feature_BMC), self.position_2M)
        return self.out(place_B2K.flatten(1))


def resnet18(channels_in: int) -> nn.Sequential:
    """All but the classifying head: 11,176,512 parameters for 3 channels; (B, 512, H/32, W/32)."""
    layers = [
        nn.Conv2d(channels_in, WIDTHS[0], 7, stride=2, padding=3, bias=False),
        _norm(WIDTHS[0]),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        BasicBlock(WIDTHS[0], WIDTHS[0]),
        BasicBlock(WIDTHS[0], WIDTHS[0]),
    ]
    for before, width in itertools.pairwise(WIDTHS):
        layers += [BasicBlock(before, width, stride=2), BasicBlock(width, width)]
    net = nn.Sequential(*layers)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net


class BasicBlock(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels_in: int, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False),
            _norm(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _norm(channels),
        )
        self.skip = nn.Sequential()
        if stride > 1 or channels_in != channels:
            self.skip = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False), _norm(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.inner(x) + self.skip(x))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // GROUP, channels)


def _places(size: Size) -> Tensor:
    """(2, M), row by row: the middles of as many equal parts as the last map has places."""
    row, column = (_middles(-(-length // STRIDE_PX)) for length in size[:2])
    return torch.stack(torch.meshgrid(row, column, indexing="ij")).flatten(1)


def _middles(parts: int) -> Tensor:
    return (2 * torch.arange(parts) + 1) / parts - 1
