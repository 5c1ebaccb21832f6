"""The generative method as a recipe names it: `[policy.generative]` and `[policy.sampling]`.

    [policy.generative]          # what is learnt: fixed by training
    path = "ddpm"
    prediction = "noise"
    times = "levels"

    [policy.sampling]            # how plans are drawn: may be chosen anew for trained weights
    solver = "ddim"
    grid = "trailing"
    evaluations = 8

Combinations that mean nothing are refused, each with its reason. Needs no torch.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PathName = Literal[
    "cond_ot",
    "polynomial",
    "variance_preserving_cosine",
    "variance_preserving_linear",
    "variance_exploding",
    "ddpm",
]
# "mse" and "gmm" (a Gaussian mixture) regress the chunk from the observation: baselines
Head = Literal["flow", "mse", "gmm"]
SolverName = Literal[
    "euler",
    "midpoint",
    "heun",
    "rk4",
    "adaptive",
    "sde",
    "sde_heun",
    "ddim",
    "ddpm",
    "dpmpp_2m",
]

GridName = Literal["uniform", "cosine", "quadratic", "cubic", "karras", "leading", "trailing"]

DDPM_LEVELS = 100  # noise levels of the path "ddpm", as in Diffusion Policy (Chi et al. 2023)
ODE_SOLVERS = ("euler", "midpoint", "heun", "rk4", "adaptive")
BETWEEN_LEVELS = ("midpoint", "heun", "rk4", "adaptive", "sde_heun")  # ask there, too


class Frozen(BaseModel):
    """Base of what a recipe holds: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GenerativeConfig(Frozen):
    """What is learnt. The defaults are conditional flow matching on the straight path."""

    head: Head = "flow"
    path: PathName = "cond_ot"
    prediction: Literal["velocity", "noise", "data", "v", "score"] = "velocity"
    # how much each time counts: as it comes, as in another prediction's loss, or min(SNR, 5)
    weight: Literal["none", "velocity", "noise", "data", "v", "min_snr"] = "none"
    times: Literal["uniform", "logit_normal", "beta", "levels"] = "uniform"  # that training sees
    # learnt from a teacher's plans, to be drawn in the few evaluations that `sampling` then names
    distilled: bool = False
    # share of examples that are learnt without their goal (where no stream is a goal, without their
    # whole observation), for classifier-free guidance
    null_share: float = Field(default=0.0, ge=0, le=0.9)

    @model_validator(mode="after")
    def _consistent(self) -> "GenerativeConfig":
        others = self.model_dump(exclude_defaults=True, exclude={"head"})
        if self.head != "flow" and others:
            fields = GenerativeConfig.model_fields
            without = ", ".join(f"{key}={fields[key].default}" for key in others)
            raise ValueError(
                f'head = "{self.head}" regresses and takes no other key of this table: '
                f"set {without}"
            )
        if self.path == "variance_exploding" and self.prediction in ("velocity", "v"):
            raise ValueError(
                f"the {self.prediction} of variance_exploding has the size of its noise, up to "
                "hundreds of times the data's: predict data, noise or score"
            )
        if self.times == "levels" and self.path != "ddpm":
            raise ValueError(f'times = "levels" needs the levels of path = "ddpm", not {self.path}')
        if self.distilled:
            self._check_distilled()
        return self

    def _check_distilled(self) -> None:
        if self.path != "cond_ot" or self.prediction not in ("velocity", "data"):
            raise ValueError(
                "distilled goes straight from noise to plan: it needs cond_ot and velocity or data,"
                f" got {self.path} and {self.prediction}"
            )
        if self.null_share:
            raise ValueError("distilled learns what guidance made of a plan: null_share must be 0")
        if (self.weight, self.times) != ("none", "uniform"):
            raise ValueError("distilled has a loss and times of its own: drop weight and times")


class SamplingConfig(Frozen):
    """How a plan is drawn from what was learnt."""

    solver: SolverName = "midpoint"
    evaluations: int = Field(default=10, ge=1, le=200)  # of the network, per plan; not of adaptive
    grid: GridName = "uniform"
    sigma: float = Field(default=1.0, ge=0, le=10)  # of sde: σ_t = sigma β_t
    # all noise is so many times its size: below 1 plans keep closer to what is most likely
    temperature: float = Field(default=1.0, ge=0, le=1)
    clip: bool = False  # data predictions to the range of the demonstrations
    guidance_weight: float = Field(default=1.0, ge=0, le=20)  # 1: as learnt, 0: no goal
    # flow times from .. to within which the weight holds; 1 outside
    guidance_interval: tuple[
        Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]
    ] = (0.0, 1.0)
    # > 0: start from the last plan, see `policy.planning.warm_start`; how far a plan may have moved
    # per change of the observation, both normalised
    warm_start: float = Field(default=0.0, ge=0, le=10)

    @model_validator(mode="after")
    def _consistent(self) -> "SamplingConfig":
        if self.solver in ("midpoint", "heun", "sde_heun") and self.evaluations % 2:
            raise ValueError(f"{self.solver} takes 2 evaluations per step, got {self.evaluations}")
        if self.solver == "rk4" and (self.evaluations + 1) % 4:
            raise ValueError(
                f"rk4 takes 4 evaluations per step and 3 in the last, got {self.evaluations}"
            )
        if not self.guidance_interval[0] < self.guidance_interval[1]:
            raise ValueError(f"guidance_interval = {self.guidance_interval}, allowed: from < to")
        if self.solver == "adaptive" and self.grid != "uniform":
            raise ValueError(f'adaptive chooses its own steps: grid "{self.grid}" says nothing')
        if self.warm_start and self.grid in ("karras", "leading", "trailing"):
            raise ValueError(
                f"warm_start begins anywhere on the way, a {self.grid} grid at a time of its own"
            )
        return self


def check_fit(generative: GenerativeConfig, sampling: SamplingConfig) -> None:
    """Raises ValueError, one sentence, where this cannot be drawn so."""
    if generative.head == "flow":
        _check_levels(generative, sampling)
        if generative.distilled:
            _check_distilled(sampling)
    if sampling.guidance_weight != 1 and not generative.null_share:
        raise ValueError(
            f"guidance_weight = {sampling.guidance_weight} needs a policy that was trained with "
            "generative.null_share > 0"
        )
    if generative.head != "flow" and (sampling.warm_start or sampling.temperature != 1):
        raise ValueError(
            f'head = "{generative.head}" starts from no noise: warm_start must be 0, temperature 1'
        )


def _check_levels(generative: GenerativeConfig, sampling: SamplingConfig) -> None:
    on_levels = sampling.grid in ("leading", "trailing")
    if on_levels and generative.path != "ddpm":
        raise ValueError(f'grid = "{sampling.grid}" needs the levels of path = "ddpm"')
    if on_levels and sampling.evaluations > DDPM_LEVELS:
        raise ValueError(f"evaluations = {sampling.evaluations}, allowed 1 to {DDPM_LEVELS} levels")
    if generative.times == "levels" and not (on_levels and sampling.solver not in BETWEEN_LEVELS):
        raise ValueError(
            'times = "levels" learns numbered levels only: sample with grid leading or trailing '
            f"and a solver that asks nowhere else, not {sampling.grid} and {sampling.solver}"
        )


def _check_distilled(sampling: SamplingConfig) -> None:
    if sampling.solver != "euler":
        raise ValueError(f'a distilled policy goes straight: solver "euler", not {sampling.solver}')
    if sampling.warm_start or sampling.clip:
        raise ValueError("a distilled policy steps from pure noise: warm_start 0, clip false")
