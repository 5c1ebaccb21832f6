"""Targets with closed forms, all the paths, and the distance between sets of samples.

Legend: B samples, D dimensions, K components, P projections, R parts.
"""

import functools
from collections.abc import Callable
from itertools import combinations

import torch
from torch import Generator, Tensor

from policy.generative.discrete_time import DiscreteTime, alphas_cumprod
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import (
    CondOT,
    Polynomial,
    ProbabilityPath,
    Time,
    VarianceExploding,
    VariancePreservingCosine,
    VariancePreservingLinear,
)
from policy.generative.predictions import Prediction

PATHS: dict[str, ProbabilityPath] = {
    "condot": CondOT(),
    "polynomial": Polynomial(2.0),
    "cosine": VariancePreservingCosine(),
    "linear": VariancePreservingLinear(),
    "exploding": VarianceExploding(first=40.0),
    "ddpm": DiscreteTime(alphas_cumprod("squaredcos_cap_v2")),
}


FRESH = 6  # sets of samples that others are held against


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def gaussian(dimensions: int) -> GaussianMixture:
    """One Gaussian, a different mean and spread along each axis."""
    mean_1D = torch.linspace(-1, 1, dimensions, dtype=torch.float64)[None]
    std_1D = torch.linspace(0.3, 0.6, dimensions, dtype=torch.float64)[None]
    return GaussianMixture(torch.ones(1, dtype=torch.float64), mean_1D, std_1D)


def mixture(dimensions: int) -> GaussianMixture:
    """Three Gaussians well apart, of unequal weight and spread."""
    generator = seeded(dimensions)
    mean_KD = torch.randn(3, dimensions, generator=generator, dtype=torch.float64)
    std_KD = 0.1 + 0.2 * torch.rand(3, dimensions, generator=generator, dtype=torch.float64)
    return GaussianMixture(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), mean_KD, std_KD)


def bimodal() -> GaussianMixture:
    """Two Gaussians on a line that overlap a little."""
    columns = [[0.4, 0.6], [-0.8, 0.7], [0.4, 0.3]]
    weight_K, mean_K, std_K = torch.tensor(columns, dtype=torch.float64)
    return GaussianMixture(weight_K, mean_K[:, None], std_K[:, None])


def cumulative(target: GaussianMixture, x_B1: Tensor) -> Tensor:
    """The share of a target on a line that lies below x, (B, 1)."""
    below_BK = torch.special.ndtr((x_B1 - target.mean_KD[:, 0]) / target.std_KD[:, 0])
    return (target.weight_K * below_BK).sum(1, keepdim=True)


def density(target: GaussianMixture, path: ProbabilityPath, x_B1: Tensor, t: Tensor) -> Tensor:
    """p_t of a target on a line, (B, 1)."""
    mean_K, std_K = target.mean_KD[:, 0], target.std_KD[:, 0]
    spread_K = ((path.alpha(t) * std_K) ** 2 + path.beta(t) ** 2).sqrt()
    normal_K = torch.distributions.Normal(path.alpha(t) * mean_K, spread_K)
    return (target.weight_K * normal_K.log_prob(x_B1).exp()).sum(1, keepdim=True)


def noise(n: int, dimensions: int, *, seed: int = 5) -> Tensor:
    return torch.randn(n, dimensions, generator=seeded(seed), dtype=torch.float64)


def best(
    target: GaussianMixture, path: ProbabilityPath, prediction: Prediction
) -> Callable[[Tensor, Time], Tensor]:
    """The best possible network for this target: (x, t) -> E[prediction | x_t]."""

    def network(x: Tensor, t: Time) -> Tensor:
        return target.marginal(x, t, path=path, prediction=prediction)

    return network


TARGETS = {"gaussian": gaussian, "mixture": mixture}


@functools.cache
def distance(kind: str, dimensions: int) -> "Distance":
    """To the mixture or the Gaussian, made once: by its name."""
    return Distance(TARGETS[kind](dimensions))


class Distance:
    """How far samples are from fresh ones, in units of how far two fresh sets are from each other.

    Sliced 2-Wasserstein distance, squared and averaged over `parts` of each set: in one part alone
    chance rules (how many fall into each mode), and a bound of 1.1 would mean nothing.
    """

    def __init__(self, target: GaussianMixture, *, samples: int = 10_000, parts: int = 80) -> None:
        self.samples, self.parts = samples, parts
        direction_DP = torch.randn(target.mean_KD.shape[1], 32, generator=seeded(7)).double()
        self._direction_DP = direction_DP / direction_DP.norm(dim=0)
        fresh = [
            self._sorted(target.sample(samples, generator=seeded(100 + i))) for i in range(FRESH)
        ]
        self._fresh = fresh
        self._unit = _mean([_squared(a, b) for a, b in combinations(fresh, 2)])

    def ratio(self, sample_BD: Tensor) -> float:
        """1 for exact samples."""
        sorted_RBP = self._sorted(sample_BD)
        return (_mean([_squared(sorted_RBP, each) for each in self._fresh]) / self._unit) ** 0.5

    def _sorted(self, x_BD: Tensor) -> Tensor:
        projected_BP = x_BD.double() @ self._direction_DP
        return projected_BP.unflatten(0, (self.parts, -1)).sort(1).values


def _squared(a: Tensor, b: Tensor) -> float:
    return (a - b).square().mean().item()


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
