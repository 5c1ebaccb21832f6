"""What a denoiser may be asked to tell of x_t = α z + β ε, and exact conversions between them.

| prediction | its value        | learns             | not told by it where             |
|------------|------------------|--------------------|----------------------------------|
| data       | z                | E[z | x]           | ε at β = 0 (t = 1)               |
| noise      | ε                | E[ε | x]           | z at α = 0 (t = 0)               |
| velocity   | α' z + β' ε      | u_t(x)             | both at α β' = α' β (see below)  |
| v          | α ε - β z        | (Salimans, Ho 2022)| never: α² + β² > 0               |
| score      | -ε / β           | ∇ log p_t(x)       | z at α = 0; has no limit at β = 0|

Each is linear in (z, ε), as x is, so x and any one of them give the pair, and the pair gives all
others; expectations keep that true for marginal quantities. On CondOT the velocity tells both at
every time (α β' - α' β = -1), as it does on the cosine path (-π/2). On `Polynomial` with n > 1 it
is 0 at t = 0 and tells nothing there.

At the ends. A conversion divides by β, α or α β' - α' β; where that vanishes the answer is not in
the input. `paths.ratio` keeps it finite, and exact further than √ε from the zero. Noise
turned into data errs by β/α times the noise's error, data into noise by α/β, data into score by
α/β². So: start a noise model where α > 0, and never ask for a score at t = 1. Samplers here take
data predictions and never ask at their end. The score is not learnt where the noise vanishes: its
loss has the weight β² (`losses`).
"""

from collections.abc import Callable
from typing import Literal, TypeVar, get_args

from torch import Tensor

from policy.generative.paths import (
    ProbabilityPath,
    Time,
    coefficients,
    conditional_score,
    conditional_velocity,
    ratio,
)

Prediction = Literal["data", "noise", "velocity", "v", "score"]
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)
TimeT = TypeVar("TimeT", Tensor, float)


def combine(
    data: Tensor, noise: Tensor, t: Time, *, path: ProbabilityPath, prediction: Prediction
) -> Tensor:
    """The prediction's value for a known pair of data z and noise ε, all (B, ...)."""
    if prediction == "data":
        return data
    if prediction == "noise":
        return noise
    if prediction == "velocity":
        return conditional_velocity(path, data, noise, t)
    if prediction == "score":
        return conditional_score(path, noise, t)
    _check(prediction)
    at = coefficients(path, t, data)
    return at.alpha * noise - at.beta * data


def separate(
    value: Tensor, x: Tensor, t: Time, *, path: ProbabilityPath, prediction: Prediction
) -> tuple[Tensor, Tensor]:
    """Data z and noise ε, each like x (B, ...), from x_t and one prediction's value."""
    alpha, beta, d_alpha, d_beta = coefficients(path, t, x)
    if prediction == "data":
        return value, ratio(x - alpha * value, beta)
    if prediction == "noise":
        return ratio(x - beta * value, alpha), value
    if prediction == "score":
        noise = -beta * value
        return ratio(x - beta * noise, alpha), noise  # Tweedie: z = (x + β² s) / α
    if prediction == "velocity":
        det = alpha * d_beta - d_alpha * beta
        return ratio(d_beta * x - beta * value, det), ratio(alpha * value - d_alpha * x, det)
    _check(prediction)
    square = alpha**2 + beta**2
    return (alpha * x - beta * value) / square, (beta * x + alpha * value) / square


def convert(
    value: Tensor,
    x: Tensor,
    t: Time,
    *,
    path: ProbabilityPath,
    source: Prediction,
    target: Prediction,
) -> Tensor:
    """The `target` prediction at x_t (B, ...) from the `source` prediction's value there."""
    if source == target:
        return value
    data, noise = separate(value, x, t, path=path, prediction=source)
    return combine(data, noise, t, path=path, prediction=target)


def converted(
    network: Callable[[Tensor, TimeT], Tensor],
    *,
    path: ProbabilityPath,
    source: Prediction,
    target: Prediction,
) -> Callable[[Tensor, TimeT], Tensor]:
    """The network (x, t) -> `source`, speaking `target`."""
    return lambda x, t: convert(network(x, t), x, t, path=path, source=source, target=target)


def _check(prediction: str) -> None:
    if prediction != "v":
        raise ValueError(f"prediction {prediction!r}, allowed {', '.join(PREDICTIONS)}")
