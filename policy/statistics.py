"""What a policy must know about its data to scale observations and actions: `stats.json`.

Legend: B batch, T steps, H rows, D width of a row, HWC image, F, A numbers of a feature vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from policy.config import PolicyConfig
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share
from policy.features import TOOL_ROW, Features, make_features
from policy.networks.network import PolicyNetwork, scale_image
from policy.normalizer import Normalizer
from robot_io.errors import FeelforwardError

FITTED_WINDOWS = 20_000
CALIBRATION_WINDOWS = 512
FIRST_DRAW = 1 << 40  # steps of the sampler that no training reaches
SMALLEST_MOVE = 1e-3  # m, rad: tool actions that spread less are not worth the network's effort
OBSERVATION_MARGIN = 0.1  # of the range seen in training; actions get none


class Sampler(Protocol):
    """Where training windows come from: `policy.data.WindowSampler` or a stand-in."""

    @property
    def description(self) -> str:
        """One line for the card."""
        ...

    def sample(self, step: int, share: Share = WHOLE) -> Batch:
        """The same step gives the same batch, or this share of it."""
        ...

    def first_image(self, name: str) -> np.ndarray:
        """(H, W, C), 0 to 255: mean of the first frames of all episodes."""
        ...


@dataclass(frozen=True)
class Statistics:
    """Scales and sizes."""

    observation: Normalizer  # (F,)
    action: Normalizer  # (A,) or (H, A)
    vector_sizes: Mapping[str, int]  # name -> D
    image_sizes: Mapping[str, tuple[int, int, int]]  # name -> H, W, C

    def to_json(self) -> dict[str, object]:
        return {
            "vector_sizes": dict(self.vector_sizes),
            "image_sizes": {name: list(size) for name, size in self.image_sizes.items()},
            "observation": self.observation.to_json(),
            "action": self.action.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping) -> Self:
        """Raises KeyError, TypeError or ValueError on anything but what `to_json` gave."""
        sizes = {name: tuple(size) for name, size in content["image_sizes"].items()}
        return cls(
            observation=Normalizer.from_json(content["observation"]),
            action=Normalizer.from_json(content["action"]),
            vector_sizes={name: int(size) for name, size in content["vector_sizes"].items()},
            image_sizes=sizes,
        )

    def check(self, config: PolicyConfig, sampler: Sampler) -> None:
        """Raises FeelforwardError where the data are of other streams or sizes than these."""
        batch = sampler.sample(FIRST_DRAW)
        _check(config, batch)
        own = {**self.vector_sizes, **self.image_sizes}
        for name, size in {**_vector_sizes(config, batch), **_image_sizes(config, batch)}.items():
            if own[name] != size:
                raise FeelforwardError(
                    f"{name} of the data has the size {size}, but the policy knows {own[name]}."
                )

    @property
    def action_bounds(self) -> tuple[Tensor, Tensor]:
        """Least and largest of each number of a normalised action in the data."""
        return self.action.normalize(self.action.low), self.action.normalize(self.action.high)

    def make_network(self, config: PolicyConfig) -> PolicyNetwork:
        """With fresh weights; raises FeelforwardError when it does not fit `config`."""
        names = {stream.name for stream in (*config.vectors, *config.images)}
        missing = names - self.vector_sizes.keys() - self.image_sizes.keys()
        if missing:
            raise FeelforwardError(f"stats.json knows no stream {', '.join(sorted(missing))}.")
        for stream in config.vectors:
            size = self.vector_sizes[stream.name]
            if stream.value is not None and len(stream.value) != size:
                raise FeelforwardError(
                    f"The goal {stream.name} has {size} numbers, got {list(stream.value)}."
                )
        return PolicyNetwork(
            config,
            feature_size=self.observation.offset.shape[-1],
            action_size=self.action.offset.shape[-1],
            image_sizes=self.image_sizes,
            goal_size=sum(s.history * self.vector_sizes[s.name] for s in config.vectors if s.goal),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fit_statistics(config: PolicyConfig, sampler: Sampler) -> Statistics:
    """From about `FITTED_WINDOWS` training windows.

    Tool actions are scaled row by row: the near rows, which are executed, move little and must
    not drown in the spread of the far ones. Vectors are scaled to [-1, 1].
    """
    first = sampler.sample(FIRST_DRAW)
    _check(config, first)
    features = make_features(config)
    draws = -(-FITTED_WINDOWS // len(first.action_BHD))
    pairs = [_features_of(features, sampler.sample(FIRST_DRAW + i)) for i in range(draws)]
    observation_NF = torch.cat([observation for observation, _ in pairs])
    action_NHA = torch.cat([action for _, action in pairs])
    if config.action == "tool":
        observation = Normalizer.standard(observation_NF)
        action = Normalizer.standard(action_NHA, smallest_scale=SMALLEST_MOVE)
    else:
        observation = Normalizer.min_max(observation_NF)
        action = Normalizer.min_max(action_NHA)
    return Statistics(
        observation=observation.widened(OBSERVATION_MARGIN),
        action=action,
        vector_sizes=_vector_sizes(config, first),
        image_sizes=_image_sizes(config, first),
    )


def calibrate_touch(network: PolicyNetwork, sampler: Sampler) -> None:
    """Gives the tactile encoders the image of the untouched gel and the size of a touch."""
    encoders = network.tactile_encoders()
    if not encoders:
        return
    batch_size = len(sampler.sample(FIRST_DRAW).action_BHD)
    draws = range(-(-CALIBRATION_WINDOWS // batch_size))
    batches = [sampler.sample(FIRST_DRAW + i).images for i in draws]
    for name, encoder in encoders.items():
        typical = torch.cat([torch.from_numpy(images[name]) for images in batches])
        reference = torch.from_numpy(np.asarray(sampler.first_image(name), np.float32)) / 255
        encoder.calibrate(reference, scale_image(typical))


def as_streams(vectors: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Arrays as float64 tensors."""
    return {name: torch.from_numpy(np.asarray(x, np.float64)) for name, x in vectors.items()}


def _vector_sizes(config: PolicyConfig, batch: Batch) -> dict[str, int]:
    sizes = {stream.name: batch.vectors[stream.name].shape[-1] for stream in config.vectors}
    return {**sizes, "action": batch.action_BHD.shape[-1]}


def _image_sizes(config: PolicyConfig, batch: Batch) -> dict[str, tuple[int, int, int]]:
    return {stream.name: batch.images[stream.name].shape[2:] for stream in config.images}


def _features_of(features: Features, batch: Batch) -> tuple[Tensor, Tensor]:
    streams = as_streams(batch.vectors)
    rows = torch.from_numpy(np.asarray(batch.action_BHD, np.float64))
    return features.observation(streams).float(), features.encode(streams, rows).float()


def _check(config: PolicyConfig, batch: Batch) -> None:
    """That the data hold what the recipe asks for; raises FeelforwardError."""
    for stream in config.vectors:
        if stream.value is not None:
            raise FeelforwardError(
                f"The goal {stream.name} has a value, but a training learns all values of the "
                "data: remove it. feelforward export --goal tells a trained policy its goal."
            )
        _check_stream("vector", stream.name, batch.vectors)
    for stream in config.images:
        _check_stream("image", stream.name, batch.images)
    width = batch.action_BHD.shape[-1]
    if config.action == "tool" and width != TOOL_ROW:
        raise FeelforwardError(
            f'Actions of the data have {width} numbers, action = "tool" needs {TOOL_ROW} '
            '(x y z qw qx qy qz width): set policy.action = "vector" or use tool-pose data.'
        )
    for name, x in {**batch.vectors, "action": batch.action_BHD}.items():
        if not np.isfinite(x).all():
            raise FeelforwardError(f"{name} of the data holds NaN or infinity: mend the data set.")


def _check_stream(kind: str, name: str, known: Mapping[str, np.ndarray]) -> None:
    if name not in known:
        raise FeelforwardError(
            f"The data hold no {kind} stream {name!r} that the recipe asks for; "
            f"they have {', '.join(sorted(known)) or 'none'}."
        )
