"""Which times a training step looks at. Each returns t (n,), float32 in [0, 1], on the CPU."""

import numpy as np
import torch
from torch import Generator, Tensor


def uniform_times(n: int, *, generator: Generator) -> Tensor:
    return torch.rand(n, generator=generator)


def logit_normal_times(
    n: int, *, generator: Generator, mean: float = 0.0, std: float = 1.0
) -> Tensor:
    """t = sigmoid(N(mean, std²)): the middle counts most (Esser et al. 2024, section 3.1)."""
    return torch.sigmoid(mean + std * torch.randn(n, generator=generator))


def beta_times(
    n: int, *, generator: Generator, a: float = 1.0, b: float = 1.5, end: float = 0.999
) -> Tensor:
    """t = end · Beta(a, b): early, noisy times count most (Black et al. 2024, "π0", appendix B)."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))  # torch's own takes no generator
    return torch.from_numpy(end * np.random.default_rng(seed).beta(a, b, n)).float()


def level_times(n: int, *, levels: int, generator: Generator) -> Tensor:
    """A noise level each, uniformly: the times of `discrete_time.DiscreteTime`."""
    return torch.randint(levels, (n,), generator=generator) / levels
