"""A trained policy whose plans a student learns to draw in one or two evaluations of the network.

The teacher's ODE carries every noise to one plan. The student goes there straight: it learns that
plan from the same noise and, where it takes several steps, from where they begin on the line
between the two. (Distillation of a sampler: Luhman and Luhman 2021; on straight lines: "reflow" of
Liu et al. 2023, "Flow straight and fast".) No demonstration is asked what to do, only what is seen:
so the student has as many examples as noise can be drawn.

Legend: B batch, F numbers of an observation, H rows, A numbers of an action.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Self

import torch
from torch import Generator, Tensor

from policy.checkpoint import WEIGHTS, checkpoint_folder, load_network
from policy.config import PolicyConfig, Recipe
from policy.networks.network import PolicyNetwork
from policy.planning.drawing import FlowDrawing, known
from policy.planning.given_rows import GivenRows
from policy.statistics import Statistics
from robot_io.errors import FeelforwardError

BY_CHANCE = ("sde", "sde_heun", "ddpm")  # from one noise they go to many plans


class Teacher:
    """Its network, drawn from as its own recipe says."""

    def __init__(
        self,
        config: PolicyConfig,
        statistics: Statistics,
        network: PolicyNetwork,
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

    @classmethod
    def load(cls, directory: Path, student: Recipe, *, device: torch.device) -> Self:
        """From a checkpoint or the folder of a run.

        Raises FeelforwardError where it cannot be loaded, or cannot teach this student.
        """
        recipe, statistics, network = load_network(directory)
        _check(recipe.policy, student.policy, directory)
        weights = (checkpoint_folder(directory) / WEIGHTS).read_bytes()
        name = f"the teacher {sha256(weights).hexdigest()[:8]}"
        return cls(recipe.policy, statistics, network.to(device), name=name)

    def instruct(self, student: PolicyNetwork) -> None:
        """Gives it the same weights; what only a policy with a hidden goal has is left out."""
        weights = self.network.state_dict()
        student.load_state_dict({name: weights[name] for name in student.state_dict()})

    @torch.no_grad()
    def plans(
        self,
        feature_BF: Tensor,
        still_BF: Tensor,
        images: Mapping[str, Tensor],
        noise_BHA: Tensor,
        given: GivenRows | None,
    ) -> Tensor:
        """Where these noises go, (B, H, A), as many of them side by side for each observation."""
        seen = self.network.look(feature_BF, still_BF, images)
        condition = known(self.network, seen, self._config.sampling)
        condition = condition.repeated(len(noise_BHA) // len(feature_BF))
        return self._drawing.plans(condition, noise_BHA, given, Generator())


def _check(teacher: PolicyConfig, student: PolicyConfig, directory: Path) -> None:
    if teacher.generative.head != "flow" or teacher.sampling.solver in BY_CHANCE:
        way = teacher.sampling.solver if teacher.generative.head == "flow" else "no noise at all"
        raise FeelforwardError(
            f"{directory} cannot teach: its plans are drawn by {way}, where a student needs one "
            "plan for each noise. Export a copy with another solver, or take another teacher."
        )
    for key in ("action", "horizon", "step_ms", "vectors", "images", "network", "given_rows"):
        theirs, own = getattr(teacher, key), getattr(student, key)
        if theirs != own:
            raise FeelforwardError(
                f"{directory} cannot teach this recipe: policy.{key} is {theirs} there and {own} "
                "here. A student sees, has and does what its teacher does."
            )
    theirs, own = teacher.generative, student.generative
    if (theirs.path, theirs.prediction) != (own.path, own.prediction):
        raise FeelforwardError(
            f"{directory} cannot teach this recipe: it predicts {theirs.prediction} on "
            f"{theirs.path}, the student {own.prediction} on {own.path}. A student begins with the "
            "teacher's weights."
        )
