"""What a policy's network costs: parameters, and the time of its parts on one core.

Times of all networks are taken in turn, so that a neighbour's load meets each of them alike.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from policy.config import PolicyConfig, Recipe
from policy.features import make_features
from policy.networks.network import PolicyNetwork
from robot_io.clock import MonotonicClock
from scripts.bench.control import Spread

VECTOR_SIZES = {"keypoint": 18, "agent": 2, "measured": 8, "commanded": 8}
ROW_SIZES = {"vector": 2, "tool": 8}  # Push-T's and a tool's
IMAGE_SIZES = {"camera": (96, 96, 3), "tactile": (32, 32, 3)}
TRAINED = 64  # examples of a training step
WARM_UP = 3

Part = Literal["encode", "evaluate", "train"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one recipe's network."""

    parameters: int
    encoder_parameters: int
    encode_ms: Spread  # one observation
    evaluate_ms: Spread  # one evaluation of the denoiser, batch 1
    train_ms: Spread  # forward and backward of `TRAINED` examples, encoders included

    def plan_ms(self, evaluations: int) -> float:
        """A plan, at the median."""
        return self.encode_ms.p50 + evaluations * self.evaluate_ms.p50


def measure(recipes: dict[str, Recipe], *, rounds: int) -> dict[str, Cost]:
    """In each round every network encodes, evaluates ten times, and at times trains."""
    torch.set_num_threads(1)
    subjects = {name: _Subject(recipe.policy) for name, recipe in recipes.items()}
    for i in range(-WARM_UP, rounds):
        for subject in subjects.values():
            subject.take_turn(train=i % 10 == 0, counts=i >= 0)
    return {name: subject.cost() for name, subject in subjects.items()}


class _Subject:
    """A network with made-up observations, and the times that it took."""

    def __init__(self, config: PolicyConfig) -> None:
        self.config = config
        streams = {s.name: _rows(s.history, VECTOR_SIZES[s.name]) for s in config.vectors}
        features = make_features(config)
        row_BHD = _rows(config.horizon, ROW_SIZES[config.action])
        self.feature_size = features.observation(streams).shape[-1]
        self.action_size = features.encode(streams, row_BHD).shape[-1]
        self.network = PolicyNetwork(
            config,
            feature_size=self.feature_size,
            action_size=self.action_size,
            image_sizes={s.name: IMAGE_SIZES[s.kind] for s in config.images},
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.clock = MonotonicClock()
        self.took_ns: dict[Part, list[int]] = {"encode": [], "evaluate": [], "train": []}

    def take_turn(self, *, train: bool, counts: bool) -> None:
        x_BHA, t = torch.randn(1, self.config.horizon, self.action_size), 0.5
        took_ns: list[tuple[Part, int]] = []
        with torch.no_grad():
            observed = self._observed(1)
            began_ns = self.clock.now_ns()
            condition = self.network.condition(self.network.look(*observed))
            took_ns.append(("encode", self.clock.now_ns() - began_ns))
            film_BM = condition.film_BM + self.network.time_modulation(torch.tensor([t]))
            for _ in range(10):
                began_ns = self.clock.now_ns()
                self.network.denoise(x_BHA, t, film_BM, condition)
                took_ns.append(("evaluate", self.clock.now_ns() - began_ns))
        if train:
            took_ns.append(("train", self._train_ns()))
        if counts:
            for part, ns in took_ns:
                self.took_ns[part].append(ns)

    def _train_ns(self) -> int:
        x_BHA = torch.randn(TRAINED, self.config.horizon, self.action_size)
        observed, t_B = self._observed(TRAINED), torch.rand(TRAINED)
        self.network.zero_grad(set_to_none=True)
        began_ns = self.clock.now_ns()
        condition = self.network.condition(self.network.look(*observed))
        self.network.predict(x_BHA, t_B, condition).square().mean().backward()
        return self.clock.now_ns() - began_ns

    def _observed(self, batch: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        feature_BF = torch.randn(batch, self.feature_size)
        images = {
            s.name: torch.rand(batch, s.history, *IMAGE_SIZES[s.kind]) for s in self.config.images
        }
        return feature_BF, feature_BF, images

    def cost(self) -> Cost:
        encode, evaluate, train = (
            Spread.of_ns(np.array(self.took_ns[part])) for part in ("encode", "evaluate", "train")
        )
        return Cost(
            _parameters(self.network), _parameters(self.network.encoders), encode, evaluate, train
        )


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _rows(steps: int, size: int) -> Tensor:
    return torch.ones(1, steps, size, dtype=torch.float64)
