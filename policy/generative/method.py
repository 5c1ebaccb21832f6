"""A recipe's generative method as objects: its path, the times it trains on, what they count."""

from torch import Generator, Tensor

from policy.generative.config import DDPM_LEVELS, GenerativeConfig, PathName
from policy.generative.discrete_time import DiscreteTime, alphas_cumprod
from policy.generative.losses import loss_weight, min_snr_weight
from policy.generative.paths import (
    CondOT,
    Polynomial,
    ProbabilityPath,
    VarianceExploding,
    VariancePreservingCosine,
    VariancePreservingLinear,
)
from policy.generative.time_sampling import (
    beta_times,
    level_times,
    logit_normal_times,
    uniform_times,
)

# A weight that grows without bound towards an end would leave the rest unlearnt: held as if β (or
# α) were never below 1/20, as Li and He 2025 ("Back to basics") do for data with velocity's loss.
MOST_WEIGHT = 400.0


def make_path(name: PathName) -> ProbabilityPath:
    """The path of this name; "ddpm" is Diffusion Policy's 100 levels of squaredcos_cap_v2."""
    if name == "ddpm":
        return DiscreteTime(alphas_cumprod("squaredcos_cap_v2", levels=DDPM_LEVELS))
    if name == "variance_exploding":
        return VarianceExploding(first=80.0, last=0.001)  # of data of about unit size
    return {
        "cond_ot": CondOT,
        "polynomial": Polynomial,
        "variance_preserving_cosine": VariancePreservingCosine,
        "variance_preserving_linear": VariancePreservingLinear,
    }[name]()


def draw_times(config: GenerativeConfig, n: int, *, generator: Generator) -> Tensor:
    """(n,) times of a training step."""
    if config.times == "levels":
        return level_times(n, levels=DDPM_LEVELS, generator=generator)
    draw = {"uniform": uniform_times, "logit_normal": logit_normal_times, "beta": beta_times}
    return draw[config.times](n, generator=generator)


def time_weight(config: GenerativeConfig, t_B: Tensor, *, path: ProbabilityPath) -> Tensor | None:
    """How much each time's error counts, (B,) up to `MOST_WEIGHT`; none where all count alike."""
    if config.weight == "none":
        return None
    if config.weight == "min_snr":
        weight_B = min_snr_weight(t_B, path=path, learned=config.prediction)
    else:
        weight_B = loss_weight(t_B, path=path, learned=config.prediction, like=config.weight)
    return weight_B.clamp_max(MOST_WEIGHT)
