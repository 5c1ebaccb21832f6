"""The one place that makes a denoiser: the network that tells the velocity of a noisy chunk."""

from policy.config import NetworkConfig
from policy.networks.dit import DiT
from policy.networks.mlp import ResidualMlp
from policy.networks.unet import UNet

Denoiser = UNet | ResidualMlp | DiT


def make_denoiser(
    config: NetworkConfig, *, horizon: int, input_size: int, action_size: int
) -> Denoiser:
    """The denoiser that `config.kind` names; `input_size` numbers a row in, `action_size` out.

    All take rows (B, H, I) and a modulation (B, M); a DiT takes observation tokens (B, N, C) too.
    """
    sizes = {"horizon": horizon, "input_size": input_size, "action_size": action_size}
    if config.kind == "dit":
        return DiT(config.widths, heads=config.heads, **sizes)
    if config.kind == "mlp":
        return ResidualMlp(config.widths, **sizes)
    return UNet(config.widths, **sizes)
