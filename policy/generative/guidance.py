"""Classifier-free guidance: more, or less, of what the condition says (Ho and Salimans 2022)."""

from collections.abc import Callable

from torch import Tensor

from policy.generative.samplers import Field

Pair = Callable[[Tensor, float], tuple[Tensor, Tensor]]  # (x, t) -> conditional, unconditional


def classifier_free(conditional: Field, pair: Pair, *, weight: Callable[[float], float]) -> Field:
    """ũ(x, t) = u(x, t | ∅) + w (u(x, t | y) - u(x, t | ∅)),  w = `weight`(t).

    w = 1 is the conditional field itself, w = 0 the unconditional one, w > 1 exaggerates what y
    changes. (Holderrieth and Erives 2025, section 5.1; the paper's own w is one less.) The weights
    of both fields add up to 1, so it does not matter whether they tell velocity, noise, data, score
    or v. A network learns both when some of its examples hide y (`null_share` in a recipe): the
    goal, or the whole observation where no stream is a goal.

    Only for w = 0 and w = 1 are the marginals those of a known distribution.
    """

    def field(x: Tensor, t: float) -> Tensor:
        w = weight(t)
        if w == 1:
            return conditional(x, t)
        with_y, without = pair(x, t)
        return without + w * (with_y - without)

    return field


def guidance_schedule(weight: float, interval: tuple[float, float]) -> Callable[[float], float]:
    """`weight` for times in the interval, 1 outside (Kynkäänniemi et al. 2024: noisy times, where
    guidance costs variety, and clean ones, where it does nothing, are better left alone)."""
    first, last = interval
    return lambda t: weight if first <= t <= last else 1.0
