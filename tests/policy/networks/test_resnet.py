"""ResNet-18 is the published one but for its norm, and its points are where things are."""

import pydantic
import pytest
import torch
from policy_toy import tool_config

from policy.config import ImageStream
from policy.networks.encoders import make_encoder
from policy.networks.images import IMAGE_EMBEDDING
from policy.networks.network import PolicyNetwork
from policy.networks.resnet import ResNetEncoder, resnet18

RESNET18, HEAD = 11_689_512, 512 * 1000 + 1000  # parameters published, and of the classifier


def test_it_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in resnet18(3).parameters()) == RESNET18 - HEAD


def test_every_norm_is_over_16_channels_of_one_image() -> None:
    body = resnet18(3).eval()
    norms = [layer for layer in body.modules() if isinstance(layer, torch.nn.GroupNorm)]
    assert len(norms) == 20
    assert {layer.num_channels // layer.num_groups for layer in norms} == {16}
    image_BCHW = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(body(image_BCHW)[:1], body(image_BCHW[:1]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(96, 96, 3, 3), (64, 64, 2, 2), (72, 104, 3, 4), (8, 8, 1, 1)],
)
def test_any_size_of_image_is_told(height: int, width: int, rows: int, columns: int) -> None:
    encoder = ResNetEncoder(frames=2, size=(height, width, 3))
    image_BTHWC = torch.rand(2, 2, height, width, 3)
    assert encoder(image_BTHWC).shape == (2, IMAGE_EMBEDDING)
    last_map = encoder.body(torch.rand(1, 6, height, width))
    assert last_map.shape == (1, 512, rows, columns)
    assert encoder.position_2M.shape == (2, rows * columns)


def test_places_are_the_middles_of_equal_parts_row_by_row() -> None:
    encoder = ResNetEncoder(frames=1, size=(64, 96, 3))
    row_M, column_M = encoder.position_2M
    torch.testing.assert_close(row_M, torch.tensor([-0.5] * 3 + [0.5] * 3))
    torch.testing.assert_close(column_M, torch.tensor([-2 / 3, 0, 2 / 3] * 2))


def test_a_policy_with_it_learns_in_all_its_parts() -> None:
    config = tool_config(images=True, touch=False)
    images = tuple(s.model_copy(update={"encoder": "resnet18"}) for s in config.images[:1])
    config = config.model_copy(update={"images": images})
    network = PolicyNetwork(
        config, feature_size=20, action_size=10, image_sizes={"wrist": (64, 64, 3)}
    )
    image = {"wrist": torch.rand(2, 1, 64, 64, 3)}
    condition = network.condition(network.look(torch.randn(2, 20), torch.randn(2, 20), image))
    assert condition.guess is not None
    condition.guess.mean_BHA.square().mean().backward()
    encoder = network.encoders["wrist"]
    assert isinstance(encoder, ResNetEncoder)
    asleep = [n for n, p in encoder.named_parameters() if not p.grad.abs().sum() > 0]
    assert asleep == []


def test_a_camera_is_light_unless_it_is_told_otherwise() -> None:
    light = make_encoder(ImageStream(name="wrist"), (96, 96, 3))
    assert not isinstance(light, ResNetEncoder)


def test_touch_takes_no_resnet() -> None:
    with pytest.raises(pydantic.ValidationError, match=r'left is tactile.*must be "light"'):
        ImageStream(name="left", kind="tactile", encoder="resnet18")
