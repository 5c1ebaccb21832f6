"""The light encoder of a camera: what there is and where, in a millisecond on a processor.

Legend: B batch, T frames, HWC image, N cells, Q quarters (4), C channels, K points, M places,
E embedding.
"""

import torch
from torch import Tensor, nn

from policy.networks.cells import Cells, quarter_positions
from policy.networks.images import IMAGE_EMBEDDING, Size, spatial_softmax

POINTS = 16
SHARPNESS, PLACE_GAIN = 4.0, 4.0  # of the softmax; of its places, beside what there is


class CameraEncoder(nn.Module):
    """Where each of 16 features is, to a quarter and finer, and what there is."""

    def __init__(self, *, frames: int, width: int, size: Size) -> None:
        super().__init__()
        self.cells = Cells(frames=frames, width=width, size=size, reach=2)
        self.places = Places(width=width, size=size)
        self.out = nn.Linear(2 * POINTS + 2 * width, IMAGE_EMBEDDING)

    def forward(self, image_BTHWC: Tensor) -> Tensor:
        """(B, E) from images scaled to [0, 1]."""
        quarter_BNQC, cell_BNC = self.cells(image_BTHWC)
        place_B2K = self.places(quarter_BNQC, cell_BNC)
        return self.out(torch.cat([place_B2K.flatten(1), cell_BNC.mean(1)], -1))


class Places(nn.Module):
    """Where each of 16 features is: a spatial softmax over quarters, by them and by their cells.

    Fresh scores are small, so a softmax over hundreds of quarters is flat: each feature is in the
    middle of the image, and where anything is, is hardly learnt. With `SHARPNESS` and `PLACE_GAIN`
    it is learnt from the start.
    """

    position_2M: Tensor  # row and column of every quarter, M = N Q of them, in [-1, 1]

    def __init__(self, *, width: int, size: Size) -> None:
        super().__init__()
        self.near = nn.Linear(width, POINTS, bias=False)
        self.around = nn.Linear(2 * width, POINTS, bias=False)
        self.register_buffer("position_2M", quarter_positions(size), persistent=False)

    def forward(self, quarter_BNQC: Tensor, cell_BNC: Tensor) -> Tensor:
        """(B, 2, K), in [-PLACE_GAIN, PLACE_GAIN]."""
        score_BNQK = self.near(quarter_BNQC) + self.around(cell_BNC)[:, :, None]
        score_BMK = SHARPNESS * score_BNQK.flatten(1, 2)
        return PLACE_GAIN * spatial_softmax(score_BMK, self.position_2M)
