"""A trained policy whose plans a student learns to draw in one or two evaluations of the network.

The teacher's ODE carries every noise to one plan. The student's first step learns to arrive there
at once from the same noise (Luhman and Luhman 2021, "Knowledge distillation in iterative generative
models"). Where it goes on, its first step led near the plan, off by an error of its own; the others
learn what the teacher says of the data from there, which is a mean over all that x may have come
from, and so mends that error as if it were noise. (On Push-T this is what makes a second step worth
while: where the ODE goes from there, a consistency model's lesson, carries the error along.)

No demonstration is asked what to do, only what is seen: there are as many examples as noise can be
drawn, and they may be what the teacher saw when it played itself. (DAgger, Ross et al. 2011, takes
the learner's own plays. On Push-T the teacher's do as well.)

Legend: B batch, F numbers of an observation, H rows, A numbers of an action.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Self

import torch
from torch import Generator, Tensor

from policy.checkpoint import WEIGHTS, checkpoint_folder, load_network
from policy.config import PolicyConfig, Recipe
from policy.generative.config import SamplingConfig
from policy.generative.paths import coefficients
from policy.generative.predictions import convert
from policy.generative.samplers import Field, solve
from policy.generative.sampling import Sampler, make_sampler
from policy.networks.condition import Condition
from policy.networks.network import PolicyNetwork
from policy.planning.drawing import FlowDrawing, known
from policy.planning.given_rows import GivenRows, continuing
from policy.statistics import Statistics
from policy.training.chunk_loss import DrawnChunk
from robot_io.errors import FeelforwardError

ONE_STEP = SamplingConfig(solver="euler", evaluations=1)  # to the data prediction
BY_CHANCE = ("sde", "sde_heun", "ddpm")  # from one noise they go to many plans

LookedAt = tuple[Tensor, Tensor, Mapping[str, Tensor]]  # as `PolicyNetwork.look` takes it


class Teacher:
    """Its network, whose plans are drawn as its own recipe says from the student's noise, and the
    times at which a student asks."""

    def __init__(
        self,
        config: PolicyConfig,
        statistics: Statistics,
        network: PolicyNetwork,
        student: PolicyConfig,
        *,
        name: str,
    ) -> None:
        self.statistics, self.name = statistics, name
        self.network = network.eval().requires_grad_(False)
        self._config = config
        low, high = statistics.action_bounds
        device = next(network.parameters()).device
        self._drawing = FlowDrawing(
            network, config, joining="overwrite", bounds=(low.to(device), high.to(device))
        )
        self._sampler = make_sampler(student.sampling, student.generative)
        whole, path = make_sampler(config.sampling, config.generative), self._sampler.path
        later = [Sampler(ONE_STEP, path, (t, 1.0)) for t in self._sampler.times[1:-1]]
        self._ways = [whole, *later]  # one for each step of the student

    @classmethod
    def load(cls, directory: Path, student: Recipe, *, device: torch.device) -> Self:
        """From a checkpoint or the folder of a run.

        Raises FeelforwardError where it cannot be loaded, or cannot teach this student.
        """
        recipe, statistics, network = load_network(directory)
        _check(recipe.policy, student.policy, directory)
        weights = (checkpoint_folder(directory) / WEIGHTS).read_bytes()
        name = f"the teacher {sha256(weights).hexdigest()[:8]}"
        return cls(recipe.policy, statistics, network.to(device), student.policy, name=name)

    def initialize(self, student: PolicyNetwork) -> None:
        """Gives it the same weights; what only a policy with a hidden goal has is left out."""
        weights = self.network.state_dict()
        student.load_state_dict({name: weights[name] for name in student.state_dict()})

    @torch.no_grad()
    def lesson(
        self,
        chunk: DrawnChunk,
        student: PolicyNetwork,
        condition: Condition,
        looked_at: LookedAt,
        generator: Generator,
    ) -> DrawnChunk:
        """`chunk` with what the teacher says as its actions, at one of the student's times.

        The time is the same for all of a batch. The noise becomes what a straight line to those
        actions would have begun with, so that `interpolate` gives the x that they were said of.
        """
        times = self._sampler.times
        taken = int(torch.randint(len(times) - 1, (), generator=generator))  # steps behind it
        x, t = self._sampler.begin(chunk.noise_BHA), times[taken]
        if taken:
            field = _velocity(student, condition, chunk.given)
            x = solve(field, x, times[: taken + 1], solver="euler")
        said_BHA = self.plans(looked_at, x, chunk.given, taken=taken)
        alpha, beta, _, _ = coefficients(student.path, t, x)
        return replace(
            chunk,
            action_BHA=said_BHA,
            noise_BHA=(x - alpha * said_BHA) / beta,
            t_B=torch.full_like(chunk.t_B, t),
        )

    @torch.no_grad()
    def plans(
        self, looked_at: LookedAt, x_BHA: Tensor, given: GivenRows | None, *, taken: int
    ) -> Tensor:
        """What it says of these x, (B, H, A), as many side by side per observation.

        The plans of noises (`taken` = 0), or the data prediction after so many of the student's
        steps.
        """
        seen = self.network.look(*looked_at)
        condition = known(self.network, seen, self._config.sampling)
        condition = condition.repeated(len(x_BHA) // len(looked_at[0]))
        sampler = self._ways[taken]
        return self._drawing.carried(condition, x_BHA, given, sampler, Generator())


def _velocity(student: PolicyNetwork, condition: Condition, given: GivenRows | None) -> Field:
    """The student's field as it is now; given rows are shown clean."""
    path, source = student.path, student.generative.prediction
    mask_BH1 = None if given is None else given.mask_BH1

    def field(x: Tensor, t: float) -> Tensor:
        told = student.predict(x, x.new_full((1,), t), condition, given_BH1=mask_BH1)
        return convert(told, x, t, path=path, source=source, target="velocity")

    return field if given is None else continuing(field, given)


def _check(teacher: PolicyConfig, student: PolicyConfig, directory: Path) -> None:
    if teacher.generative.head != "flow" or teacher.sampling.solver in BY_CHANCE:
        way = teacher.sampling.solver if teacher.generative.head == "flow" else "no noise at all"
        raise FeelforwardError(
            f"{directory} cannot teach: its plans are drawn by {way}, where a student needs one "
            "plan for each noise. Export a copy with another solver, or take another teacher."
        )
    here, there = _what_must_agree(student), _what_must_agree(teacher)
    for key, own in here.items():
        if there[key] != own:
            raise FeelforwardError(
                f"{directory} cannot teach this recipe: policy.{key} is {there[key]} there and "
                f"{own} here. A student sees, has and does what its teacher does, and begins with "
                "its weights."
            )


def _what_must_agree(config: PolicyConfig) -> dict[str, object]:
    keys = ("action", "horizon", "step_ms", "vectors", "images", "network", "given_rows")
    return {
        **{key: getattr(config, key) for key in keys},
        "generative.path": config.generative.path,
        "generative.prediction": config.generative.prediction,
    }
