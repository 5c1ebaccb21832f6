"""What is seen in each part of an image, cheaply on a processor: the eye of the light encoders.

An image is cut into cells of 8 x 8 pixels, and each cell into its 4 quarters of 4 x 4:

    ┌───┬───┐   a quarter is what is seen near by, and says where to a few pixels
    │ 0 │ 1 │
    ├───┼───┤   a cell joins its quarters and looks at the cells around it:
    │ 2 │ 3 │   what is seen
    └───┴───┘

The quarters of one cell lie side by side in memory, so that after the one copy that cuts the
image every layer but one is a plain matrix product: on a processor that is most of the speed.

Legend: B batch, T frames, HWC image, N cells, Q quarters (4), P numbers of a quarter, C channels.
Frames of one stream are stacked as channels, so that what moved shows up in the first layer.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.networks.images import Size
from robot_io.errors import FeelforwardError

QUARTER = 4  # px
CELL = 2 * QUARTER  # px


class Cells(nn.Module):
    """Features of every quarter, and of every cell with the cells up to `reach` away."""

    def __init__(self, *, frames: int, width: int, size: Size, reach: int) -> None:
        super().__init__()
        _check_size(size)
        self.grid = (size[0] // CELL, size[1] // CELL)
        self.quarter = nn.Linear(frames * size[2] * QUARTER**2, width)
        self.join = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(2 * width)
        self.look = nn.Conv2d(
            2 * width, 2 * width, 2 * reach + 1, padding=reach, groups=2 * width, bias=False
        )
        self.look_norm = nn.LayerNorm(2 * width)
        self.mix = nn.Linear(2 * width, 2 * width)

    def forward(self, image_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Quarters (B, N, Q, C) and cells (B, N, 2C)."""
        quarter_BNQC = functional.relu(self.quarter(cut(image_BTHWC)))
        own_BNC = functional.relu(self.norm(self.join(quarter_BNQC.flatten(2))))
        image_BHWC = own_BNC.unflatten(1, self.grid)
        around_BHWC = self.look(image_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        seen_BNC = functional.relu(self.mix(self.look_norm(around_BHWC.flatten(1, 2))))
        return quarter_BNQC, own_BNC + seen_BNC


def cut(image_BTHWC: Tensor) -> Tensor:
    """(B, N, Q, P): cells row by row, quarters row by row in their cell, their pixels."""
    batch, frames, height, width, channels = image_BTHWC.shape
    rows, columns = height // CELL, width // CELL
    x = image_BTHWC.reshape(
        batch, frames, rows, 2, QUARTER, columns, 2, QUARTER, channels
    )  # frame, cell row, quarter row, pixel row, cell column, quarter column, pixel column, colour
    x = x.permute(0, 2, 5, 3, 6, 1, 4, 7, 8)
    return x.reshape(batch, rows * columns, 4, frames * QUARTER**2 * channels)


def quarter_positions(size: Size) -> Tensor:
    """Row and column of every quarter, in [-1, 1], in the order of `cut`: (2, M)."""
    row, column = (torch.linspace(-1, 1, length // QUARTER) for length in size[:2])
    row = row.view(-1, 1, 2, 1).expand(-1, size[1] // CELL, 2, 2)
    column = column.view(1, -1, 1, 2).expand(size[0] // CELL, -1, 2, 2)
    return torch.stack([row.flatten(), column.flatten()])


def _check_size(size: Size) -> None:
    if size[0] % CELL or size[1] % CELL:
        raise FeelforwardError(
            f"Images of {size[0]} x {size[1]} px, but height and width must be multiples of "
            f"{CELL} px: crop them or scale them at the camera."
        )
