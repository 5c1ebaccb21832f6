"""How sure a success rate is."""

import math

Z_95 = 1.959963984540054  # standard normal quantile of 0.975


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
