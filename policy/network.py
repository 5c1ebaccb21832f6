"""The whole trainable policy: encoders of what is observed, and the denoiser they steer.

Legend: B batch, T frames, HWC image, F numbers of an observation, E embedding, H rows,
A numbers of an action, M modulation numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.config import ImageStream, PolicyConfig
from policy.denoisers import TimeModulation, make_denoiser
from policy.encoders import IMAGE_EMBEDDING, CameraEncoder, TactileEncoder


class PolicyNetwork(nn.Module):
    """Velocity of a noisy chunk, given an observation; everything normalised, images in [0, 1]."""

    def __init__(
        self,
        config: PolicyConfig,
        *,
        feature_size: int,
        action_size: int,
        image_sizes: Mapping[str, tuple[int, int, int]],
    ) -> None:
        super().__init__()
        embedding = config.network.embedding
        self.features = nn.Sequential(
            nn.Linear(feature_size, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
        )
        self.encoders = nn.ModuleDict(
            {stream.name: _encoder(stream, image_sizes[stream.name]) for stream in config.images}
        )
        self.denoiser = make_denoiser(
            config.network, horizon=config.horizon, action_size=action_size
        )
        modulation = self.denoiser.modulation
        self.join = nn.Linear(embedding + IMAGE_EMBEDDING * len(config.images), embedding)
        self.observation_modulation = nn.Linear(embedding, modulation)
        self.time_modulation = TimeModulation(modulation)

    def condition(self, feature_BF: Tensor, image: Mapping[str, Tensor]) -> Tensor:
        """The observation's share of the modulation, (B, M); `image` is (B, T, H, W, C) each."""
        parts = [self.features(feature_BF)]
        parts += [encoder(image[name]) for name, encoder in self.encoders.items()]
        return self.observation_modulation(
            functional.silu(self.join(functional.silu(torch.cat(parts, -1))))
        )

    def velocity(self, x_BHA: Tensor, t_B: Tensor, condition_BM: Tensor) -> Tensor:
        """dx/dt at flow time t."""
        return self.denoiser(x_BHA, condition_BM + self.time_modulation(t_B))

    def tactile_encoders(self) -> dict[str, TactileEncoder]:
        return {
            name: encoder
            for name, encoder in self.encoders.items()
            if isinstance(encoder, TactileEncoder)
        }


def _encoder(stream: ImageStream, size: tuple[int, int, int]) -> nn.Module:
    if stream.kind == "tactile":
        return TactileEncoder(frames=stream.history, width=stream.width, size=size)
    return CameraEncoder(frames=stream.history, width=stream.width)


def scale_image(image: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return image.float() / 255
