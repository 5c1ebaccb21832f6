"""Samplers that add noise on the way, or think in noise levels: SDE, DDPM, DDIM, DPM-Solver++.

All take a data prediction `data(x, t)` -> ẑ, which is well defined at every time that is asked (a
network that predicts something else: `predictions.converted`), and none asks at the end of
its grid. To clip samples, clip in `data`. x is that of times[0]: β_0 times noise, or a warm start.

Noise is drawn `temperature` times its size: with x begun likewise, a Gaussian comes out with its
mean and `temperature` times its spread, whatever the sampler (low-temperature sampling, Ajay et al.
2023, "Is conditional generative modeling all you need for decision-making?").
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Generator, Tensor

from policy.generative.grids import Grid
from policy.generative.paths import ProbabilityPath
from policy.generative.predictions import convert
from policy.generative.samplers import Field, solve


def solve_sde(
    data: Field,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    sigma: Callable[[float], float],
    solver: Literal["euler", "heun"],
    generator: Generator,
    temperature: float = 1.0,
) -> Tensor:
    """x at times[-1] by dx = (u_t + σ_t²/2 ∇ log p_t) dt + σ_t dW, for any σ_t >= 0.

    Every σ_t has the same marginals p_t (Song et al. 2021; Holderrieth and Erives 2025, theorem
    17); they differ in how errors of network and steps decay. σ_t = 0 is the ODE, number by number.

    euler: Euler-Maruyama, weak order 1, 1 evaluation a step. heun: weak order 2 as the noise does
    not depend on x, 2 evaluations. Two bounds keep the steps stable where the noise vanishes, and
    since every σ_t will do they cost no truth: σ_t² h <= β_t² (the score pulls with σ²/β², a step
    can follow down to 1/h), and no noise in the last step, which nothing could remove any more.
    """

    def drift(x: Tensor, t: float, sigma: float) -> Tensor:
        known = data(x, t)
        velocity = convert(known, x, t, path=path, source="data", target="velocity")
        score = convert(known, x, t, path=path, source="data", target="score")
        return velocity + sigma**2 / 2 * score

    def bounded_sigma(t: float, h: float) -> float:
        if not sigma(t) >= 0:
            raise ValueError(f"sigma({t:.6g}) = {sigma(t)}, allowed 0 or more")
        return min(sigma(t), _alpha_beta(path, t)[1] / math.sqrt(h))

    for start, end in pairwise(times[:-1]):
        h = end - start
        now, then = bounded_sigma(start, h), bounded_sigma(end, h)
        dW = math.sqrt(h) * temperature * _noise(x, generator)
        slope = drift(x, start, now)
        ahead = x + h * slope + now * dW
        if solver == "heun":
            x = x + h / 2 * (slope + drift(ahead, end, then)) + (now + then) / 2 * dW
        else:
            x = ahead
    return solve(lambda x, t: drift(x, t, 0.0), x, times[-2:], solver=solver)


def ddim(
    data: Field,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    generator: Generator,
    eta: float = 0.0,
    temperature: float = 1.0,
) -> Tensor:
    """x at times[-1] (Song, Meng and Ermon 2021, eq. 12), for any Gaussian path.

    From s to t:  x_t = α_t ẑ + √(β_t² - c²) ε̂ + c ξ,  ε̂ = (x_s - α_s ẑ) / β_s,  ξ ~ N(0, I),
    c = η β_t √(1 - SNR_s/SNR_t),  SNR = α²/β².  η = 0 draws nothing; on CondOT it is Euler's rule.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta = {eta}, allowed 0 to 1")
    for start, end in pairwise(times):
        (alpha_s, beta_s), (alpha_t, beta_t) = _alpha_beta(path, start), _alpha_beta(path, end)
        fresh = eta * math.sqrt(1 - (alpha_s * beta_t / (beta_s * alpha_t)) ** 2)  # c / β_t
        known = data(x, start)
        noise = (x - alpha_s * known) / beta_s
        x = alpha_t * known + beta_t * math.sqrt(1 - fresh**2) * noise
        if fresh > 0 and beta_t > 0:
            x = x + beta_t * fresh * temperature * _noise(x, generator)
    return x


def ddpm(
    data: Field,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    generator: Generator,
    temperature: float = 1.0,
) -> Tensor:
    """Ancestral sampling: each step draws from q(x_t | x_s, z = ẑ) (Ho et al. 2020, eq. 6 and 7).

    That is `ddim` with η = 1: the posterior's variance is β_t² (1 - SNR_s/SNR_t).
    """
    return ddim(data, x, times, path=path, generator=generator, eta=1.0, temperature=temperature)


def dpm_solver(data: Field, x: Tensor, times: Grid, *, path: ProbabilityPath) -> Tensor:
    """DPM-Solver++(2M): x at times[-1] (Lu et al. 2022b, algorithm 2). One evaluation a step.

    With λ = log(α/β), h = λ_t - λ_s and h' the step before:
    x_t = β_t/β_s x_s + α_t (1 - e^-h) D,   D = ẑ_s + h / (2 h') (ẑ_s - ẑ_before).
    The first step, and a last one to β = 0 where h has no limit, take D = ẑ_s: DDIM's rule.
    """
    before, step_before = None, math.inf
    for start, end in pairwise(times):
        (alpha_s, beta_s), (alpha_t, beta_t) = _alpha_beta(path, start), _alpha_beta(path, end)
        kept = alpha_s * beta_t / (alpha_t * beta_s)  # e^-h
        step = -math.log(kept) if kept > 0 else math.inf
        known = data(x, start)
        target = known
        if before is not None and beta_t > 0:
            target = known + step / (2 * step_before) * (known - before)
        x = beta_t / beta_s * x + alpha_t * (1 - kept) * target
        before, step_before = known, step
    return x


def _alpha_beta(path: ProbabilityPath, t: float) -> tuple[float, float]:
    at = torch.tensor(t, dtype=torch.float64)
    return path.alpha(at).item(), path.beta(at).item()


def _noise(x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x)
