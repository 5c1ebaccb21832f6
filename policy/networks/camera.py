"""The light encoder of a camera: what there is and where, in a millisecond on a processor.

Legend: B batch, T frames, HWC image, N cells, Q quarters (4), C channels, K points, M places,
E embedding.
"""

import torch
from torch import Tensor, nn

from policy.networks.cells import Cells, quarter_positions
from policy.networks.images import IMAGE_EMBEDDING, Size, spatial_softmax

POINTS = 16


class CameraEncoder(nn.Module):
    """Where each of 16 features is, to a quarter and finer (spatial softmax), and what there is."""

    position_2M: Tensor  # row and column of every quarter, M = N Q of them, in [-1, 1]

    def __init__(self, *, frames: int, width: int, size: Size) -> None:
        super().__init__()
        self.cells = Cells(frames=frames, width=width, size=size, reach=2)
        self.near = nn.Linear(width, POINTS, bias=False)
        self.around = nn.Linear(2 * width, POINTS, bias=False)
        self.out = nn.Linear(2 * POINTS + 2 * width, IMAGE_EMBEDDING)
        self.register_buffer("position_2M", quarter_positions(size), persistent=False)

    def forward(self, image_BTHWC: Tensor) -> Tensor:
        """(B, E) from images scaled to [0, 1]."""
        quarter_BNQC, cell_BNC = self.cells(image_BTHWC)
        score_BNQK = self.near(quarter_BNQC) + self.around(cell_BNC)[:, :, None]
        place_B2K = spatial_softmax(score_BNQK.flatten(1, 2), self.position_2M)
        return self.out(torch.cat([place_B2K.flatten(1), cell_BNC.mean(1)], -1))
