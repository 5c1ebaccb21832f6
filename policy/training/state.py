"""All that a training needs to go on exactly where it was, in one file that is replaced whole."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pydantic
import torch
from torch import Tensor

from policy import storage
from policy.config import Recipe, upgraded
from policy.networks.network import PolicyNetwork
from policy.training.ema import Ema
from robot_io.errors import FeelforwardError

STATE = "state.safetensors"


@dataclass(frozen=True)
class Best:
    """The step whose averaged weights did best so far, and by what."""

    measure: str  # "success", or "validation loss"
    value: float
    step: int

    def is_at_least(self, other: "Best | None") -> bool:
        """Of equals the later one counts, and so does one by another measure."""
        if other is None or other.measure != self.measure:
            return True
        if self.measure == "success":
            return self.value >= other.value
        return self.value <= other.value

    def __str__(self) -> str:
        return f"step {self.step:,}, {self.measure} {self.value:.4g}"


@dataclass
class TrainingState:
    """Weights, their average and the optimiser's moments after `step` steps."""

    network: PolicyNetwork
    ema: Ema
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0  # spent training, over all resumptions
    best: Best | None = None

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())

    def save(self, out_dir: Path, recipe: Recipe, data: str) -> None:
        metadata = {
            "step": str(self.step),
            "seconds": repr(self.seconds),
            "recipe": recipe.model_dump_json(),
            "data": data,
            "best": json.dumps(asdict(self.best) if self.best is not None else None),
        }
        storage.write_tensors(out_dir / STATE, dict(self._tensors()), metadata=metadata)

    def restore(self, out_dir: Path, recipe: Recipe, data: str) -> None:
        """Raises FeelforwardError when the file is missing, corrupt or of another run."""
        path = out_dir / STATE
        tensors, metadata = storage.read_tensors(path)
        if not metadata.keys() >= {"step", "seconds", "recipe", "data"}:
            raise FeelforwardError(f"{path} is no training state of this project.")
        _check_same_run(path, metadata, recipe, data)
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])
        best = json.loads(metadata.get("best", "null"))  # states of version 0.1.0 have none
        self.best = Best(**best) if best is not None else None
        if self.step:
            self._create_moments()
        own = dict(self._tensors())
        if own.keys() != tensors.keys():
            raise FeelforwardError(f"{path} does not fit this version's network: train anew.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def _create_moments(self) -> None:
        """Lets the optimiser make its state, so that there is something to fill."""
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in self.network.state_dict().items():
            yield f"network.{name}", tensor
        for name, tensor in self.ema.network.state_dict().items():
            yield f"ema.{name}", tensor
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield f"optimizer.{key}.{name}", value


def _check_same_run(path: Path, metadata: dict[str, str], recipe: Recipe, data: str) -> None:
    if _recipe(metadata["recipe"]) != recipe:
        raise FeelforwardError(
            f"{path} was trained by another recipe: resume with the one in checkpoint/config.toml, "
            "or train into a new folder."
        )
    if metadata["data"] != data:
        raise FeelforwardError(
            f"{path} was trained on other data ({metadata['data']}), now they are {data}: "
            "train into a new folder."
        )


def _recipe(text_json: str) -> Recipe | None:
    """None for one that this version does not understand; keys that it lacks have defaults."""
    try:
        return Recipe.model_validate(upgraded(json.loads(text_json)))
    except (json.JSONDecodeError, pydantic.ValidationError):
        return None
