"""Around a guess, against the closed form of a Gaussian chunk around that guess."""

import pytest
import torch

from policy.generative.config import PathName
from policy.generative.method import make_path
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import interpolate
from policy.generative.predictions import PREDICTIONS, Prediction, combine
from policy.networks.preconditioning import around, plain

GUESS, SPREAD = 0.7, 0.3
PATHS: tuple[PathName, ...] = (
    "cond_ot",
    "polynomial",
    "variance_preserving_cosine",
    "variance_preserving_linear",
    "variance_exploding",
    "ddpm",
)
Drawn = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def drawn(path: PathName, t: float, *, n: int = 20_000) -> Drawn:
    """x_t, data and noise, (n, 1, 1)."""
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, n, 1, 1, generator=generator, dtype=torch.float64)
    data = GUESS + SPREAD * data
    return interpolate(make_path(path), data, noise, t), data, noise


def filled(value: float, like: torch.Tensor) -> torch.Tensor:
    return torch.full_like(like, value)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("t", [0.2, 0.73])
def test_the_offset_is_the_best_prediction_and_the_scale_its_error(
    path: PathName, prediction: Prediction, t: float
) -> None:
    law = make_path(path)
    x, data, noise = drawn(path, t)
    shown = around(filled(GUESS, x), filled(SPREAD, x), x, t, path=law, prediction=prediction)
    columns = [torch.tensor([[value]], dtype=torch.float64) for value in (GUESS, SPREAD)]
    gaussian = GaussianMixture(torch.ones(1, dtype=torch.float64), *columns)
    best = gaussian.marginal(x[..., 0], t, path=law, prediction=prediction)
    torch.testing.assert_close(shown.offset[..., 0], best)
    truth = combine(data, noise, t, path=law, prediction=prediction)
    rest = (truth - shown.offset) / shown.scale
    assert rest.mean().item() == pytest.approx(0, abs=0.03)
    assert rest.std().item() == pytest.approx(1, rel=0.03)
    assert shown.seen.std().item() == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_infinite_at_the_ends_or_where_rows_are_given(
    path: PathName, prediction: Prediction
) -> None:
    x = torch.randn(2, 4, 3)
    for t in (0.0, 1.0, torch.tensor([1.0, 1.0, 0.3, 0.3])[:, None]):
        for shown in (
            around(
                filled(GUESS, x),
                filled(SPREAD, x),
                x,
                t,
                path=make_path(path),
                prediction=prediction,
            ),
            plain(x, t, path=make_path(path), prediction=prediction),
        ):
            value = shown.offset + shown.scale * shown.seen
            assert value.isfinite().all()
            assert value.dtype == torch.float32


def test_without_a_guess_a_network_sees_x_as_it_is_unless_the_noise_is_large() -> None:
    x = torch.randn(2, 4, 3)
    for t in (0.0, 0.4, 1.0):
        assert torch.equal(plain(x, t, path=make_path("cond_ot"), prediction="velocity").seen, x)
    large, _, _ = drawn("variance_exploding", 0.1)
    assert large.std() > 10
    shown = plain(large, 0.1, path=make_path("variance_exploding"), prediction="noise")
    assert shown.seen.std().item() == pytest.approx(1, rel=0.05)
    assert (shown.offset, shown.scale) == (0.0, 1.0)


def test_a_score_is_said_in_units_of_its_size() -> None:
    x, _, noise = drawn("cond_ot", 0.9)
    shown = plain(x, 0.9, path=make_path("cond_ot"), prediction="score")
    torch.testing.assert_close(shown.scale * -noise, -noise / 0.1)
