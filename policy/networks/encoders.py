"""The one place that makes an encoder: images of one stream in, an embedding out."""

from policy.config import ImageStream
from policy.networks.camera import CameraEncoder
from policy.networks.images import Size
from policy.networks.resnet import ResNetEncoder
from policy.networks.tactile import TactileEncoder


def make_encoder(stream: ImageStream, size: Size) -> CameraEncoder | ResNetEncoder | TactileEncoder:
    """The encoder that `stream` names, for images of `size`, with fresh weights."""
    if stream.kind == "tactile":
        return TactileEncoder(frames=stream.history, width=stream.width, size=size)
    if stream.encoder == "resnet18":
        return ResNetEncoder(frames=stream.history, size=size)
    return CameraEncoder(frames=stream.history, width=stream.width, size=size)
