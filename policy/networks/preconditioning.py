"""What a denoiser is shown of a noisy chunk, and how what it says becomes a prediction.

A network learns best what has about unit size and cannot be told without it. So

    prediction = offset + scale · denoiser(seen)

after Karras et al. 2022, "EDM", table 1, there for data of unknown mean; here around a guess.

Legend: B batch, H rows, A numbers of an action.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from policy.generative.paths import ProbabilityPath, ratio
from policy.generative.predictions import Prediction


class Preconditioning(NamedTuple):
    """`seen` goes in; what comes out is scaled and added to `offset`, all like (B, H, A)."""

    seen: Tensor
    offset: Tensor | float
    scale: Tensor | float


def plain(
    x_BHA: Tensor, t: Tensor | float, *, path: ProbabilityPath, prediction: Prediction
) -> Preconditioning:
    """Without a guess the prediction is what the denoiser says; but

    - x is never shown larger than unit data and unit noise make it: where a path's noise is
      larger, x / √(α² + β²);
    - a score is -ε/β: the denoiser says how large β times the score is (Song and Ermon 2019).
    """
    alpha, beta, _, _ = _at(path, t)
    size = (alpha.square() + beta.square()).sqrt().clamp_min(1)
    scale = ratio(torch.ones_like(beta), beta) if prediction == "score" else 1.0
    return Preconditioning(x_BHA / size, 0.0, scale)


def around(
    guess_BHA: Tensor,
    spread_BHA: Tensor,
    x_BHA: Tensor,
    t: Tensor | float,
    *,
    path: ProbabilityPath,
    prediction: Prediction,
) -> Preconditioning:
    """The chunk z lies around the guess g with about the spread s; t may differ from row to row.

    Were it normal, then with y = x - α g and v² = α² s² + β² the best guess of a prediction
    a z + b ε would be  a g + (a α s² + b β) y / v²,  off by  (a β - b α) s / v.  The denoiser sees
    y / v and tells the rest in units of that: it need not carry the noise through, and its
    first samples are guesses. On CondOT the velocity (a = 1, b = -1) is off by s / v. A score
    is the noise's, over -β.
    """
    alpha, beta, d_alpha, d_beta = _at(path, t)
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    a, b = {
        "data": (one, zero),
        "noise": (zero, one),
        "velocity": (d_alpha, d_beta),
        "v": (-beta, alpha),
        "score": (zero, -ratio(one, beta)),
    }[prediction]
    y = x_BHA - alpha * guess_BHA
    variance = (alpha * spread_BHA).square() + beta.square()
    unit = variance.rsqrt()
    gain = (a * alpha * spread_BHA.square() + b * beta) / variance
    return Preconditioning(
        seen=y * unit,
        offset=a * guess_BHA + gain * y,
        scale=(a * beta - b * alpha) * (spread_BHA * unit),
    )


def _at(path: ProbabilityPath, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """α, β, α', β'; a time that is a float is taken in double precision."""
    t = t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)
    return path.alpha(t), path.beta(t), path.d_alpha(t), path.d_beta(t)
