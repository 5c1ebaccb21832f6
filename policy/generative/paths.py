"""Gaussian conditional probability paths, from noise (t = 0) to data (t = 1).

A path is p_t(x | z) = N(α_t z, β_t² I): it moves a sample as x_t = α_t z + β_t ε, ε ~ N(0, I),
from ε (z has no say: α_0 = 0) to the datum z (nothing else is left: α_1 = 1, β_1 = 0). Literature
with data at t = 0 is met by `Reversed`, one with numbered noise levels by `discrete_time`.

Legend: B batch; z and x have any shape (B, ...).
Source: Holderrieth and Erives 2025, "An introduction to flow matching and diffusion models".
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Time = Tensor | float  # in [0, 1]: one per batch element, or one for all


class ProbabilityPath(Protocol):
    """α, β and their derivatives, elementwise in t."""

    def alpha(self, t: Tensor) -> Tensor: ...
    def beta(self, t: Tensor) -> Tensor: ...
    def d_alpha(self, t: Tensor) -> Tensor: ...
    def d_beta(self, t: Tensor) -> Tensor: ...


class CondOT:
    """The straight path: α = t, β = 1 - t (Lipman et al. 2023, "conditional optimal transport")."""

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def beta(self, t: Tensor) -> Tensor:
        return 1 - t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def d_beta(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)


@dataclass(frozen=True)
class Polynomial:
    """α = t^n, β = 1 - t^n, n >= 1. For n > 1 nothing moves at t = 0: the velocity there is 0."""

    n: float = 2.0

    def __post_init__(self) -> None:
        if not self.n >= 1:
            raise ValueError(f"n = {self.n}, allowed 1 or more: below, the path starts at a jump")

    def alpha(self, t: Tensor) -> Tensor:
        return t**self.n

    def beta(self, t: Tensor) -> Tensor:
        return 1 - t**self.n

    def d_alpha(self, t: Tensor) -> Tensor:
        return self.n * t ** (self.n - 1)

    def d_beta(self, t: Tensor) -> Tensor:
        return -self.n * t ** (self.n - 1)


class VariancePreservingCosine:
    """α = sin(π t / 2), β = cos(π t / 2): α² + β² = 1 (Nichol and Dhariwal 2021, offset 0)."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * t)

    def beta(self, t: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * (1 - t))  # cos(π t / 2), but exactly 0 at t = 1

    def d_alpha(self, t: Tensor) -> Tensor:
        return math.pi / 2 * self.beta(t)

    def d_beta(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * self.alpha(t)


@dataclass(frozen=True)
class VariancePreservingLinear:
    """α² + β² = 1, and the noising rate is linear in s = 1 - t (Song et al. 2021, eq. 33).

    log α = -(low s + (high - low) s² / 2) / 2. A trace of data is left at t = 0 (α_0 = 0.0066),
    and β ~ √(1 - t) near the data, so β' has no limit at t = 1: see `ratio`.
    """

    low: float = 0.1
    high: float = 20.0

    def alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp()

    def beta(self, t: Tensor) -> Tensor:
        return preserving_beta(self._log_alpha(t))

    def d_alpha(self, t: Tensor) -> Tensor:
        return self._d_log_alpha(t) * self.alpha(t)

    def d_beta(self, t: Tensor) -> Tensor:
        return d_preserving_beta(self._log_alpha(t), self._d_log_alpha(t))

    def _log_alpha(self, t: Tensor) -> Tensor:
        s = 1 - t
        return -(self.low * s + (self.high - self.low) / 2 * s**2) / 2

    def _d_log_alpha(self, t: Tensor) -> Tensor:
        return (self.low + (self.high - self.low) * (1 - t)) / 2


@dataclass(frozen=True)
class VarianceExploding:
    """α = 1, β = last^t first^(1 - t), geometric (Song et al. 2021, eq. 31).

    The datum is never shrunk but drowned: choose `first` well above the size of the data. At t = 1
    noise of size `last` remains, so choose that well below what matters.
    """

    first: float = 80.0
    last: float = 0.002

    def __post_init__(self) -> None:
        if not 0 < self.last < self.first < math.inf:
            raise ValueError(f"first = {self.first}, last = {self.last}, allowed 0 < last < first")

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def beta(self, t: Tensor) -> Tensor:
        return self.first ** (1 - t) * self.last**t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def d_beta(self, t: Tensor) -> Tensor:
        return math.log(self.last / self.first) * self.beta(t)


@dataclass(frozen=True)
class Reversed:
    """The same path in the other convention of time: data at t = 0, noise at t = 1."""

    path: ProbabilityPath

    def alpha(self, t: Tensor) -> Tensor:
        return self.path.alpha(1 - t)

    def beta(self, t: Tensor) -> Tensor:
        return self.path.beta(1 - t)

    def d_alpha(self, t: Tensor) -> Tensor:
        return -self.path.d_alpha(1 - t)

    def d_beta(self, t: Tensor) -> Tensor:
        return -self.path.d_beta(1 - t)


class Coefficients(NamedTuple):
    """A path at some time, shaped to be multiplied with a sample."""

    alpha: Tensor
    beta: Tensor
    d_alpha: Tensor
    d_beta: Tensor


def coefficients(path: ProbabilityPath, t: Time, x: Tensor) -> Coefficients:
    """α, β, α', β' at t for x (B, ...). A time that is a float is taken in double precision."""
    if isinstance(t, Tensor):
        t = t.reshape(-1, *[1] * (x.ndim - 1))
    else:
        t = torch.tensor(t, dtype=torch.float64)
    return Coefficients(path.alpha(t), path.beta(t), path.d_alpha(t), path.d_beta(t))


def interpolate(path: ProbabilityPath, x_1: Tensor, x_0: Tensor, t: Time) -> Tensor:
    """A draw of p_t(x | z = x_1): x_t = α x_1 + β x_0 with noise x_0 ~ N(0, I)."""
    at = coefficients(path, t, x_1)
    return at.alpha * x_1 + at.beta * x_0


def conditional_velocity(path: ProbabilityPath, x_1: Tensor, x_0: Tensor, t: Time) -> Tensor:
    """u_t(x_t | x_1) = dx_t/dt = α' x_1 + β' x_0.

    As a function of x it reads (α' - α β'/β) x_1 + (β'/β) x; given the pair nothing is divided.
    """
    at = coefficients(path, t, x_1)
    return at.d_alpha * x_1 + at.d_beta * x_0


def conditional_score(path: ProbabilityPath, x_0: Tensor, t: Time) -> Tensor:
    """∇ log p_t(x_t | x_1) = -(x_t - α x_1) / β² = -x_0 / β. Without limit where β → 0."""
    return -ratio(x_0, coefficients(path, t, x_0).beta)


def preserving_beta(log_alpha: Tensor) -> Tensor:
    """β of α² + β² = 1, without cancellation near α = 1."""
    return (-torch.expm1(2 * log_alpha)).sqrt()


def d_preserving_beta(log_alpha: Tensor, d_log_alpha: Tensor) -> Tensor:
    """β' of α² + β² = 1: -α α' / β."""
    return -ratio((2 * log_alpha).exp() * d_log_alpha, preserving_beta(log_alpha))


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, the latter held at least √ε from zero, ε of the result's dtype.

    Exact beyond that (1.5e-8 in float64, 3.5e-4 in float32); at a zero it is finite, and 0 for
    0 / 0. The rule: nearer than √ε half of the digits are gone and what is divided is rounding.
    """
    dtype = torch.result_type(numerator, denominator)
    least = math.sqrt(torch.finfo(dtype).eps)
    sign = torch.where(denominator < 0, -1.0, 1.0).to(denominator.dtype)
    return numerator / (sign * denominator.abs().clamp_min(least))
