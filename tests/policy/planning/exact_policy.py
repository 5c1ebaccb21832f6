"""A policy network that is exact: its data are a mixture of Gaussians over whole chunks."""

import torch
from torch import Tensor

from policy.config import PolicyConfig
from policy.generative.method import make_path
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import ProbabilityPath
from policy.networks.condition import Condition
from policy.networks.network import PolicyNetwork

ROWS = (16, 2)


def chunks(*centres: float, std: float = 0.1, weights: tuple[float, ...] | None = None):
    """All rows of a chunk lie around one of the centres."""
    size = ROWS[0] * ROWS[1]
    weight_K = torch.tensor(weights if weights is not None else [1.0] * len(centres)).double()
    mean_KD = torch.tensor(centres).double()[:, None].expand(-1, size)
    return GaussianMixture(weight_K / weight_K.sum(), mean_KD, torch.full_like(mean_KD, std))


LEFT_OR_RIGHT = chunks(-0.8, 0.8)


class ExactNetwork(PolicyNetwork):
    """Tells the best prediction there is; of a hidden goal that of `without`."""

    def __init__(
        self,
        known: GaussianMixture,
        *,
        without: GaussianMixture | None = None,
        config: PolicyConfig | None = None,
    ) -> None:
        torch.nn.Module.__init__(self)
        config = config if config is not None else flow_config()
        self.generative = config.generative
        self.path: ProbabilityPath = make_path(config.generative.path)
        self.rows = ROWS
        self.asked: list[tuple[float, Tensor]] = []
        self._known, self._without = known, without
        self.time_modulation = _Timeless()

    def denoise(
        self, x_BHA: Tensor, t: Tensor | float, film_BM: Tensor, condition: Condition
    ) -> Tensor:
        assert isinstance(t, float)
        self.asked.append((t, x_BHA))
        told = self._best(self._known, x_BHA, t)
        hidden_B = condition.film_BM[:, 0] > 0
        if self._without is None or not hidden_B.any():
            return told
        return torch.where(hidden_B[:, None, None], self._best(self._without, x_BHA, t), told)

    def _best(self, data: GaussianMixture, x_BHA: Tensor, t: float) -> Tensor:
        value = data.marginal(
            x_BHA.flatten(1).double(), t, path=self.path, prediction=self.generative.prediction
        )
        return value.view_as(x_BHA).float()


class _Timeless(torch.nn.Module):
    def forward(self, t_B: Tensor) -> Tensor:
        return torch.zeros(len(t_B), 1)


def condition() -> Condition:
    """A goal that is there, and could be hidden."""
    return Condition(torch.zeros(1, 1), None, without=Condition(torch.ones(1, 1), None))


def flow_config(generative: dict | None = None, **sampling: object) -> PolicyConfig:
    return PolicyConfig.model_validate(
        {
            "action": "vector",
            "vectors": [{"name": "state"}],
            "generative": generative or {},
            "sampling": sampling,
        }
    )
