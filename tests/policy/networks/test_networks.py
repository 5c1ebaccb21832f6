"""Shapes, and what each part can and cannot see."""

import pytest
import torch
from policy_toy import CAMERA, TOUCH, tool_config
from torch import nn
from torch.nn import functional

from policy.config import NetworkConfig
from policy.networks.camera import CameraEncoder
from policy.networks.cells import cut
from policy.networks.denoisers import make_denoiser
from policy.networks.images import IMAGE_EMBEDDING, spatial_softmax
from policy.networks.network import PolicyNetwork
from policy.networks.tactile import TactileEncoder
from policy.networks.unet import RowConvolution
from robot_io.errors import FeelforwardError


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
        condition = network.condition(network.look(torch.randn(2, 20), torch.randn(2, 20), images))
        velocity_BHA = network.predict(x_BHA, torch.rand(2), condition)
        assert condition.guess is not None
        guess = condition.guess.mean_BHA + condition.guess.spread_BHA
        (velocity_BHA.square().mean() + guess.square().mean()).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
    asleep = [n for n, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert asleep == []


def test_an_image_is_cut_into_cells_of_four_quarters() -> None:
    image = torch.arange(2 * 16 * 24).view(1, 2, 16, 24, 1)
    pieces_BNQP = cut(image)
    assert pieces_BNQP.shape == (1, 2 * 3, 4, 2 * 16)
    upper_right = pieces_BNQP[0, 2]
    assert torch.equal(upper_right[0], image[0, :, 0:4, 16:20].flatten())
    assert torch.equal(upper_right[2], image[0, :, 4:8, 16:20].flatten())


def test_spatial_softmax_points_at_the_quarter_of_the_peak() -> None:
    encoder = CameraEncoder(frames=1, width=8, size=(32, 48, 3))
    row, column = torch.meshgrid(
        torch.linspace(-1, 1, 32 // 4), torch.linspace(-1, 1, 48 // 4), indexing="ij"
    )
    where = torch.stack([row, column], -1).repeat_interleave(4, 0).repeat_interleave(4, 1)
    place_MP = cut(where[None, None]).flatten(0, 2).unflatten(1, (16, 2))
    torch.testing.assert_close(place_MP[:, 0].T, encoder.places.position_2M)
    score_BMK = torch.zeros(1, 96, 2)
    score_BMK[0, 5, 0] = score_BMK[0, 70, 1] = 50.0
    place_B2K = spatial_softmax(score_BMK, encoder.places.position_2M)
    torch.testing.assert_close(place_B2K[0], encoder.places.position_2M[:, [5, 70]])


def test_an_encoder_soon_knows_where_things_are() -> None:
    torch.manual_seed(0)
    encoder = CameraEncoder(frames=1, width=8, size=(64, 64, 3))
    network = nn.Sequential(encoder, nn.SiLU(), nn.Linear(IMAGE_EMBEDDING, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(100):
        corner_B2 = torch.randint(0, 58, (16, 2))
        image_BTHWC = 0.3 * torch.rand(16, 1, 64, 64, 3)
        for image_THWC, (row, column) in zip(image_BTHWC, corner_B2.tolist(), strict=True):
            image_THWC[:, row : row + 6, column : column + 6] += 0.6
        off_B2 = network(image_BTHWC) - (corner_B2 - 29) / 32
        optimizer.zero_grad()
        off_B2.square().mean().backward()
        optimizer.step()
    assert off_B2.abs().mean() * 32 < 5  # px; by a softmax that begins flat it is still 14


def test_an_image_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(FeelforwardError, match=r"60 x 96 px.*multiples of 8"):
        CameraEncoder(frames=1, width=8, size=(60, 96, 3))


def test_an_untouched_gel_is_nothing_to_the_tactile_encoder() -> None:
    encoder = TactileEncoder(frames=1, width=8, size=TOUCH)
    reference = torch.rand(TOUCH)
    encoder.calibrate(reference, torch.rand(4, 1, *TOUCH))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        assert encoder(reference.expand(1, 1, *TOUCH)).abs().max() < 1e-5
        assert encoder(torch.rand(1, 1, *TOUCH)).abs().max() > 1e-2
