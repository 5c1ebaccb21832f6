"""Shortcut models: a velocity that knows how long the step will be, so that one step may do.

s(x, t, d) is the mean velocity over a step of length d: x_{t+d} = x_t + d s(x_t, t, d). For d = 0
it is the flow's velocity, learnt as ever; a step twice as long must arrive where two do:

    s(x_t, t, 2d) = (s(x_t, t, d) + s(x_t + d s(x_t, t, d), t + d, d)) / 2

with the right side held fixed. So long steps are distilled from short ones while those are learnt:
no teacher, no second training. (Frans et al. 2024, "One step diffusion via shortcut models".)

Legend: B batch, Q every 4th of its examples.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from policy.generative.config import FINEST_STEPS
from policy.generative.paths import CondOT, interpolate

Shortcut = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, t_B, step_B) -> mean velocity

EVERY = 4  # one example in so many learns long steps, as in the paper
PATH = CondOT()


def shortcut_loss(
    network: Shortcut,
    quarter: Shortcut,
    x_1: Tensor,
    x_0: Tensor,
    t_B: Tensor,
    *,
    start_Q: Tensor,
    step_Q: Tensor,
) -> Tensor:
    """Flow matching for three examples in four; every 4th learns that one step is two half ones.

    `quarter` is the same network for the examples [::4]; `start_Q`, `step_Q`: see `draw_steps`.
    """
    target, step_B = x_1 - x_0, torch.zeros_like(t_B)
    target[::EVERY] = _two_steps(quarter, x_1[::EVERY], x_0[::EVERY], start_Q, step_Q / 2)
    t_B = t_B.clone()
    t_B[::EVERY], step_B[::EVERY] = start_Q, step_Q
    error = network(interpolate(PATH, x_1, x_0, t_B), t_B, step_B) - target
    return error.square().mean()


def draw_steps(n: int, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """(start, step), (n,) each: steps of 1, 1/2 ... 1/16, all as likely, from a multiple of it."""
    halvings = FINEST_STEPS.bit_length() - 1
    count_Q = 2 ** torch.randint(halvings, (n,), generator=generator)  # such steps make the way
    place_Q = (torch.rand(n, generator=generator) * count_Q).floor()
    return place_Q / count_Q, 1 / count_Q


def told_step(step: Tensor) -> Tensor:
    """What the network is told of a step: 0 from the finest down, which are the flow itself."""
    return torch.where(step > 1 / FINEST_STEPS, step, 0.0)


@torch.no_grad()
def _two_steps(network: Shortcut, x_1: Tensor, x_0: Tensor, t_Q: Tensor, half_Q: Tensor) -> Tensor:
    """The mean velocity over two steps of length `half_Q` from t_Q."""
    told_Q = told_step(half_Q)
    x = interpolate(PATH, x_1, x_0, t_Q)
    first = network(x, t_Q, told_Q)
    ahead = x + half_Q.reshape(-1, *[1] * (x.ndim - 1)) * first
    return (first + network(ahead, t_Q + half_Q, told_Q)) / 2
