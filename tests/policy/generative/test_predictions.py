"""Velocity, score, noise, data and v prediction turned into each other."""

from itertools import permutations

import pytest
import torch
from closed_forms import PATHS, best, mixture, noise

from policy.generative.paths import ProbabilityPath, Reversed, interpolate
from policy.generative.predictions import (
    PREDICTIONS,
    Prediction,
    combine,
    convert,
    converted,
    separate,
)

PAIRS = list(permutations(PREDICTIONS, 2))
TIMES = torch.linspace(0.001, 1 - 1e-6, 200, dtype=torch.float64)
X_1, X_0 = noise(len(TIMES), 5, seed=1), noise(len(TIMES), 5, seed=2)


@pytest.mark.parametrize(
    "path", [*PATHS.values(), Reversed(PATHS["cosine"])], ids=[*PATHS, "reversed"]
)
def test_every_conversion_is_undone_by_its_reverse(path: ProbabilityPath) -> None:
    x = interpolate(path, X_1, X_0, TIMES)
    for source, target in PAIRS:
        value = combine(X_1, X_0, TIMES, path=path, prediction=source)
        there = convert(value, x, TIMES, path=path, source=source, target=target)
        back = convert(there, x, TIMES, path=path, source=target, target=source)
        torch.testing.assert_close(back, value, rtol=1e-6, atol=1e-6, msg=f"{source} {target}")


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_every_prediction_tells_data_and_noise(path: ProbabilityPath) -> None:
    x = interpolate(path, X_1, X_0, TIMES)
    for prediction in PREDICTIONS:
        value = combine(X_1, X_0, TIMES, path=path, prediction=prediction)
        data, remainder = separate(value, x, TIMES, path=path, prediction=prediction)
        torch.testing.assert_close(data, X_1, rtol=1e-6, atol=1e-6, msg=f"data of {prediction}")
        torch.testing.assert_close(remainder, X_0, rtol=1e-6, atol=1e-6, msg=f"noise, {prediction}")


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_both_ends_are_finite(path: ProbabilityPath, dtype: torch.dtype, t: float) -> None:
    x_1, x_0 = X_1.to(dtype), X_0.to(dtype)
    for time in (t, torch.full((len(x_1),), t, dtype=dtype)):
        x = interpolate(path, x_1, x_0, time)
        for source, target in PAIRS:
            value = combine(x_1, x_0, time, path=path, prediction=source)
            assert value.isfinite().all()
            there = convert(value, x, time, path=path, source=source, target=target)
            assert there.isfinite().all(), (source, target)


@pytest.mark.parametrize("name", ["condot", "cosine"])
@pytest.mark.parametrize("t", [0.0, 1e-9, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("source", ["velocity", "v"])
@pytest.mark.parametrize("target", ["data", "noise", "velocity", "v"])
def test_velocity_and_v_tell_everything_at_the_very_ends(
    name: str, t: float, source: Prediction, target: Prediction
) -> None:
    path = PATHS[name]
    x = interpolate(path, X_1, X_0, t)
    value = combine(X_1, X_0, t, path=path, prediction=source)
    there = convert(value, x, t, path=path, source=source, target=target)
    truth = combine(X_1, X_0, t, path=path, prediction=target)
    torch.testing.assert_close(there, truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_marginal_quantities_convert_as_the_conditional_ones(path: ProbabilityPath) -> None:
    target_distribution, x = mixture(16), noise(30, 16)
    for t in (0.05, 0.5, 0.95):
        for source, target in PAIRS:
            network = best(target_distribution, path, source)
            there = converted(network, path=path, source=source, target=target)(x, t)
            truth = best(target_distribution, path, target)(x, t)
            torch.testing.assert_close(there, truth, rtol=1e-6, atol=1e-6)


def test_single_precision_stays_single() -> None:
    x = X_1.float()
    assert convert(x, x, 0.5, path=PATHS["ddpm"], source="v", target="score").dtype == torch.float32


def test_an_unknown_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="'flow', allowed data, noise, velocity, v, score"):
        combine(X_1, X_0, 0.5, path=PATHS["condot"], prediction="flow")
    with pytest.raises(ValueError, match="'flow'"):
        separate(X_1, X_0, 0.5, path=PATHS["condot"], prediction="flow")
