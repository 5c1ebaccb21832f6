"""What all encoders of images share: how an image is given, how much is told of it, and where.

Legend: B batch, K scores, M places.
"""

from torch import Tensor

IMAGE_EMBEDDING = 64

Size = tuple[int, int, int]  # H, W, C


def spatial_softmax(score_BMK: Tensor, position_2M: Tensor) -> Tensor:
    """Where each of K scores is largest, softly, over M places: (B, 2, K).

    Levine et al. 2016, "End-to-end training of deep visuomotor policies".
    """
    return position_2M @ score_BMK.softmax(1)
