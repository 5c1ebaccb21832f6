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
from policy.networks.condition import Condition
from policy.networks.network import PolicyNetwork

RowTime = Callable[[float], Tensor | float]  # t of the chunk -> t of each row, (B, H, 1), or of all


def same_for_all(t: float) -> float:
    """No row is given."""
    return t


class NetworkFields:
    """What depends on time only is tabulated once; one projection per observation does the rest."""

    def __init__(self, network: PolicyNetwork, config: PolicyConfig) -> None:
        self._network = network
        sampling = config.sampling
        self._weight = guidance_schedule(sampling.guidance_weight, sampling.guidance_interval)
        self._film: dict[float, Tensor] = {}

    def tabulate(self, *samplers: Sampler) -> None:
        """The modulation at every time that these ask for."""
        asked = {t for each in samplers for t in each.asked_times()}
        times = sorted(asked - self._film.keys())
        if times:
            self._film.update(zip(times, self._tabulated(times).split(1), strict=True))

    def field(self, condition: Condition, *, row_time: RowTime = same_for_all) -> Field:
        """(x, t) -> the network's prediction."""
        network = self._network

        def told(x: Tensor, t: float, time: Tensor | float, known: Condition) -> Tensor:
            return network.denoise(x, time, known.film_BM + self._film_at(t), known)

        def conditional(x: Tensor, t: float) -> Tensor:
            return told(x, t, row_time(t), condition)

        if condition.without is None:
            return conditional
        both = condition.followed_by(condition.without)

        def pair(x: Tensor, t: float) -> tuple[Tensor, Tensor]:
            time = row_time(t)
            time = torch.cat([time, time]) if isinstance(time, Tensor) else time
            with_goal, without = told(torch.cat([x, x]), t, time, both).chunk(2)
            return with_goal, without

        return classifier_free(conditional, pair, weight=self._weight)

    def _film_at(self, t: float) -> Tensor:
        """(1, M); an adaptive solver asks at times that nobody foresaw."""
        known = self._film.get(t)
        return known if known is not None else self._tabulated([t])

    @torch.no_grad()
    def _tabulated(self, times: list[float]) -> Tensor:
        """(N, M)."""
        return self._network.time_modulation(torch.tensor(times))
