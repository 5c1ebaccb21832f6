"""Losses against what can be written down in closed form."""

import pytest
import torch
from closed_forms import PATHS, best, bimodal, noise, seeded
from torch import Tensor

from policy.generative.losses import (
    HUBER,
    arrival_loss,
    flow_matching_loss,
    loss_weight,
    min_snr_weight,
    prediction_loss,
    score_matching_loss,
)
from policy.generative.paths import ProbabilityPath
from policy.generative.predictions import PREDICTIONS, Prediction, combine, converted

N = 100_000
X_1, X_0 = bimodal().sample(N, generator=seeded(1)), noise(N, 1)
T_B = 0.02 + 0.96 * torch.rand(N, generator=seeded(2), dtype=torch.float64)


@pytest.mark.parametrize("name", ["condot", "cosine", "ddpm"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_truth_has_the_least_loss(name: str, prediction: Prediction) -> None:
    path = PATHS[name]
    truth = best(bimodal(), path, prediction)

    def loss(bias: float, gain: float) -> float:
        def network(x: Tensor, t_B: Tensor) -> Tensor:
            return bias + gain * truth(x, t_B)

        return prediction_loss(network, X_1, X_0, T_B, path=path, prediction=prediction).item()

    least = loss(0.0, 1.0)
    assert all(loss(bias, 1.0) > least for bias in (-0.1, 0.1))
    assert all(loss(0.0, gain) > least for gain in (0.9, 1.1))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_loss_is_zero_for_who_knows_the_pair(prediction: Prediction) -> None:
    """And one time goes with one example, whatever the shape."""
    x_1, x_0, t_B = torch.randn(4, 16, 10), torch.randn(4, 16, 10), 0.9 * torch.rand(4)
    path = PATHS["condot"]

    def network(x: Tensor, t: Tensor) -> Tensor:
        return combine(x_1, x_0, t, path=path, prediction=prediction)

    loss = prediction_loss(network, x_1, x_0, t_B, path=path, prediction=prediction)
    assert loss.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("prediction", ["velocity", "data"])
def test_a_miss_costs_its_distance_and_a_near_one_its_square(prediction: Prediction) -> None:
    """Whatever the time: what counts is where the step arrives."""
    x_1, x_0, t_B = torch.randn(4, 16, 10), torch.randn(4, 16, 10), 0.9 * torch.rand(4)
    path = PATHS["condot"]

    def loss(off: float) -> float:
        def network(x: Tensor, t: Tensor) -> Tensor:
            arrived = x_1 + off
            noise_BHA = (x - t[:, None, None] * arrived) / (1 - t[:, None, None])
            return combine(arrived, noise_BHA, t, path=path, prediction=prediction)

        return arrival_loss(network, x_1, x_0, t_B, path=path, prediction=prediction).item()

    assert loss(0.0) == pytest.approx(0, abs=1e-7)
    assert loss(1.0) == pytest.approx(1 - HUBER, abs=1e-4)
    assert loss(HUBER / 10) == pytest.approx(HUBER / 200, rel=0.1)


def test_flow_matching_is_the_squared_error_of_the_pairs_velocity() -> None:
    x_1, x_0, t_B = torch.randn(4, 16, 10), torch.randn(4, 16, 10), torch.rand(4)
    loss = flow_matching_loss(lambda x, t: torch.zeros_like(x), x_1, x_0, t_B, path=PATHS["condot"])
    assert loss.item() == (x_1 - x_0).square().mean().item()


def test_score_matching_counts_by_the_square_of_the_noise_and_is_finite_at_the_end() -> None:
    path, x_1, x_0 = PATHS["cosine"], X_1[:4], X_0[:4]
    t_B = torch.full((4,), 0.25, dtype=torch.float64)
    beta = path.beta(t_B)[:, None]
    loss = score_matching_loss(lambda x, t: x + 1, x_1, x_0, t_B, path=path)
    error = path.alpha(t_B)[:, None] * x_1 + beta * x_0 + 1 + x_0 / beta
    assert loss.item() == pytest.approx((beta * error).square().mean().item())
    end = score_matching_loss(lambda x, t: x, x_1, x_0, torch.ones(4).double(), path=path)
    assert end.isfinite()


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_weight_makes_one_loss_of_another(path: ProbabilityPath) -> None:
    """For any network: here one that is wrong by something that depends on x and t."""

    def wrong(x: Tensor, t_B: Tensor) -> Tensor:
        return best(bimodal(), path, "data")(x, t_B) + torch.sin(3 * x + t_B[:, None])

    x_1, x_0, t_B = X_1[:1000], X_0[:1000], T_B[:1000]
    for learned in PREDICTIONS:
        for like in PREDICTIONS:
            weighted, plain = (
                prediction_loss(
                    converted(wrong, path=path, source="data", target=prediction),
                    x_1,
                    x_0,
                    t_B,
                    path=path,
                    prediction=prediction,
                    weight_B=weight_B,
                ).item()
                for prediction, weight_B in (
                    (learned, loss_weight(t_B, path=path, learned=learned, like=like)),
                    (like, None),
                )
            )
            assert weighted == pytest.approx(plain, rel=1e-6), (learned, like)


def test_min_snr_is_the_snr_on_data_up_to_its_ceiling_and_constant_on_noise() -> None:
    """On the noise's loss it is min(SNR, γ) / SNR (Hang et al. 2023, section 3.4)."""
    t_B = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    snr = (t_B / (1 - t_B)) ** 2
    on = {p: min_snr_weight(t_B, path=PATHS["condot"], learned=p) for p in ("data", "noise")}
    torch.testing.assert_close(on["data"], snr.clamp_max(5))
    torch.testing.assert_close(on["noise"], snr.clamp_max(5) / snr)
