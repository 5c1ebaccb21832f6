"""Drawing a normalised chunk from what the network learnt, whichever way it learnt it.

Legend: B batch, H rows, A numbers of an action, N candidates.
"""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from policy.config import Joining, PolicyConfig
from policy.generative.config import SamplingConfig
from policy.generative.predictions import Prediction, convert
from policy.generative.samplers import Field
from policy.generative.sampling import Sampler, make_sampler
from policy.networks.condition import Condition, Seen
from policy.networks.network import PolicyNetwork
from policy.planning.given_rows import GivenRows, continuing
from policy.planning.joining import MAX_GUIDANCE, Target, guided, most_coherent
from policy.planning.network_field import NetworkFields
from robot_io.errors import FeelforwardError

CANDIDATES = 8  # of bidirectional decoding, good and weak ones each
WEAK_EVALUATIONS = 2  # what makes a candidate weak: so few that modes blur
RK4_FEWEST = 3


class Drawing(Protocol):
    """A way from what was observed to a plan."""

    def draw(
        self, condition: Condition, target: Target | None, *, start: float, generator: Generator
    ) -> Tensor:
        """(B, H, A). `target`: what the last plan left; `start` > 0: the time to start from it."""
        ...


def make_drawing(
    network: PolicyNetwork, config: PolicyConfig, *, joining: Joining, bounds: tuple[Tensor, Tensor]
) -> Drawing:
    """What `config.generative` names. `bounds`: of normalised actions in the data, for clipping.

    Raises FeelforwardError where the way of joining needs what this policy is not.
    """
    head = config.generative.head
    if joining == "bidirectional" and config.sampling.solver == "adaptive":
        raise FeelforwardError(
            'joining = "bidirectional" compares with plans of few evaluations, which solver = '
            '"adaptive" does not draw: choose another solver.'
        )
    if head == "flow":
        return FlowDrawing(network, config, joining=joining, bounds=bounds)
    if joining not in ("overwrite", "ensemble"):
        raise FeelforwardError(
            f'joining = "{joining}" steers a plan while it is drawn from noise, which head = '
            f'"{head}" does not do: choose overwrite or ensemble.'
        )
    return MeanDrawing(network) if head == "mse" else MixtureDrawing(network)


def known(network: PolicyNetwork, seen: Seen, sampling: SamplingConfig) -> Condition:
    """What a plan is drawn from; where it will be guided, with the goal hidden beside it."""
    condition = network.condition(seen)
    if sampling.guidance_weight == 1:
        return condition
    return replace(condition, without=network.condition_without_goal(seen))


class MeanDrawing:
    """Head "mse": the mean of all plans that fit; nothing is drawn."""

    def __init__(self, network: PolicyNetwork) -> None:
        self._network = network

    def draw(
        self, condition: Condition, target: Target | None, *, start: float, generator: Generator
    ) -> Tensor:
        return self._network.regress(condition)


class MixtureDrawing:
    """Head "gmm": the middle of a component, drawn by its weight."""

    def __init__(self, network: PolicyNetwork) -> None:
        self._network = network

    def draw(
        self, condition: Condition, target: Target | None, *, start: float, generator: Generator
    ) -> Tensor:
        return self._network.mixture(condition).draw(generator)


class FlowDrawing:
    """Head "flow": noise, carried to a plan.

    network, guided by its condition ─▶ velocity or data, clipped ─▶ joined ─▶ sampler
    """

    def __init__(
        self,
        network: PolicyNetwork,
        config: PolicyConfig,
        *,
        joining: Joining,
        bounds: tuple[Tensor, Tensor],
    ) -> None:
        self._rows, self._joining, self._bounds = network.rows, joining, bounds
        self._prediction: Prediction = config.generative.prediction
        self._clip = config.sampling.clip
        self._sampler = make_sampler(config.sampling, config.generative)
        self._weak_sampler = make_sampler(
            config.sampling.model_copy(update={"evaluations": _few(config)}), config.generative
        )
        self._warm: dict[float, Sampler] = {}
        self._network = NetworkFields(network, config)
        self._network.tabulate(self._sampler, self._weak_sampler)

    def draw(
        self, condition: Condition, target: Target | None, *, start: float, generator: Generator
    ) -> Tensor:
        if self._joining == "bidirectional":
            return self._most_coherent(condition, target, generator)
        sampler, noise = self._sampler, self._noise(len(condition.film_BM), generator)
        if start > 0 and target is not None:
            sampler = self._started_at(start)
            x = sampler.begin_near(target.action_HA, noise)
        else:
            x = sampler.begin(noise)
        if target is not None and self._joining == "guided":
            field = self._guided(condition, target, sampler)
            return sampler.draw(field, x, generator=generator)
        given = target.given if target is not None and self._joining == "trained" else None
        return self.carried(condition, x, given, sampler, generator)

    def carried(
        self,
        condition: Condition,
        x: Tensor,
        given: GivenRows | None,
        sampler: Sampler,
        generator: Generator,
    ) -> Tensor:
        """Where `sampler` goes from these x, (B, H, A), each its own way; given rows lie still."""
        if given is None:
            return sampler.draw(self._field(condition, sampler), x, generator=generator)
        network = self._network.field(condition, row_time=given.row_time)
        field = continuing(self._asked(network, sampler), given, tells=sampler.asks_for)
        return given.in_place(sampler.draw(field, given.in_place(x), generator=generator))

    def _most_coherent(
        self, condition: Condition, target: Target | None, generator: Generator
    ) -> Tensor:
        condition = condition.repeated(CANDIDATES)
        strong_NHA, weak_NHA = (
            self.carried(
                condition,
                sampler.begin(self._noise(CANDIDATES, generator)),
                None,
                sampler,
                generator,
            )
            for sampler in (self._sampler, self._weak_sampler)
        )
        return most_coherent(strong_NHA, weak_NHA, target)[None]

    def _field(self, condition: Condition, sampler: Sampler) -> Field:
        return self._asked(self._network.field(condition), sampler)

    def _guided(self, condition: Condition, target: Target, sampler: Sampler) -> Field:
        """A long step must not be pulled past the target."""
        velocity = guided(
            self._network.field(condition),
            target,
            prediction=self._prediction,
            path=sampler.path,
            max_guidance=min(MAX_GUIDANCE, 1 / sampler.step),
        )
        return self._asked(velocity, sampler, source="velocity")

    def _asked(self, field: Field, sampler: Sampler, *, source: Prediction | None = None) -> Field:
        """The field as the sampler asks for it, with its data clipped if the recipe says so."""
        source, wanted = source if source is not None else self._prediction, sampler.asks_for
        path, (low, high) = sampler.path, self._bounds
        if source == wanted and not self._clip:
            return field

        def asked(x: Tensor, t: float) -> Tensor:
            value = field(x, t)
            if not self._clip:
                return convert(value, x, t, path=path, source=source, target=wanted)
            data = convert(value, x, t, path=path, source=source, target="data")
            return convert(data.clamp(low, high), x, t, path=path, source="data", target=wanted)

        return asked

    def _started_at(self, start: float) -> Sampler:
        if start not in self._warm:
            self._warm[start] = self._sampler.started_at(start)
            self._network.tabulate(self._warm[start])
        return self._warm[start]

    def _noise(self, count: int, generator: Generator) -> Tensor:
        return torch.randn((count, *self._rows), generator=generator)


def _few(config: PolicyConfig) -> int:
    fewest = RK4_FEWEST if config.sampling.solver == "rk4" else WEAK_EVALUATIONS
    return min(fewest, config.sampling.evaluations)
