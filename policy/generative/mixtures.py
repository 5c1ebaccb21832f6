"""Mixtures of Gaussians: data whose marginal path, velocity and score can be written down.

With z ~ Σ_k w_k N(μ_k, σ_k²) the path has p_t = Σ_k w_k N(α μ_k, α² σ_k² + β²). Given x and k, the
pair (z, ε) is Gaussian; averaged over k by how likely each is, all marginal quantities follow.
σ = 0 is the path of a finite data set. What samplers and losses are judged by.

Legend: B batch, K components, D dimensions.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from policy.generative.paths import ProbabilityPath, Time, coefficients
from policy.generative.predictions import Prediction, combine


@dataclass(frozen=True)
class GaussianMixture:
    """Σ_k w_k N(μ_k, diag(σ_k²)), weights adding up to 1."""

    weight_K: Tensor
    mean_KD: Tensor
    std_KD: Tensor

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        """(n, D)."""
        k_B = torch.multinomial(self.weight_K, n, replacement=True, generator=generator)
        draw_BD = torch.randn(
            n, self.mean_KD.shape[1], generator=generator, dtype=self.std_KD.dtype
        )
        return self.mean_KD[k_B] + self.std_KD[k_B] * draw_BD

    def marginal(
        self, x_BD: Tensor, t: Time, *, path: ProbabilityPath, prediction: Prediction
    ) -> Tensor:
        """The best prediction at x_t (B, D), the one with the least loss: E[target | x_t].

        For "velocity" the marginal u_t, for "score" ∇ log p_t; no division by β: fine at both ends.
        """
        x_BKD = x_BD[:, None]
        at = coefficients(path, t, x_BKD)
        off_BKD = x_BKD - at.alpha * self.mean_KD
        variance_BKD = (at.alpha * self.std_KD) ** 2 + at.beta**2
        square_BK = (off_BKD**2 / variance_BKD + variance_BKD.log()).sum(-1)
        share_BK1 = (self.weight_K.log() - square_BK / 2).softmax(-1)[..., None]
        unit_BKD = off_BKD / variance_BKD
        if prediction == "score":
            return -(share_BK1 * unit_BKD).sum(1)
        data_BD = (share_BK1 * (self.mean_KD + at.alpha * self.std_KD**2 * unit_BKD)).sum(1)
        noise_BD = (share_BK1 * at.beta * unit_BKD).sum(1)
        return combine(data_BD, noise_BD, t, path=path, prediction=prediction)
