"""Methods as a recipe names them, with the best possible network in place of a learnt one."""

import itertools
import math
from typing import get_args

import pytest
import torch
from closed_forms import best, distance, gaussian, mixture, noise, seeded

from policy.generative.config import GenerativeConfig, PathName, SamplingConfig, SolverName
from policy.generative.method import MOST_WEIGHT, draw_times, make_path, time_weight
from policy.generative.predictions import PREDICTIONS, converted
from policy.generative.sampling import Sampler, make_sampler

LEVELS = {"path": "ddpm", "times": "levels"}


def sampler_of(generative: dict, sampling: dict) -> tuple[Sampler, GenerativeConfig]:
    config = GenerativeConfig(**generative)
    return make_sampler(SamplingConfig(**sampling), config), config


def ratio(generative: dict, sampling: dict) -> float:
    """Of the samples' distance from a mixture to that of fresh ones."""
    sampler, config = sampler_of(generative, sampling)
    there = distance("mixture", 2)
    network = best(mixture(2), sampler.path, config.prediction)
    asked = converted(network, path=sampler.path, source=config.prediction, target=sampler.asks_for)
    x = sampler.begin(noise(there.samples, 2))
    return there.ratio(sampler.draw(asked, x, generator=seeded(3)))


@pytest.mark.parametrize("solver", get_args(SolverName))
def test_every_solver_arrives(solver: str) -> None:
    evaluations = 31 if solver == "rk4" else 40
    assert ratio({}, {"solver": solver, "evaluations": evaluations}) < 1.1


@pytest.mark.parametrize("solver", get_args(SolverName))
def test_at_a_temperature_a_gaussian_keeps_its_mean_and_loses_spread(solver: str) -> None:
    """Sample by sample: its flow is affine, and so is every solver's way along it."""

    def drawn(temperature: float) -> torch.Tensor:
        options = {"solver": solver, "evaluations": 31 if solver == "rk4" else 20}
        sampler, config = sampler_of({}, {**options, "temperature": temperature})
        network = best(gaussian(2), sampler.path, config.prediction)
        asked = converted(
            network, path=sampler.path, source=config.prediction, target=sampler.asks_for
        )
        return sampler.draw(asked, sampler.begin(noise(50, 2)), generator=seeded(3))

    mean = drawn(0.0)
    tolerance = 1e-2 if solver == "adaptive" else 1e-9  # which takes other steps
    torch.testing.assert_close(
        drawn(0.3) - mean, 0.3 * (drawn(1.0) - mean), atol=tolerance, rtol=tolerance
    )
    assert (drawn(1.0) - mean).abs().min() > 1e-4


def test_a_warm_start_at_temperature_0_is_the_previous_sample_scaled() -> None:
    sampler, _ = sampler_of({}, {"temperature": 0.0})
    previous = torch.ones(4, 2, dtype=torch.float64)
    x = sampler.started_at(0.6).begin_near(previous, noise(4, 2))
    torch.testing.assert_close(x, 0.6 * previous)


@pytest.mark.parametrize(
    ("path", "prediction"),
    [
        (path, prediction)
        for path, prediction in itertools.product(get_args(PathName), PREDICTIONS)
        if not (path == "variance_exploding" and prediction in ("velocity", "v"))
    ],
)
def test_every_path_and_prediction_arrives(path: str, prediction: str) -> None:
    """EDM's grid suits them all; the rest of the noise at its start leaves a trace."""
    evaluations = 80 if path == "variance_exploding" else 40
    options = {"solver": "midpoint", "grid": "karras", "evaluations": evaluations}
    assert ratio({"path": path, "prediction": prediction}, options) < 1.15


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
@pytest.mark.parametrize("path", ["cond_ot", "polynomial", "variance_preserving_cosine"])
def test_a_network_is_not_asked_where_it_knows_nothing(path: str, prediction: str) -> None:
    sampler, _ = sampler_of({"path": path, "prediction": prediction}, {})
    start = torch.tensor(sampler.times[0], dtype=torch.float64)
    blind = prediction == "noise" or path == "polynomial"
    if blind:
        sigma = sampler.path.beta(start) / sampler.path.alpha(start)
        assert sigma.item() == pytest.approx(80)
    else:
        assert start == 0


@pytest.mark.parametrize("solver", ["ddpm", "ddim", "dpmpp_2m", "euler", "sde"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_a_network_of_numbered_levels_is_asked_at_levels_only(solver: str, spacing: str) -> None:
    options = {"solver": solver, "grid": spacing, "evaluations": 10}
    sampler, config = sampler_of({**LEVELS, "prediction": "noise"}, options)
    seen = set(draw_times(config, 5000, generator=seeded(0)).tolist())
    assert len(seen) == 100
    assert {torch.tensor(t).item() for t in sampler.asked_times()} <= seen


@pytest.mark.parametrize(
    ("solver", "evaluations"), [("euler", 5), ("heun", 6), ("rk4", 7), ("sde_heun", 4), ("ddim", 3)]
)
def test_it_is_asked_as_often_as_the_recipe_says(solver: str, evaluations: int) -> None:
    sampler, _ = sampler_of({}, {"solver": solver, "evaluations": evaluations})
    assert len(sampler.asked_times()) == evaluations
    later = sampler.started_at(0.6)
    assert len(later.asked_times()) == evaluations
    assert min(later.asked_times()) == later.times[0] == 0.6


def test_without_diffusion_the_sde_is_eulers_rule() -> None:
    x = noise(50, 2)
    network = best(mixture(2), make_path("cond_ot"), "data")
    sde, _ = sampler_of({}, {"solver": "sde", "sigma": 0.0, "evaluations": 8})
    ode, _ = sampler_of({}, {"solver": "euler", "evaluations": 8})
    velocity = converted(network, path=ode.path, source="data", target="velocity")
    by_sde = sde.draw(network, x, generator=seeded(0))
    torch.testing.assert_close(by_sde, ode.draw(velocity, x, generator=seeded(0)))


@pytest.mark.parametrize("weight", ["velocity", "noise", "data", "v", "min_snr"])
def test_a_weight_is_the_other_loss_up_to_a_bound(weight: str) -> None:
    t_B = torch.linspace(0, 0.999, 200, dtype=torch.float64)
    config = GenerativeConfig(prediction="data", weight=weight)
    weight_B = time_weight(config, t_B, path=make_path("cond_ot"))
    assert weight_B is not None
    expected_B = {  # of data, on the straight path: how far the other moves when the data do
        "velocity": 1 / (1 - t_B).square(),
        "noise": (t_B / (1 - t_B)).square(),
        "data": torch.ones_like(t_B),
        "v": (t_B.square() + (1 - t_B).square()).square() / (1 - t_B).square(),
        "min_snr": (t_B / (1 - t_B)).square().clamp_max(5),
    }[weight]
    torch.testing.assert_close(weight_B, expected_B.clamp_max(MOST_WEIGHT))


def test_unweighted_times_all_count_alike() -> None:
    assert time_weight(GenerativeConfig(), torch.rand(4), path=make_path("cond_ot")) is None


def test_times_are_drawn_as_the_recipe_says() -> None:
    mean = {
        name: draw_times(GenerativeConfig(times=name), 4000, generator=seeded(0)).mean().item()
        for name in ("uniform", "logit_normal", "beta")
    }
    assert mean["uniform"] == pytest.approx(0.5, abs=0.02)
    assert mean["logit_normal"] == pytest.approx(0.5, abs=0.02)
    assert mean["beta"] == pytest.approx(0.4, abs=0.02)
    middle = draw_times(GenerativeConfig(times="logit_normal"), 4000, generator=seeded(0))
    assert middle.std().item() < 0.25 < math.sqrt(1 / 12)
