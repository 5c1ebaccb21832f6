"""The network as a field of (x, t) for one observation, its condition guided if the recipe says so.

Legend: B batch, H rows, M modulation, N times.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from policy.config import PolicyConfig
from policy.generative.guidance import classifier_free, guidance_schedule
from policy.generative.samplers import Field
from policy.generative.sampling import Sampler
from policy.generative.shortcut import told_step
from policy.networks.condition import Condition
from policy.networks.network import PolicyNetwork

RowTime = Callable[[float], Tensor | float]  # t of the chunk -> t of each row, (H, 1), or of all


def same_for_all(t: float) -> float:
    """No row is given."""
    return t


class NetworkFields:
    """What depends on time only is tabulated once; one projection per observation does the rest."""

    def __init__(self, network: PolicyNetwork, config: PolicyConfig) -> None:
        self._network = network
        sampling = config.sampling
        self._weight = guidance_schedule(sampling.guidance_weight, sampling.guidance_interval)
        self._shortcut = config.generative.shortcut
        self._film: dict[tuple[float, float], Tensor] = {}

    def tabulate(self, *samplers: Sampler) -> None:
        """The modulation at every time that these ask for."""
        asked = {(t, self._step(each)) for each in samplers for t in each.asked_times()}
        keys = sorted(asked - self._film.keys())
        if keys:
            self._film.update(zip(keys, self._time_film(keys).split(1), strict=True))

    def field(
        self, condition: Condition, sampler: Sampler, *, row_time: RowTime = same_for_all
    ) -> Field:
        """(x, t) -> the network's prediction."""
        step, network = self._step(sampler), self._network

        def told(x: Tensor, t: float, known: Condition) -> Tensor:
            return network.denoise(x, row_time(t), known.film_BM + self._film_at(t, step), known)

        def conditional(x: Tensor, t: float) -> Tensor:
            return told(x, t, condition)

        if condition.without is None:
            return conditional
        both = condition.followed_by(condition.without)

        def pair(x: Tensor, t: float) -> tuple[Tensor, Tensor]:
            with_goal, without = told(torch.cat([x, x]), t, both).chunk(2)
            return with_goal, without

        return classifier_free(conditional, pair, weight=self._weight)

    def _step(self, sampler: Sampler) -> float:
        """How long the network is told that steps are; only a shortcut model minds."""
        return sampler.step if self._shortcut else 0.0

    def _film_at(self, t: float, step: float) -> Tensor:
        """(1, M); an adaptive solver asks at times that nobody foresaw."""
        known = self._film.get((t, step))
        return known if known is not None else self._time_film([(t, step)])

    def _time_film(self, keys: list[tuple[float, float]]) -> Tensor:
        """(N, M) for pairs of time and step."""
        t_N, step_N = torch.tensor(keys).unbind(-1)
        with torch.no_grad():
            return self._network.time_film(t_N, told_step(step_N))
