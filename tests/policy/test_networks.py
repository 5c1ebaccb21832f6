"""Shapes, and what each part can and cannot see."""

import pytest
import torch
from policy_toy import CAMERA, TOUCH, tool_config
from torch.nn import functional

from policy.augment import colour_jitter, random_shift
from policy.config import NetworkConfig
from policy.denoisers import RowConvolution, make_denoiser
from policy.encoders import TactileEncoder, spatial_softmax
from policy.network import PolicyNetwork


@pytest.mark.parametrize("horizon", [16, 32])
@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(kind="unet", widths=(32,)),
        NetworkConfig(kind="unet", widths=(32, 48)),
        NetworkConfig(kind="unet", widths=(16, 32, 48, 64)),
        NetworkConfig(kind="mlp", widths=(64, 64)),
    ],
)
def test_a_denoiser_gives_one_velocity_per_number(config: NetworkConfig, horizon: int) -> None:
    denoiser = make_denoiser(config, horizon=horizon, input_size=10, action_size=10)
    velocity = denoiser(torch.randn(3, horizon, 10), torch.randn(3, denoiser.modulation))
    assert velocity.shape == (3, horizon, 10)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_row_convolution_is_a_convolution(stride: int) -> None:
    own = RowConvolution(5, 7, stride=stride)
    x = torch.randn(2, 16, 5)
    weight = own.taps.weight.view(7, 3, 5).transpose(1, 2)
    theirs = functional.conv1d(
        x.transpose(1, 2), weight, own.taps.bias, padding=1, stride=stride
    ).transpose(1, 2)
    torch.testing.assert_close(own(x), theirs)


@pytest.mark.parametrize("horizon", [16, 32])
def test_the_whole_network_learns_in_all_its_parts(horizon: int) -> None:
    config = tool_config(horizon=horizon, images=True)
    sizes = {s.name: TOUCH if s.kind == "tactile" else CAMERA for s in config.images}
    network = PolicyNetwork(config, feature_size=20, action_size=10, image_sizes=sizes)
    images = {s.name: torch.rand(2, s.history, *sizes[s.name]) for s in config.images}
    x_BHA = torch.randn(2, horizon, 10)
    for _ in range(2):  # the first convolutions wake up after one step, behind zero weights
        condition = network.condition(torch.randn(2, 20), torch.randn(2, 20), images)
        velocity_BHA = network.velocity(x_BHA, torch.rand(2), condition)
        assert condition.guess_BHA is not None
        (velocity_BHA.square().mean() + condition.guess_BHA.square().mean()).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
    asleep = [n for n, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert [name for name in asleep if not name.endswith("points.bias")] == []  # softmax cancels it


def test_spatial_softmax_points_at_the_peak() -> None:
    score = torch.zeros(1, 2, 5, 9)
    score[0, 0, 0, 8] = 50.0
    score[0, 1, 4, 4] = 50.0
    torch.testing.assert_close(spatial_softmax(score), torch.tensor([[-1.0, 1.0, 1.0, 0.0]]))


def test_an_untouched_gel_is_nothing_to_the_tactile_encoder() -> None:
    encoder = TactileEncoder(frames=1, width=8, size=TOUCH)
    reference = torch.rand(TOUCH)
    encoder.calibrate(reference, torch.rand(4, 1, *TOUCH))
    with torch.no_grad():
        for layer in (*encoder.convolutions, encoder.out):
            layer.bias.zero_()
        assert encoder(reference.expand(1, 1, *TOUCH)).abs().max() < 1e-5
        assert encoder(torch.rand(1, 1, *TOUCH)).abs().max() > 1e-2


def test_a_shift_moves_all_frames_of_an_example_alike_and_repeats_the_border() -> None:
    image = torch.arange(12 * 12, dtype=torch.uint8).view(1, 1, 12, 12, 1).repeat(5, 2, 1, 1, 3)
    shifted = random_shift(image, up_to_px=3, generator=torch.Generator().manual_seed(0))
    assert shifted.dtype == torch.uint8
    assert torch.equal(shifted[:, 0], shifted[:, 1])
    padded = functional.pad(image[:, 0].float().permute(0, 3, 1, 2), (3,) * 4, mode="replicate")
    for i in range(5):
        windows = padded[i, 0].unfold(0, 12, 1).unfold(1, 12, 1).flatten(0, 1)
        assert (windows == shifted[i, 0, :, :, 0]).all(-1).all(-1).any()


def test_colours_change_by_no_more_than_asked() -> None:
    image = torch.full((200, 1, 4, 4, 3), 128, dtype=torch.uint8)
    changed = colour_jitter(image, strength=0.1, generator=torch.Generator().manual_seed(0))
    assert 0.34 <= changed.min() < 0.40
    assert 0.60 < changed.max() <= 0.66
