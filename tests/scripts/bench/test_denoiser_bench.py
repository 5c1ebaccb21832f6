"""The networks of recipes are counted and timed, part by part."""

from policy.config import Recipe
from scripts.bench.denoisers import measure
from scripts.checkpoints import REPOSITORY
from scripts.config import load_config

PUSH_T = ("push_t", "push_t_mlp", "push_t_dit")


def recipe(name: str) -> Recipe:
    return load_config(REPOSITORY / "configs" / f"{name}.toml", Recipe)


def test_every_part_takes_time_and_every_parameter_counts() -> None:
    cost = measure({"push_t": recipe("push_t")}, rounds=1)["push_t"]
    assert (cost.encode_ms.n, cost.evaluate_ms.n, cost.train_ms.n) == (1, 10, 1)
    assert 0 < cost.evaluate_ms.p50 < cost.train_ms.p50
    assert cost.plan_ms(10) == cost.encode_ms.p50 + 10 * cost.evaluate_ms.p50
    assert cost.encoder_parameters == 0


def test_images_are_encoded_by_what_the_recipe_names() -> None:
    cost = measure({"cap": recipe("tighten_cap")}, rounds=1)["cap"]
    assert 10_000 < cost.encoder_parameters < cost.parameters


def test_the_recipes_of_push_t_differ_in_their_denoiser_and_how_it_learns_and_are_of_one_size() -> (
    None
):
    recipes = {name: recipe(name) for name in PUSH_T}
    assert {each.policy.network.kind for each in recipes.values()} == {"mlp", "unet", "dit"}
    policy = recipes["push_t"].policy
    same = {"network": policy.network, "generative": policy.generative}
    assert len({each.policy.model_copy(update=same) for each in recipes.values()}) == 1
    weight = {"weight": policy.generative.weight}
    assert (
        len({each.policy.generative.model_copy(update=weight) for each in recipes.values()}) == 1
    ), "each has the weight that it does best with"
    assert len({each.train.model_copy(update={"steps": 1}) for each in recipes.values()}) == 1
    counted = [cost.parameters for cost in measure(recipes, rounds=1).values()]
    assert max(counted) < 1.03 * min(counted)
