"""How a new chunk takes up what is still planned, so that the arm does not jerk at the seam.

`overwrite` draws it without looking back; `ensemble` (`ensemble.py`) averages whole plans. The
three here draw it so that it continues the leftover of the old plan:

    row            0   1 │ 2   3   4   5   6 │ 7   8   9
    leftover Y     y   y │ y   y   y   y   y │                    K = 7 rows
    weight         1   1 │ .7  .5  .3  .2  .1│ 0   0   0          d = 2 are executed meanwhile
                   frozen│ the further, freer│ new

Rows of weight 0 need no target: nothing is padded.

Legend: B batch, H rows, A numbers of an action, K rows of the leftover, N candidates.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from policy.generative.paths import CondOT, ProbabilityPath, coefficients
from policy.generative.predictions import Prediction, convert
from policy.generative.samplers import Field
from policy.planning.given_rows import GivenRows

MAX_GUIDANCE = 5.0  # β of Black et al. 2025


@dataclass(frozen=True)
class Target:
    """The leftover as the network sees actions: normalised, filled up to H rows of no weight."""

    action_HA: Tensor
    kept: int  # K
    delay: int  # d

    @staticmethod
    def of(leftover_KA: Tensor, delay: int, horizon: int) -> "Target":
        """`leftover_KA` of any length; what reaches beyond the horizon is left out."""
        kept = min(len(leftover_KA), horizon)
        action_HA = leftover_KA.new_zeros(horizon, leftover_KA.shape[1])
        action_HA[:kept] = leftover_KA[:kept]
        return Target(action_HA, kept, min(delay, kept))

    @property
    def given(self) -> GivenRows:
        """The rows that will be executed before the new chunk arrives."""
        mask_H1 = torch.arange(len(self.action_HA))[:, None] < self.delay
        return GivenRows(mask_H1[None], self.action_HA[None])

    @property
    def weight_H1(self) -> Tensor:  # noqa: N802
        weight_H = soft_mask(len(self.action_HA), kept=self.kept, delay=self.delay)
        return weight_H.to(self.action_HA)[:, None]


def soft_mask(horizon: int, *, kept: int, delay: int) -> Tensor:
    """How strongly each row is held to the leftover, (H,) float64 in [0, 1].

    1 for the rows that will have been executed; then, with c falling from 1 to 0,
    w = c (e^c - 1) / (e - 1); 0 where there is no leftover (Black et al. 2025, eq. 5).
    """
    if not 0 <= delay <= kept <= horizon:
        raise ValueError(f"delay = {delay}, kept = {kept}, allowed 0 <= delay <= kept <= {horizon}")
    row_H = torch.arange(horizon, dtype=torch.float64)
    c_H = ((kept - row_H) / (kept - delay + 1)).clamp(0, 1)
    weight_H = c_H * torch.expm1(c_H) / (math.e - 1)
    return torch.where(row_H < delay, 1.0, weight_H)


def guided(
    network: Field,
    target: Target,
    *,
    prediction: Prediction = "velocity",
    path: ProbabilityPath | None = None,
    max_guidance: float = MAX_GUIDANCE,
) -> Field:
    """The velocity that leads to a chunk which continues the target: no training needed.

        Â = E[A | x_t],   g = [(Y - Â) ∘ w]^T ∂Â/∂x_t,   v + min(β, k / r²) g   (`guidance`)

    with r² = β_t² / (α_t² + β_t²) and k = β_t² (α_t'/α_t - β_t'/β_t), which is (1 - t) / t on
    CondOT (Black, Galliker, Levine 2025, "Real-time execution of action chunking flow policies",
    eq. 2 to 4; Song et al. 2023, "Pseudoinverse-guided diffusion models"). The gradient is the
    vector-Jacobian product through the network, whatever it predicts.
    """
    path = path if path is not None else CondOT()
    weight_H1 = target.weight_H1

    def velocity(x: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = network(x, t)
            data = convert(value, x, t, path=path, source=prediction, target="data")
            error = (weight_H1 * (target.action_HA - data)).detach()
            (pull,) = torch.autograd.grad(data, x, error)
        free = convert(value, x, t, path=path, source=prediction, target="velocity").detach()
        return free + guidance(path, t, most=max_guidance) * pull

    return velocity


def guidance(path: ProbabilityPath, t: float, *, most: float) -> float:
    """k / r² at flow time t, clipped towards both ends, least half-way (2 on CondOT).

    k / r² = (α' β - α β') (α² + β²) / (α β). The first factor is how fast this path goes, 1 on
    CondOT; the second, (t² + (1 - t)²) / (t (1 - t)) there, is held to `most`. So guidance takes
    the same course on every path.
    """
    alpha, beta, d_alpha, d_beta = (
        float(each) for each in coefficients(path, t, torch.zeros((), dtype=torch.float64))
    )
    speed, square, product = d_alpha * beta - d_beta * alpha, alpha**2 + beta**2, alpha * beta
    return speed * (most if square >= most * product else square / product)


def most_coherent(
    strong_NHA: Tensor, weak_NHA: Tensor, target: Target | None, *, decay: float = 0.5
) -> Tensor:
    """The candidate (H, A) that continues the old plan and looks like the good ones.

    Backward coherence: how far row k lies from the leftover's, weighted by decay^k; the nearer half
    of both sets goes on, so that what is compared is of the mode that was begun. Forward contrast:
    how far a candidate lies from the good ones, less how far from the weak ones, on average. The
    least sum of both wins, each a mean over rows, so that long chunks do not drown the first rows.
    (After Liu et al. 2024, "Bidirectional decoding", arXiv 2408.17355.)
    """
    strong_NHA, backward_N = _nearer_half(strong_NHA, target, decay)
    weak_NHA, _ = _nearer_half(weak_NHA, target, decay)
    forward_N = _mean_distance(strong_NHA, strong_NHA) - _mean_distance(strong_NHA, weak_NHA)
    return strong_NHA[int((backward_N + forward_N).argmin())]


def _nearer_half(
    candidate_NHA: Tensor, target: Target | None, decay: float
) -> tuple[Tensor, Tensor]:
    """Those nearer to the leftover, and how far they are; all, and 0, where there is none."""
    if target is None:
        return candidate_NHA, candidate_NHA.new_zeros(len(candidate_NHA))
    kept = target.kept
    weight_K = decay ** torch.arange(kept, dtype=candidate_NHA.dtype)
    off_NK = (candidate_NHA[:, :kept] - target.action_HA[:kept]).norm(dim=-1)
    off_N = off_NK @ weight_K / weight_K.sum()
    nearer = off_N.argsort()[: (len(off_N) + 1) // 2]
    return candidate_NHA[nearer], off_N[nearer]


def _mean_distance(a_NHA: Tensor, b_MHA: Tensor) -> Tensor:
    """Of each a to all b, (N,): the mean over rows of Euclidean distances."""
    return (a_NHA[:, None] - b_MHA[None]).norm(dim=-1).mean(dim=(-2, -1))
