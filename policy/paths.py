"""Probability paths from noise (t = 0) to data (t = 1), and the loss that learns their velocity.

A Gaussian path moves a sample as x_t = α(t) x_1 + β(t) x_0, x_0 ~ N(0, 1), x_1 from the data.
Legend: B batch, shapes "..." are whatever the data has.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x_t, t_B) -> dx/dt, shaped like x_t


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


def interpolate(path: ProbabilityPath, x_1: Tensor, x_0: Tensor, t_B: Tensor) -> Tensor:
    """x_t = α(t) x_1 + β(t) x_0; one time per batch element."""
    t = _like(t_B, x_1)
    return path.alpha(t) * x_1 + path.beta(t) * x_0


def conditional_velocity(path: ProbabilityPath, x_1: Tensor, x_0: Tensor, t_B: Tensor) -> Tensor:
    """dx_t/dt of one pair of noise and data: α'(t) x_1 + β'(t) x_0."""
    t = _like(t_B, x_1)
    return path.d_alpha(t) * x_1 + path.d_beta(t) * x_0


def flow_matching_loss(
    velocity: Velocity, x_1: Tensor, x_0: Tensor, t_B: Tensor, *, path: ProbabilityPath
) -> Tensor:
    """Conditional flow matching: mean of |v(x_t, t) - dx_t/dt|² (Lipman et al. 2023, eq. 9).

    Its minimum over v is the velocity that carries N(0, 1) to the data.
    """
    target = conditional_velocity(path, x_1, x_0, t_B)
    return (velocity(interpolate(path, x_1, x_0, t_B), t_B) - target).square().mean()


def _like(t_B: Tensor, x: Tensor) -> Tensor:
    return t_B.reshape(-1, *[1] * (x.ndim - 1))
