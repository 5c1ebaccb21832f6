"""Data whose answers are known, the paths to them, and how far samples are from fresh ones.

Legend: B samples, D dimensions, K components, P projections, S and F sets of samples.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from policy.generative.discrete_time import DiscreteTime, alphas_cumprod
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import (
    CondOT,
    Polynomial,
    ProbabilityPath,
    VarianceExploding,
    VariancePreservingCosine,
    VariancePreservingLinear,
)
from policy.generative.predictions import Prediction
from policy.generative.samplers import Field

Kind = Literal["gaussian", "mixture"]
PATHS: dict[str, ProbabilityPath] = {
    "CondOT": CondOT(),
    "polynomial, n = 2": Polynomial(2.0),
    "variance preserving, cosine": VariancePreservingCosine(),
    "variance preserving, linear": VariancePreservingLinear(),
    "variance exploding": VarianceExploding(first=40.0),
    "DDPM's 100 levels": DiscreteTime(alphas_cumprod("squaredcos_cap_v2")),
}
PROJECTIONS = 32
RESAMPLES = 2000


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def target(kind: Kind, dimensions: int) -> GaussianMixture:
    """One Gaussian with another mean and spread along each axis, or three well apart, unequal."""
    if kind == "gaussian":
        mean_KD = torch.linspace(-1, 1, dimensions, dtype=torch.float64)[None]
        std_KD = torch.linspace(0.3, 0.6, dimensions, dtype=torch.float64)[None]
        return GaussianMixture(torch.ones(1, dtype=torch.float64), mean_KD, std_KD)
    generator = seeded(dimensions)
    mean_KD = torch.randn(3, dimensions, generator=generator, dtype=torch.float64)
    std_KD = 0.1 + 0.2 * torch.rand(3, dimensions, generator=generator, dtype=torch.float64)
    return GaussianMixture(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), mean_KD, std_KD)


def on_a_line() -> GaussianMixture:
    """Two Gaussians that overlap a little, in one dimension."""
    columns = [[0.4, 0.6], [-0.8, 0.7], [0.4, 0.3]]
    weight_K, mean_K, std_K = torch.tensor(columns, dtype=torch.float64)
    return GaussianMixture(weight_K, mean_K[:, None], std_K[:, None])


def share_below(data: GaussianMixture, x_B1: Tensor) -> Tensor:
    """The share of data on a line that lies below x, (B, 1)."""
    below_BK = torch.special.ndtr((x_B1 - data.mean_KD[:, 0]) / data.std_KD[:, 0])
    return (data.weight_K * below_BK).sum(1, keepdim=True)


class Oracle:
    """The best possible network for some data, which counts how often it is asked."""

    def __init__(self, data: GaussianMixture) -> None:
        self.data, self.evaluations = data, 0

    def telling(self, prediction: Prediction, path: ProbabilityPath) -> Field:
        def network(x: Tensor, t: float) -> Tensor:
            self.evaluations += 1
            return self.data.marginal(x, t, path=path, prediction=prediction)

        return network


@dataclass(frozen=True, slots=True)
class Ratio:
    """A distance in units of that between two fresh sets, with its 95 % interval."""

    value: float  # 1 for exact samples
    low: float
    high: float


class FreshSets:
    """Sets of fresh samples, and how far other sets are from them.

    Sliced 2-Wasserstein distance, squared and averaged over all pairs of sets: between one pair
    alone chance rules, such as how many samples fall into each mode. The interval is a bootstrap
    over the sets, fresh ones and others.
    """

    def __init__(self, data: GaussianMixture, *, sets: int, samples: int) -> None:
        direction_DP = torch.randn(data.mean_KD.shape[1], PROJECTIONS, generator=seeded(7)).double()
        self._direction_DP = direction_DP / direction_DP.norm(dim=0)
        generator = seeded(100)
        fresh = [self.sorted(data.sample(samples, generator=generator)) for _ in range(sets)]
        self._fresh_F = torch.stack(fresh)
        self._between_FF = _squared(self._fresh_F, self._fresh_F)

    def sorted(self, x_BD: Tensor) -> Tensor:
        """A set as this class compares it: sorted along each projection, flat."""
        return (x_BD.double() @ self._direction_DP).sort(0).values.flatten()

    def ratio(self, sorted_S: Tensor) -> Ratio:
        """Of sets that `sorted` made, stacked."""
        to_fresh_SF = _squared(sorted_S, self._fresh_F)
        even_S, even_F = _even(len(sorted_S)), _even(len(self._fresh_F))
        draws = self._ratios(to_fresh_SF, _resampled(even_S, seed=1), _resampled(even_F, seed=2))
        low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
        return Ratio(self._ratios(to_fresh_SF, even_S[None], even_F[None]).item(), low, high)

    def _ratios(self, to_fresh_SF: Tensor, share_NS: Tensor, share_NF: Tensor) -> Tensor:
        """(N,) for N ways of weighting the sets; a fresh set is no pair with itself."""
        away_N = (share_NS @ to_fresh_SF * share_NF).sum(1)
        unit_N = (share_NF @ self._between_FF * share_NF).sum(1) / (1 - share_NF.square().sum(1))
        return (away_N / unit_N).sqrt()


def _squared(a_S: Tensor, b_F: Tensor) -> Tensor:
    """Mean square of a - b for each two sets, (S, F)."""
    return torch.cdist(a_S, b_F).square() / a_S.shape[1]


def _even(n: int) -> Tensor:
    return torch.full((n,), 1 / n, dtype=torch.float64)


def _resampled(even_N: Tensor, *, seed: int) -> Tensor:
    """Bootstrap weights, (RESAMPLES, N)."""
    n = len(even_N)
    drawn = torch.randint(n, (RESAMPLES, n), generator=seeded(seed))
    counts = torch.zeros(RESAMPLES, n, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, torch.ones_like(counts)) / n
