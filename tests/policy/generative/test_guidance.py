"""Classifier-free guidance on a mixture of Gaussians whose component is the condition."""

import pytest
import torch
from closed_forms import best, mixture, noise
from torch import Tensor

from policy.generative.guidance import classifier_free, guidance_schedule
from policy.generative.mixtures import GaussianMixture
from policy.generative.paths import CondOT
from policy.generative.predictions import PREDICTIONS, Prediction, convert
from policy.generative.samplers import Field, grid_for, solve

PATH, WHOLE, CHOSEN = CondOT(), mixture(2), 2


def component() -> GaussianMixture:
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixture(one, WHOLE.mean_KD[CHOSEN, None], WHOLE.std_KD[CHOSEN, None])


def guided_by(weight: float, prediction: Prediction = "velocity") -> Field:
    conditional, without = (best(each, PATH, prediction) for each in (component(), WHOLE))
    return classifier_free(
        conditional,
        lambda x, t: (conditional(x, t), without(x, t)),
        weight=guidance_schedule(weight, (0.0, 1.0)),
    )


def solved(field: Field) -> Tensor:
    return solve(field, noise(2000, 2), grid_for(40, solver="midpoint"), solver="midpoint")


def test_weight_one_is_the_conditional_and_weight_zero_the_unconditional_exactly() -> None:
    assert torch.equal(solved(guided_by(1.0)), solved(best(component(), PATH, "velocity")))
    assert torch.equal(solved(guided_by(0.0)), solved(best(WHOLE, PATH, "velocity")))


def test_between_gaussians_guidance_is_known_in_closed_form() -> None:
    """Conditional N(m, s²), unconditional N(0, s²): guided, it is N(w m, s²)."""
    m, s, w = 0.4, 0.5, 3.0
    one = torch.ones(1, dtype=torch.float64)
    centres = [torch.tensor([[c]], dtype=torch.float64) for c in (m, 0.0, w * m)]
    spread = torch.tensor([[s]], dtype=torch.float64)
    conditional, without, expected = (
        best(GaussianMixture(one, centre, spread), PATH, "velocity") for centre in centres
    )
    field = classifier_free(
        conditional, lambda x, t: (conditional(x, t), without(x, t)), weight=lambda t: w
    )
    for t in (0.0, 0.3, 0.9):
        torch.testing.assert_close(field(noise(5, 1), t), expected(noise(5, 1), t))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_it_does_not_matter_in_which_prediction_the_two_are_mixed(prediction: Prediction) -> None:
    x, t = noise(20, 2), 0.4
    value = guided_by(2.5, prediction)(x, t)
    velocity = convert(value, x, t, path=PATH, source=prediction, target="velocity")
    torch.testing.assert_close(velocity, guided_by(2.5)(x, t))


def test_a_greater_weight_keeps_further_away_from_the_other_components() -> None:
    others = WHOLE.mean_KD[:CHOSEN].mean(0)
    away = [(solved(guided_by(w)).mean(0) - others).norm().item() for w in (0.0, 1.0, 2.0, 4.0)]
    assert away == sorted(away)


def test_outside_its_interval_the_weight_is_one_and_nobody_asks_without_the_condition() -> None:
    weight = guidance_schedule(3.0, (0.2, 0.6))
    assert [weight(t) for t in (0.0, 0.19, 0.2, 0.5, 0.6, 0.7)] == [1, 1, 3, 3, 3, 1]

    def never(x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        raise AssertionError(f"asked at {t}")

    conditional = best(component(), PATH, "velocity")
    field = classifier_free(conditional, never, weight=weight)
    torch.testing.assert_close(field(noise(3, 2), 0.1), conditional(noise(3, 2), 0.1))
    with pytest.raises(AssertionError, match=r"asked at 0\.3"):
        field(noise(3, 2), 0.3)
