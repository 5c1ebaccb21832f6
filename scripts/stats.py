"""How sure a success rate is."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

Z_95 = 1.959963984540054  # standard normal quantile of 0.975
EVEN, ODD = slice(0, None, 2), slice(1, None, 2)


def wilson_interval(successes: int, episodes: int, z: float = Z_95) -> tuple[float, float]:
    """95 % confidence interval of a success rate, as fractions (low, high).

    Wilson 1927: unlike the normal approximation it is sound for few episodes and near 0 and 1.
    No episodes say nothing: (0, 1).
    """
    if not 0 <= successes <= episodes:
        raise ValueError(f"successes = {successes}, allowed 0..{episodes} (episodes)")
    if episodes == 0:
        return 0.0, 1.0
    rate, z2_n = successes / episodes, z * z / episodes
    centre = (rate + z2_n / 2) / (1 + z2_n)
    half = z * math.sqrt(rate * (1 - rate) / episodes + z2_n / (4 * episodes)) / (1 + z2_n)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == episodes else centre + half
    return low, high


def paired_interval(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """95 % interval of the difference of two success rates, first less second, on the same seeds.

    Of the pairs, so many succeeded in `both` ways, only the `first` way, only the `second` way, and
    `neither`. Newcombe 1998 (Statistics in Medicine 17, 2635), method 10: from the Wilson intervals
    of both rates and their correlation. No pairs say nothing: (-1, 1).
    """
    if not min(both, first, second, neither) >= 0:
        raise ValueError(f"pairs = {(both, first, second, neither)}, allowed: none below 0")
    pairs = both + first + second + neither
    if pairs == 0:
        return -1.0, 1.0
    one, other = both + first, both + second
    low_1, high_1 = wilson_interval(one, pairs)
    low_2, high_2 = wilson_interval(other, pairs)
    rate_1, rate_2 = one / pairs, other / pairs
    together = _correlation(both, first, second, neither)

    def reach(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * together * one * other + other**2)

    difference = rate_1 - rate_2
    down, up = reach(rate_1 - low_1, high_2 - rate_2), reach(high_1 - rate_1, rate_2 - low_2)
    return difference - down, difference + up


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Of two ways to succeed: phi, corrected for continuity above 0; 0 where there is none."""
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    if product == 0:
        return 0.0
    excess = both * neither - first * second
    if excess > 0:
        excess = max(excess - (both + first + second + neither) / 2, 0.0)
    return excess / math.sqrt(product)


class Crossed(NamedTuple):
    """A mean over trainings and starts, and its interval."""

    mean: float
    low: float
    high: float


def crossed_interval(value_SE: np.ndarray, *, level: float = 0.95) -> Crossed:
    """Interval of the mean for other trainings and other starts: S trainings played E starts each.

    Both are a sample, so a mean has the variance σ_S²/S + σ_E²/E + σ²/(S E), of which analysis of
    variance tells (MS_S + MS_E - MS) / (S E), with Satterthwaite's degrees of freedom (1946). One
    training tells nothing of others: then it is the interval over starts only.
    """
    trainings, starts = value_SE.shape
    if starts < 2:
        raise ValueError(f"starts = {starts}, allowed 2 or more")
    mean = value_SE.mean()
    of_training_S, of_start_E = value_SE.mean(1), value_SE.mean(0)
    rest_SE = value_SE - of_training_S[:, None] - of_start_E + mean
    squares = np.array([(of_start_E - mean) @ (of_start_E - mean) * trainings])
    freedom = np.array([starts - 1])
    if trainings > 1:
        off_S = of_training_S - mean
        squares = np.append(squares, [starts * off_S @ off_S, np.square(rest_SE).sum()])
        freedom = np.append(freedom, [trainings - 1, (trainings - 1) * (starts - 1)])
    means = squares / freedom * np.array([1, 1, -1])[: len(freedom)]
    total = max(means.sum(), -means[-1])
    if not total > 0:
        return Crossed(float(mean), float(mean), float(mean))
    degrees = total**2 / (means**2 / freedom).sum()
    half = student_quantile((1 + level) / 2, degrees) * math.sqrt(total / value_SE.size)
    return Crossed(float(mean), float(mean - half), float(mean + half))


def success_rate(success_SE: np.ndarray) -> Crossed:
    """A rate of success; of one training by Wilson, who knows what few starts tell near 0 and 1."""
    if len(success_SE) > 1:
        return Crossed(*np.clip(crossed_interval(success_SE), 0.0, 1.0).tolist())
    successes, starts = int(success_SE.sum()), success_SE.size
    return Crossed(successes / starts, *wilson_interval(successes, starts))


def crossed_difference(one_SE: np.ndarray, other_SE: np.ndarray, *, level: float = 0.95) -> Crossed:
    """The same of one less other, training by training; what a start does to both cancels.

    Equivalent within a margin at 5 % is what has its 90 % interval inside (two one-sided tests,
    Schuirmann 1987).
    """
    if one_SE.shape != other_SE.shape:
        raise ValueError(f"trainings, starts = {one_SE.shape} and {other_SE.shape}, allowed: equal")
    return crossed_interval(one_SE - other_SE, level=level)


def best_by_other_starts(success_NSE: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """(S, E) of the best of N, for each half of the starts the one that was best on the other half.

    Who is best of many on some starts was lucky there, and does less on others. With the starts cut
    into every other one, nobody is told of starts that he was chosen by. Also who the two are.
    """
    even, odd = (success_NSE[:, :, half].mean((1, 2)).argmax() for half in (EVEN, ODD))
    best_SE = success_NSE[odd].copy()  # right on the even ones
    best_SE[:, ODD] = success_NSE[even][:, ODD]
    return best_SE, (int(even), int(odd))


def student_quantile(probability: float, degrees: float) -> float:
    """Of Student's t, from the normal one's (Abramowitz and Stegun 1964, 26.7.5).

    Within 0.5 % from 3 degrees of freedom on, at the probabilities of intervals.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))
