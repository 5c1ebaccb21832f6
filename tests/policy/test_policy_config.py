"""Recipes that make no sense are refused, with the reason."""

import pydantic
import pytest

from policy.config import NetworkConfig, PolicyConfig, Recipe, TrainConfig, upgraded
from policy.generative.config import GenerativeConfig

STATE = {"action": "vector", "vectors": [{"name": "state", "history": 2}]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"horizon": 20}, "Input should be 16 or 32"),
        ({"action": "tool"}, 'needs the vector stream "measured"'),
        ({"vectors": []}, "at least 1 item"),
        ({"vectors": [{"name": "a"}, {"name": "a"}]}, "named once"),
        ({"sampling": {"evaluations": 5}}, "2 evaluations per step, got 5"),
        ({"evaluations": 6}, "Extra inputs are not permitted"),
        (
            {
                "action": "tool",
                "vectors": [{"name": "measured"}, {"name": "commanded", "history": 4}],
            },
            "give measured at least as many",
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(change: dict, reason: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=reason):
        PolicyConfig.model_validate({**STATE, **change})


@pytest.mark.parametrize(
    "name", ["learning_rate", "weight_decay", "gradient_clip", "ema_power", "colour_jitter"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_nan_infinity_and_negative_rates_are_refused(name: str, value: float) -> None:
    with pytest.raises(pydantic.ValidationError, match=name):
        TrainConfig.model_validate({name: value})


def test_an_mlp_has_one_width() -> None:
    with pytest.raises(pydantic.ValidationError, match="must all be equal"):
        NetworkConfig(kind="mlp", widths=(64, 128))


def test_an_older_recipe_is_understood() -> None:
    old = {"policy": {**STATE, "solver": "euler", "evaluations": 7}}
    recipe = Recipe.model_validate(upgraded(old))
    assert (recipe.policy.sampling.solver, recipe.policy.sampling.evaluations) == ("euler", 7)
    assert recipe.policy.generative == GenerativeConfig()
    now = recipe.model_dump(mode="json")
    assert upgraded(now) == now
    plain = {"policy": {**STATE, "generative": {"shortcut": False}}}
    assert Recipe.model_validate(upgraded(plain)) == Recipe.model_validate({"policy": STATE})
    with pytest.raises(pydantic.ValidationError, match="shortcut"):
        Recipe.model_validate(upgraded({"policy": {**STATE, "generative": {"shortcut": True}}}))


def test_the_history_names_every_stream() -> None:
    config = PolicyConfig.model_validate({**STATE, "images": [{"name": "wrist", "history": 2}]})
    assert config.history() == {"state": 2, "wrist": 2}
