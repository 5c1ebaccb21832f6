"""Losses that teach a denoiser, pure functions of (network, data, noise, times).

All five predictions have their least loss at the same truth, E[. | x_t]; they differ in which times
count (`loss_weight` translates) and in what the network finds easy to say.

Legend: B batch; x_1 data and x_0 ~ N(0, I) noise (B, ...), t_B in [0, 1], weight_B >= 0.
"""

from collections.abc import Callable

from torch import Tensor

from policy.generative.paths import ProbabilityPath, coefficients, interpolate, ratio
from policy.generative.predictions import Prediction, combine, convert

HUBER = 0.003  # of normalised data: nearer misses count by their square

Network = Callable[[Tensor, Tensor], Tensor]  # (x_t, t_B) -> what it predicts, shaped like x_t


def prediction_loss(
    network: Network,
    x_1: Tensor,
    x_0: Tensor,
    t_B: Tensor,
    *,
    path: ProbabilityPath,
    prediction: Prediction,
    weight_B: Tensor | None = None,
) -> Tensor:
    """Mean of w(t) |network(x_t, t) - target|².

    velocity: conditional flow matching (Lipman et al. 2023, eq. 9)
    noise:    L_simple of DDPM (Ho et al. 2020, eq. 14)
    data, v:  Salimans and Ho 2022
    score:    denoising score matching with λ(t) = β² (Vincent 2011; Song et al. 2021, eq. 7), that
              is |β s + ε|². Without β² the target -ε/β has infinite variance where the noise
              vanishes, and those times would drown all others.
    """
    predicted = network(interpolate(path, x_1, x_0, t_B), t_B)
    if prediction == "score":
        error = coefficients(path, t_B, x_1).beta * predicted + x_0
    else:
        error = predicted - combine(x_1, x_0, t_B, path=path, prediction=prediction)
    if weight_B is None:
        return error.square().mean()
    return (weight_B * error.square().flatten(1).mean(1)).mean()


def flow_matching_loss(
    velocity: Network, x_1: Tensor, x_0: Tensor, t_B: Tensor, *, path: ProbabilityPath
) -> Tensor:
    """Conditional flow matching: its least value has the velocity that carries noise to data."""
    return prediction_loss(velocity, x_1, x_0, t_B, path=path, prediction="velocity")


def score_matching_loss(
    score: Network, x_1: Tensor, x_0: Tensor, t_B: Tensor, *, path: ProbabilityPath
) -> Tensor:
    """Denoising score matching with weight β²: its least value has ∇ log p_t."""
    return prediction_loss(score, x_1, x_0, t_B, path=path, prediction="score")


def arrival_loss(
    network: Network,
    x_1: Tensor,
    x_0: Tensor,
    t_B: Tensor,
    *,
    path: ProbabilityPath,
    prediction: Prediction,
) -> Tensor:
    """How far from x_1 one step to the end arrives: mean of √(d² + c²) - c, d root mean square.

    Here x_1 is no draw of the data but what x_t has to become. This pseudo-Huber loss (Song and
    Dhariwal 2024, "Improved techniques for training consistency models") minds a few far misses,
    where a plan turns from one mode to the other, less than a square would, and so hits the rest
    better.
    """
    x_t = interpolate(path, x_1, x_0, t_B)
    arrived = convert(network(x_t, t_B), x_t, t_B, path=path, source=prediction, target="data")
    square_B = (arrived - x_1).square().flatten(1).mean(1)
    return ((square_B + HUBER**2).sqrt() - HUBER).mean()


def loss_weight(
    t_B: Tensor, *, path: ProbabilityPath, learned: Prediction, like: Prediction
) -> Tensor:
    """w (B,) with which the loss of `learned` equals the unweighted loss of `like`.

    So a network may say what is easy and still be judged by what matters. For the score, "the loss"
    is the one above, with β² in it: noise and score are the same loss.
    """
    return ratio(_gain(path, t_B, like), _gain(path, t_B, learned)).square()


def min_snr_weight(
    t_B: Tensor, *, path: ProbabilityPath, learned: Prediction, gamma: float = 5.0
) -> Tensor:
    """min(SNR, γ) on the data's loss, said for `learned` (Hang et al. 2023), SNR = α²/β²."""
    at = coefficients(path, t_B, t_B)
    snr = ratio(at.alpha, at.beta).square()
    return snr.clamp_max(gamma) * loss_weight(t_B, path=path, learned=learned, like="data")


def _gain(path: ProbabilityPath, t_B: Tensor, prediction: Prediction) -> Tensor:
    """β times how far the prediction moves when the data moves by one, x_t staying where it is.

    dε = -(α/β) dz, therefore: data 1, noise α/β, v (α² + β²)/β, velocity |α β' - α' β|/β.
    """
    alpha, beta, d_alpha, d_beta = coefficients(path, t_B, t_B)
    if prediction == "data":
        return beta
    if prediction == "velocity":
        return (alpha * d_beta - d_alpha * beta).abs()
    if prediction == "v":
        return alpha**2 + beta**2
    return alpha  # noise; and the score, whose loss is weighted by β²
