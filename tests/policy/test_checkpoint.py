"""A checkpoint gives the same plans wherever it goes, and a broken one a sentence."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from policy_toy import ToolSampler, random_rows, size, tool_config

from policy import statistics
from policy.checkpoint import (
    append_to_card,
    export_checkpoint,
    load_checkpoint,
    read_recipe,
)
from policy.config import Recipe, TrainConfig
from policy.training.train import train
from robot_io.errors import FeelforwardError
from robot_io.types import MonoNs, Observation

CONFIG = tool_config(images=True)
RECIPE = Recipe(policy=CONFIG, train=TrainConfig(steps=3, warmup_steps=0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "FITTED_WINDOWS", 64)
        patch.setattr(statistics, "CALIBRATION_WINDOWS", 16)
        train(RECIPE, ToolSampler(CONFIG), folder, command="feelforward train x", progress=False)
    return folder / "checkpoint"


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "checkpoint"))


def observation(seed: int = 0, *, extra: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    vectors = {s.name: random_rows(rng, (s.history + extra,)) for s in CONFIG.vectors}
    images = {
        s.name: rng.integers(0, 256, (s.history + extra, *size(s)), np.uint8) for s in CONFIG.images
    }
    return Observation(observed_ns=MonoNs(0), vectors=vectors, images=images)


def test_the_same_seed_gives_the_same_plans(checkpoint: Path) -> None:
    policy = load_checkpoint(checkpoint)
    plans = []
    for _ in range(2):
        policy.reset(seed=7)
        plans.append([policy.plan(observation(i)) for i in range(3)])
    np.testing.assert_array_equal(plans[0], plans[1])
    policy.reset(seed=8)
    assert not np.array_equal(policy.plan(observation(0)), plans[0][0])


def test_warming_up_changes_no_plan(checkpoint: Path) -> None:
    cold, warm = load_checkpoint(checkpoint), load_checkpoint(checkpoint)
    assert warm.warm_up() > 0
    np.testing.assert_array_equal(cold.plan(observation()), warm.plan(observation()))


def test_a_plan_is_made_of_absolute_rows(checkpoint: Path) -> None:
    plan = load_checkpoint(checkpoint.parent).plan(observation(extra=3))
    assert plan.shape == (16, 8)
    assert plan.dtype == np.float64
    assert np.isfinite(plan).all()
    np.testing.assert_allclose(np.linalg.norm(plan[:, 3:7], axis=1), 1)


def test_several_plans_of_one_observation_are_drawn_side_by_side(checkpoint: Path) -> None:
    policy = load_checkpoint(checkpoint)
    policy.reset(seed=7)
    alone_HD = policy.plan(observation())
    policy.reset(seed=7)
    np.testing.assert_array_equal(policy.plans(observation(), 1), alone_HD[None])
    several_PHD = policy.plans(observation(), 5)
    assert several_PHD.shape == (5, 16, 8)
    assert len(np.unique(several_PHD[:, 0, 0])) == 5, "each from noise of its own"
    joined = load_checkpoint(checkpoint, joining="guided")
    with pytest.raises(ValueError, match=r"joining = guided, allowed for several plans: overwrite"):
        joined.plans(observation(), 5)


def test_half_the_bits_give_nearly_the_same_plan(checkpoint: Path, tmp_path: Path) -> None:
    export_checkpoint(checkpoint, tmp_path / "shipped")
    ratio = (tmp_path / "shipped/weights.safetensors").stat().st_size / (
        checkpoint / "weights.safetensors"
    ).stat().st_size
    assert ratio < 0.55
    full = load_checkpoint(checkpoint).plan(observation())
    half = load_checkpoint(tmp_path / "shipped").plan(observation())
    np.testing.assert_allclose(half, full, atol=0.02)


def test_a_copy_may_draw_its_plans_in_another_way(checkpoint: Path, tmp_path: Path) -> None:
    export_checkpoint(checkpoint, tmp_path / "cold", half=False, sampling={"temperature": "0"})
    plan = load_checkpoint(tmp_path / "cold").plan(observation())
    likely = load_checkpoint(checkpoint, sampling={"temperature": 0.0}).plan(observation())
    np.testing.assert_array_equal(plan, likely)
    assert not np.array_equal(plan, load_checkpoint(checkpoint).plan(observation()))
    with pytest.raises(FeelforwardError, match=r"sampling = .*: temperature: Input should be"):
        export_checkpoint(checkpoint, tmp_path / "hot", sampling={"temperature": "2"})
    assert not (tmp_path / "hot").exists()


def test_trained_weights_may_be_drawn_from_in_another_way(checkpoint: Path) -> None:
    plain = load_checkpoint(checkpoint).plan(observation())
    same = load_checkpoint(checkpoint, sampling={"solver": "midpoint"}).plan(observation())
    np.testing.assert_array_equal(same, plain)
    other = load_checkpoint(checkpoint, sampling={"solver": "ddim", "evaluations": 3})
    assert other.config.sampling.evaluations == 3
    assert not np.array_equal(other.plan(observation()), plain)
    with pytest.raises(FeelforwardError, match=r"sampling = .*: midpoint takes 2 evaluations"):
        load_checkpoint(checkpoint, sampling={"evaluations": 3})


def test_the_untouched_gel_travels_along(checkpoint: Path) -> None:
    images = load_checkpoint(checkpoint).reference_images
    assert set(images) == {"tactile_left", "tactile_right"}
    assert (images["tactile_left"] == 128).all()


def test_the_card_tells_where_it_comes_from_and_takes_results(checkpoint: Path) -> None:
    append_to_card(checkpoint, "Measured", "87 of 100")
    card = (checkpoint / "card.md").read_text()
    for fact in ("made-up tool poses", "feelforward train x", "3 of 3", "## Measured\n\n87 of 100"):
        assert fact in card


def test_the_recipe_survives_the_round_trip(checkpoint: Path) -> None:
    assert read_recipe(checkpoint) == RECIPE


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def overwrite(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def truncate(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def change_weights(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = safetensors.torch.load_file(folder / "weights.safetensors")
        change(weights)
        safetensors.torch.save_file(weights, folder / "weights.safetensors")

    return apply


def change_text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return apply


def drop_statistic(folder: Path) -> None:
    content = json.loads((folder / "stats.json").read_text())
    del content["action"]["scale"]
    (folder / "stats.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (drop("config.toml"), "is no checkpoint: config.toml is missing"),
        (drop("weights.safetensors"), "weights.safetensors is missing"),
        (drop("stats.json"), "stats.json is missing"),
        (overwrite("config.toml", b"[policy"), "is not valid TOML"),
        (overwrite("config.toml", b"\xff\xfe"), "cannot be read"),
        (overwrite("stats.json", b"{"), "stats.json is corrupt"),
        (drop_statistic, "stats.json is corrupt"),
        (overwrite("weights.safetensors", b"junk"), "weights.safetensors is corrupt"),
        (truncate, "weights.safetensors is corrupt"),
        (change_weights(lambda w: w.pop("join.bias")), "lacks join.bias"),
        (change_weights(lambda w: w.update(more=w["join.bias"].clone())), "holds more, which"),
        (
            change_weights(lambda w: w.update({"join.bias": w["join.bias"][:5].clone()})),
            r"join.bias has shape \(5,\)",
        ),
        (change_weights(lambda w: w["join.bias"].fill_(np.nan)), "join.bias holds NaN"),
        (change_text("config.toml", "horizon", "horizn"), "policy.horizn: Extra inputs"),
        (change_text("config.toml", "horizon = 16", "horizon = nan"), "policy.horizon"),
    ],
)
def test_a_broken_checkpoint_gives_one_sentence(
    checkpoint: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    harm(checkpoint)
    with pytest.raises(FeelforwardError, match=sentence) as failure:
        load_checkpoint(checkpoint)
    assert "\n" not in str(failure.value)


def test_an_interrupted_save_leaves_the_old_file(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (checkpoint / "card.md").read_text()

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("robot_io.files.os.fsync", full_disk)
    with pytest.raises(FeelforwardError, match=r"card.md cannot be written: No space left"):
        append_to_card(checkpoint, "Measured", "x")
    assert (checkpoint / "card.md").read_text() == before
    assert {path.name for path in checkpoint.iterdir()} == {
        "card.md",
        "config.toml",
        "stats.json",
        "weights.safetensors",
    }


def without(kind: str, name: str) -> Observation:
    good = observation()
    kept = {k: v for k, v in getattr(good, kind).items() if k != name}
    return Observation(
        observed_ns=good.observed_ns,
        vectors=kept if kind == "vectors" else good.vectors,
        images=kept if kind == "images" else good.images,
    )


def with_vector(x: np.ndarray) -> Observation:
    good = observation()
    return Observation(good.observed_ns, {**good.vectors, "measured": x}, good.images)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (without("vectors", "commanded"), "lacks 'commanded'"),
        (without("images", "wrist"), "lacks 'wrist'"),
        (with_vector(np.zeros((3, 8))), r"measured has shape \(3, 8\), allowed \(8 or more, 8\)"),
        (with_vector(np.full((8, 8), np.nan)), "measured holds NaN"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(
    checkpoint: Path, bad: Observation, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        load_checkpoint(checkpoint).plan(bad)
