"""Statistics of a data set in LeRobot's form: per episode first, then joined exactly.

For a vector (T, D): min, max, mean, std of D numbers. For images (T, H, W, 3): per channel, in
[0, 1], nested as (3, 1, 1). `count` is the number of frames behind them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

IMAGES_PER_EPISODE = 32  # spread evenly: enough for a mean colour, and saving stays quick


@dataclass(frozen=True, slots=True)
class Stats:
    """Of one feature, over `count` frames."""

    min: np.ndarray
    max: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    count: int

    def as_lists(self) -> dict[str, list]:
        arrays = {name: getattr(self, name).tolist() for name in ("min", "max", "mean", "std")}
        return arrays | {"count": [self.count]}


def stats_from_lists(lists: dict[str, list]) -> Stats:
    """The inverse of `Stats.as_lists`."""
    arrays = {name: np.asarray(lists[name], np.float64) for name in ("min", "max", "mean", "std")}
    return Stats(**arrays, count=int(lists["count"][0]))


def vector_stats(values_TD: np.ndarray) -> Stats:
    """Over time; numbers per row of any kind (bool, int, float)."""
    x_TD = np.asarray(values_TD, np.float64).reshape(len(values_TD), -1)
    return Stats(x_TD.min(0), x_TD.max(0), x_TD.mean(0), x_TD.std(0), len(x_TD))


def image_stats(images_THWC: np.ndarray) -> Stats:
    """Over time, height and width, of evenly spread frames."""
    stride = -(-len(images_THWC) // IMAGES_PER_EPISODE)
    chosen = images_THWC[::stride]
    levels = np.arange(256) / 255.0
    histogram_CL = np.stack([np.bincount(chosen[..., c].ravel(), minlength=256) for c in range(3)])
    present_CL = histogram_CL > 0
    weight_CL = histogram_CL / histogram_CL.sum(1, keepdims=True)
    mean_C = weight_CL @ levels
    std_C = np.sqrt(np.maximum(weight_CL @ levels**2 - mean_C**2, 0.0))
    min_C = levels[present_CL.argmax(1)]
    max_C = levels[255 - present_CL[:, ::-1].argmax(1)]
    nested = (x.reshape(3, 1, 1) for x in (min_C, max_C, mean_C, std_C))
    return Stats(*nested, count=len(chosen))


def join(parts: Iterable[Stats]) -> Stats:
    """The statistics of all frames together, from those of the parts."""
    many = list(parts)
    count_P = np.array([part.count for part in many], np.float64)
    weight = (count_P / count_P.sum()).reshape(-1, *[1] * many[0].mean.ndim)
    mean_P = np.stack([part.mean for part in many])
    square_P = np.stack([part.std for part in many]) ** 2 + mean_P**2
    mean = (weight * mean_P).sum(0)
    return Stats(
        min=np.stack([part.min for part in many]).min(0),
        max=np.stack([part.max for part in many]).max(0),
        mean=mean,
        std=np.sqrt(np.maximum((weight * square_P).sum(0) - mean**2, 0.0)),
        count=int(count_P.sum()),
    )
