"""Streams that say what is to be done: hidden from some examples, exaggerated, or fixed."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from policy_toy import CAMERA, ForkSampler, fork_recipe

from policy.checkpoint import export_checkpoint, load_checkpoint, read_recipe
from policy.config import ImageStream, PolicyConfig, Recipe, VectorStream
from policy.data.sampler import Batch
from policy.data.share import WHOLE, Share
from policy.generative.config import GenerativeConfig
from policy.networks.network import PolicyNetwork
from policy.statistics import fit_statistics
from policy.training.train import train
from robot_io.errors import FeelforwardError
from robot_io.types import MonoNs, Observation
from scripts.cli import main
from scripts.live.serving import offer_of

PLANS = 24
LEFT, RIGHT = (1.0, 0.0), (0.0, 1.0)


@dataclass(frozen=True)
class ToldForkSampler(ForkSampler):
    """The same choice, but the stream "side" says which it is."""

    def sample(self, step: int, share: Share = WHOLE) -> Batch:
        batch = super().sample(step, share)
        left_B = batch.action_BHD[:, 0, 0] < 0
        side_B12 = np.stack([left_B, ~left_B], -1)[:, None].astype(np.float32)
        return replace(batch, vectors={**batch.vectors, "side": side_B12})


def told_recipe(**side: object) -> Recipe:
    plain = fork_recipe(steps=200, kind="mlp")
    change = {
        "vectors": (VectorStream(name="side", goal=True, **side), *plain.policy.vectors),
        "generative": GenerativeConfig(null_share=0.3),
    }
    return plain.model_copy(update={"policy": plain.policy.model_copy(update=change)})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    train(told_recipe(), ToldForkSampler(), folder, progress=False)
    return folder / "checkpoint"


def planned(checkpoint: Path, side: tuple[float, float] | None, **sampling: object) -> np.ndarray:
    """Mean of the first numbers of each plan's rows, (PLANS,)."""
    policy, rng = load_checkpoint(checkpoint, sampling=sampling), np.random.default_rng(0)
    told = {} if side is None else {"side": np.array([side])}
    seen = [
        Observation(MonoNs(0), {"state": rng.uniform(-1, 1, (2, 3)), **told}) for _ in range(PLANS)
    ]
    return np.array([policy.plan(each)[:, 0].mean() for each in seen])


def test_the_goal_is_done_and_without_it_either(checkpoint: Path) -> None:
    assert planned(checkpoint, LEFT).mean() == pytest.approx(-0.75, abs=0.15)
    assert planned(checkpoint, RIGHT).mean() == pytest.approx(0.75, abs=0.15)
    either_P = planned(checkpoint, RIGHT, guidance_weight=0)
    assert np.mean(either_P > 0) == pytest.approx(0.5, abs=0.35)
    np.testing.assert_array_equal(either_P, planned(checkpoint, LEFT, guidance_weight=0))


def test_a_copy_may_have_its_goal_once_and_for_all(checkpoint: Path, tmp_path: Path) -> None:
    export_checkpoint(checkpoint, tmp_path / "left", half=False, goals={"side": LEFT})
    config = read_recipe(tmp_path / "left").policy
    assert config.history() == {"state": 2}, "nobody need observe it"
    assert offer_of(config).vectors == {"state": 2}
    plan_P = planned(tmp_path / "left", None)
    np.testing.assert_array_equal(plan_P, planned(checkpoint, LEFT))
    np.testing.assert_array_equal(plan_P, planned(tmp_path / "left", RIGHT))


def test_the_command_tells_a_copy_its_goal(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", str(checkpoint), "--out", str(tmp_path / "right"), "--goal", "side=0,1"])
    assert planned(tmp_path / "right", None).mean() == pytest.approx(0.75, abs=0.15)
    for goal, reason in (
        ("side=left", "--goal side=left, allowed: numbers, as in side=1,0"),
        ("state=0,1", "state is no goal of this policy; its goals in numbers: side"),
        ("side=1", r"The goal side has 2 numbers, got [1.0]"),
        ("side=1,nan", "goals = {'side': [1.0, nan]}: "),
    ):
        with pytest.raises(SystemExit):
            main(["export", str(checkpoint), "--out", str(tmp_path / "x"), "--goal", goal])
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_recipe_with_a_fixed_goal_is_not_trained() -> None:
    with pytest.raises(FeelforwardError, match="The goal side has a value, but a training learns"):
        fit_statistics(told_recipe(value=LEFT).policy, ToldForkSampler())


@pytest.mark.parametrize(
    ("streams", "reason"),
    [
        ({"vectors": [{"name": "side", "goal": True}]}, "one at least must be observed"),
        ({"vectors": [{"name": "state", "value": [1.0]}]}, "only a goal may have a value"),
        (
            {
                "vectors": [{"name": "state"}],
                "images": [{"name": "gel", "kind": "tactile", "goal": True}],
            },
            "gel is felt: it cannot be a goal",
        ),
        (
            {
                "action": "tool",
                "vectors": [{"name": "measured", "goal": True}, {"name": "state"}],
            },
            "measured and commanded are observed",
        ),
    ],
)
def test_what_cannot_be_a_goal_is_refused(streams: dict, reason: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=reason):
        PolicyConfig.model_validate({"action": "vector", **streams})


# ---- in the network


def seeing_network() -> PolicyNetwork:
    """It has a goal in numbers, the last 2 of 8, and one that it is shown."""
    config = PolicyConfig(
        action="vector",
        vectors=(VectorStream(name="state"), VectorStream(name="side", goal=True)),
        images=(ImageStream(name="scene"), ImageStream(name="wanted", goal=True)),
        generative=GenerativeConfig(null_share=0.2),
    )
    sizes = {"scene": CAMERA, "wanted": CAMERA}
    network = PolicyNetwork(config, feature_size=8, action_size=2, image_sizes=sizes, goal_size=2)
    with torch.no_grad():
        for parameter in network.parameters():  # what begins at zero must not hide anything
            parameter += 0.05 * torch.randn_like(parameter)
    return network.requires_grad_(False)


@pytest.mark.parametrize("changed", ["state", "side", "scene", "wanted"])
def test_a_hidden_goal_does_not_count_and_all_else_does(changed: str) -> None:
    network = seeing_network()
    feature_BF = torch.randn(1, 8)
    image = {name: torch.rand(1, 1, *CAMERA) for name in ("scene", "wanted")}
    seen = [network.look(feature_BF, feature_BF, image)]
    other_BF, other = feature_BF.clone(), dict(image)
    if changed in image:
        other[changed] = torch.rand(1, 1, *CAMERA)
    else:
        other_BF[:, {"state": slice(0, 6), "side": slice(6, 8)}[changed]] += 1
    seen.append(network.look(other_BF, other_BF, other))
    with_goal, without = (
        [how(each).film_BM for each in seen]
        for how in (network.condition, network.condition_without_goal)
    )
    is_goal = changed in ("side", "wanted")
    assert not torch.equal(*with_goal)
    assert torch.equal(*without) == is_goal
    guesses = [network.condition_without_goal(each).guess for each in seen]
    assert guesses[0] is not None and guesses[1] is not None
    assert torch.equal(guesses[0].mean_BHA, guesses[1].mean_BHA) == is_goal
    assert guesses[0].mean_BHA.abs().sum() > 0, "it goes on looking"
