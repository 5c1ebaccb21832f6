"""Plans drawn by every method, from a network that is exact."""

import pytest
import torch
from exact_policy import LEFT_OR_RIGHT, ExactNetwork, chunks, condition, flow_config
from torch import Tensor

from policy.config import Joining, PolicyConfig
from policy.generative.mixtures import GaussianMixture
from policy.generative.samplers import Field
from policy.planning import drawing as drawing_module
from policy.planning.drawing import FlowDrawing, make_drawing
from policy.planning.joining import Target
from robot_io.errors import FeelforwardError

WIDE = torch.full((1,), -9.0), torch.full((1,), 9.0)
Bounds = tuple[Tensor, Tensor]


def drawn(
    config: PolicyConfig,
    *,
    joining: Joining = "overwrite",
    target: Target | None = None,
    bounds: Bounds = WIDE,
    n: int = 16,
    known: GaussianMixture = LEFT_OR_RIGHT,
    without: GaussianMixture | None = None,
) -> Tensor:
    """Mean of each of n plans (n,)."""
    network = ExactNetwork(known, without=without, config=config)
    drawing = FlowDrawing(network, config, joining=joining, bounds=bounds)
    generator = torch.Generator().manual_seed(0)
    plans = [drawing.draw(condition(), target, start=0.0, generator=generator) for _ in range(n)]
    return torch.cat(plans).mean((-2, -1))


METHODS: dict[str, tuple[dict, dict]] = {
    "flow": ({}, {}),
    "rk4": ({}, {"solver": "rk4", "evaluations": 11}),
    "adaptive": ({}, {"solver": "adaptive"}),
    "sde": ({"prediction": "data"}, {"solver": "sde", "evaluations": 20}),
    "noise": ({"prediction": "noise"}, {"solver": "heun", "evaluations": 20, "clip": True}),
    "ddpm": (
        {"path": "ddpm", "prediction": "noise", "times": "levels"},
        {"solver": "ddpm", "grid": "trailing", "evaluations": 25, "clip": True},
    ),
    "dpmpp_2m": (
        {"path": "variance_preserving_cosine", "prediction": "v"},
        {"solver": "dpmpp_2m", "evaluations": 20},
    ),
    "exploding": (
        {"path": "variance_exploding", "prediction": "data"},
        {"solver": "ddim", "grid": "karras", "evaluations": 20},
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_plans_left_or_right_and_nothing_between(method: str) -> None:
    generative, sampling = METHODS[method]
    mean_N = drawn(flow_config(generative, **sampling), bounds=(WIDE[0] / 9, WIDE[1] / 9))
    assert (mean_N.abs() - 0.8).abs().max() < 0.15
    assert 0.2 < (mean_N > 0).double().mean() < 0.8


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_guided_to_continue_the_last_plan(method: str) -> None:
    generative, sampling = METHODS[method]
    target = Target.of(torch.full((10, 2), -0.8), 2, 16)
    mean_N = drawn(
        flow_config(generative, **sampling),
        joining="guided",
        target=target,
        bounds=(WIDE[0] / 9, WIDE[1] / 9),
        n=4,
    )
    assert (mean_N < 0).all()


@pytest.mark.parametrize(("evaluations", "most"), [(1, 1), (2, 2), (10, 5)])
def test_a_long_step_is_not_pulled_past_the_target(
    monkeypatch: pytest.MonkeyPatch, evaluations: int, most: float
) -> None:
    """A pull of 1/h over a step of h arrives."""
    pulls = []

    def guided(network: Field, *_: object, max_guidance: float, **__: object) -> Field:
        pulls.append(max_guidance)
        return network

    monkeypatch.setattr(drawing_module, "guided", guided)
    config = flow_config({}, solver="euler", evaluations=evaluations)
    drawn(config, joining="guided", target=Target.of(torch.zeros(4, 2), 2, 16), n=1)
    assert pulls == [most]


def test_data_are_clipped_to_the_range_of_the_demonstrations() -> None:
    bounds = torch.full((16, 2), -0.5), torch.full((16, 2), 0.5)
    config = flow_config({"prediction": "noise"}, solver="ddim", clip=True)
    assert drawn(config, bounds=bounds).abs().max() <= 0.5 + 1e-6


def test_a_weight_of_one_is_the_plan_as_learnt_and_zero_that_without_observation() -> None:
    left, right = chunks(-0.8), chunks(0.8)
    learnt = {"null_share": 0.2}
    plain = drawn(flow_config(learnt), known=left, without=right)
    one = drawn(flow_config(learnt, guidance_weight=1.0), known=left, without=right)
    none = drawn(flow_config(learnt, guidance_weight=0.0), known=left, without=right)
    alone = drawn(flow_config(), known=right)
    assert torch.equal(one, plain)
    assert (plain < 0).all()
    torch.testing.assert_close(none, alone)


def test_guided_plans_go_beyond_what_the_observation_says() -> None:
    """N(-0.4) with the observation, N(0) without: weight w gives N(-0.4 w), exactly."""
    some, zero = chunks(-0.4), chunks(0.0)
    mean_N = drawn(
        flow_config({"null_share": 0.2}, guidance_weight=2.5, evaluations=40),
        known=some,
        without=zero,
    )
    torch.testing.assert_close(mean_N.mean(), torch.tensor(-1.0), atol=0.02, rtol=0)


def test_candidates_of_every_method_are_compared() -> None:
    target = Target.of(torch.full((10, 2), 0.8), 2, 16)
    for generative, sampling in METHODS.values():
        if sampling.get("solver") == "adaptive":
            continue
        bounds = WIDE[0] / 9, WIDE[1] / 9
        options = {"joining": "bidirectional", "target": target, "bounds": bounds}
        assert (drawn(flow_config(generative, **sampling), n=2, **options) > 0).all()


@pytest.mark.parametrize("joining", ["guided", "trained", "bidirectional"])
@pytest.mark.parametrize("head", ["mse", "gmm"])
def test_a_regression_cannot_be_steered(head: str, joining: Joining) -> None:
    config = flow_config({"head": head})
    with pytest.raises(FeelforwardError, match=rf'"{joining}" steers a plan .* head = "{head}"'):
        make_drawing(ExactNetwork(LEFT_OR_RIGHT), config, joining=joining, bounds=WIDE)
