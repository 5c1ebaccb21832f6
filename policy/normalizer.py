"""Affine scaling by recorded statistics, which travel with the checkpoint as `stats.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

SMALLEST_SCALE = 1e-4  # of the unit: below it a number is taken as constant, its noise stays small


@dataclass(frozen=True)
class Normalizer:
    """z = (x - offset) / scale, x first clamped to the range that the demonstrations covered.

    So the network sees no number, and the robot gets no row, that training did not hold.
    All tensors float64, of the shape of one feature vector.
    """

    offset: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def standard(cls, samples: Tensor, *, smallest_scale: float = SMALLEST_SCALE) -> Self:
        """Zero mean and unit standard deviation over the first axis of `samples` (N, ...)."""
        samples = samples.double()
        scale = samples.std(0, correction=0).clamp_min(smallest_scale)
        return cls(samples.mean(0), scale, *_range(samples))

    @classmethod
    def min_max(cls, samples: Tensor) -> Self:
        """To [-1, 1] over all but the last axis of `samples` (N, ..., A); constants to 0."""
        samples = samples.double()
        low, high = _range(samples.flatten(0, -2))
        half = (high - low) / 2
        half = torch.where(half < SMALLEST_SCALE, torch.ones_like(half), half)
        return cls((low + high) / 2, half, low, high)

    def widened(self, share: float) -> Self:
        """The covered range made larger at both ends by `share` of itself."""
        margin = share * (self.high - self.low)
        return replace(self, low=self.low - margin, high=self.high + margin)

    def normalize(self, x: Tensor) -> Tensor:
        """float32, whatever `x` is."""
        return ((x.clamp(self.low, self.high) - self.offset) / self.scale).float()

    def restore(self, z: Tensor) -> Tensor:
        """float64, inside the covered range."""
        return (z.double() * self.scale + self.offset).clamp(self.low, self.high)

    def to(self, device: torch.device) -> Self:
        return type(self)(*(tensor.to(device) for tensor in self._tensors().values()))

    def to_json(self) -> dict[str, list]:
        return {name: tensor.tolist() for name, tensor in self._tensors().items()}

    @classmethod
    def from_json(cls, content: Mapping[str, list]) -> Self:
        """Raises KeyError, TypeError or ValueError on anything but what `to_json` gave."""
        tensors = {
            name: torch.tensor(content[name], dtype=torch.float64)
            for name in ("offset", "scale", "low", "high")
        }
        shapes = {tensor.shape for tensor in tensors.values()}
        if len(shapes) > 1:
            raise ValueError(f"shapes differ: {sorted(map(tuple, shapes))}")
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise ValueError("a number is not finite")
        if not bool((tensors["scale"] > 0).all()):
            raise ValueError("a scale is not positive")
        return cls(**tensors)

    def _tensors(self) -> dict[str, Tensor]:
        return {"offset": self.offset, "scale": self.scale, "low": self.low, "high": self.high}


def _range(samples: Tensor) -> tuple[Tensor, Tensor]:
    return samples.amin(0), samples.amax(0)
