"""A checkpoint is a folder: `config.toml`, `weights.safetensors`, `stats.json`, `card.md`.

Configuration, statistics and card are written before the weights; every file is replaced whole.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydantic
import tomli_w
import torch
from torch import Tensor

from policy import storage
from policy.config import Joining, PolicyConfig, Recipe, upgraded
from policy.networks.network import PolicyNetwork
from policy.planning.inference import DiffusionPolicy
from policy.statistics import Statistics
from robot_io.errors import FeelforwardError

CONFIG, WEIGHTS, STATS, CARD = "config.toml", "weights.safetensors", "stats.json", "card.md"


def load_checkpoint(
    directory: Path,
    *,
    joining: Joining = "overwrite",
    threads: int = 1,
    sampling: Mapping[str, object] | None = None,
) -> DiffusionPolicy:
    """The policy in a checkpoint folder, or in the folder of a training run.

    `threads` is set for the whole process; beside a control loop it must be 1. `sampling`: keys of
    `[policy.sampling]` with other values than `config.toml` has, since trained weights may be
    drawn from in many ways.
    Raises FeelforwardError, in one sentence, on anything missing, corrupt or not fitting.
    """
    recipe, statistics, network = load_network(directory)
    policy = recipe.policy if sampling is None else resampled(recipe.policy, sampling)
    return DiffusionPolicy(policy, statistics, network, joining=joining, threads=threads)


def load_network(directory: Path) -> tuple[Recipe, Statistics, PolicyNetwork]:
    """What a policy is made of, from the same folders and with the same errors."""
    directory = checkpoint_folder(directory)
    recipe, statistics = read_recipe(directory), read_statistics(directory)
    network = statistics.make_network(recipe.policy)
    load_weights(network, directory / WEIGHTS)
    return recipe, statistics, network


def resampled(config: PolicyConfig, sampling: Mapping[str, object]) -> PolicyConfig:
    """The same policy, drawn in another way. Raises FeelforwardError where that makes no sense."""
    content = config.model_dump()
    content["sampling"] |= sampling
    changed = _checked(content, f"sampling = {dict(sampling)}")
    if config.generative.distilled and changed != config:
        raise FeelforwardError(
            f"sampling = {dict(sampling)}: a distilled policy has learnt one way of drawing, "
            f"evaluations = {config.sampling.evaluations} from noise of temperature "
            f"{config.sampling.temperature:g}; distil it anew for another."
        )
    return changed


def told(config: PolicyConfig, goals: Mapping[str, Sequence[float]]) -> PolicyConfig:
    """The same policy, told these goals once and for all, so that they need not be observed."""
    content = config.model_dump()
    known = {stream["name"]: stream for stream in content["vectors"] if stream["goal"]}
    for name, value in goals.items():
        if name not in known:
            has = f"its goals in numbers: {', '.join(known)}" if known else "it has none"
            raise FeelforwardError(f"{name} is no goal of this policy; {has}.")
        known[name]["value"] = value
    return _checked(content, f"goals = {dict(goals)}")


def _checked(content: Mapping[str, object], what: str) -> PolicyConfig:
    try:
        return PolicyConfig.model_validate(content)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        place = "".join(f"{part}: " for part in fault["loc"][1:])
        reason = fault["msg"].removeprefix("Value error, ")
        raise FeelforwardError(f"{what}: {place}{reason}.") from error


def checkpoint_folder(directory: Path) -> Path:
    """`directory`, or the checkpoint inside it."""
    if (directory / CONFIG).is_file():
        return directory
    if (directory / "checkpoint" / CONFIG).is_file():
        return directory / "checkpoint"
    raise FeelforwardError(
        f"{directory} is no checkpoint: {CONFIG} is missing. Give a folder that holds {CONFIG}, "
        f"{WEIGHTS} and {STATS}, or the folder of a training run."
    )


def read_recipe(directory: Path) -> Recipe:
    """What `config.toml` says."""
    path = checkpoint_folder(directory) / CONFIG
    try:
        return Recipe.model_validate(upgraded(tomllib.loads(storage.read_text(path))))
    except tomllib.TOMLDecodeError as error:
        raise FeelforwardError(f"{path} is not valid TOML: {error}.") from error
    except pydantic.ValidationError as error:
        raise FeelforwardError(f"{path}: {_first_fault(error)}.") from error


def read_statistics(directory: Path) -> Statistics:
    """What `stats.json` says."""
    path = checkpoint_folder(directory) / STATS
    try:
        return Statistics.from_json(json.loads(storage.read_text(path)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FeelforwardError(
            f"{path} is corrupt ({error!r}): copy it again or train again."
        ) from error


def load_weights(network: PolicyNetwork, path: Path) -> None:
    """Checks every name and shape before a single number is taken over."""
    weights, _ = storage.read_tensors(path)
    expected = network.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise FeelforwardError(f"{path} lacks {name}: it does not belong to this {CONFIG}.")
        if name not in expected:
            raise FeelforwardError(f"{path} holds {name}, which this {CONFIG} does not know.")
        if weights[name].shape != expected[name].shape:
            raise FeelforwardError(
                f"{path}: {name} has shape {tuple(weights[name].shape)}, {CONFIG} and {STATS} ask "
                f"for {tuple(expected[name].shape)}."
            )
        if not weights[name].isfinite().all():
            raise FeelforwardError(f"{path}: {name} holds NaN or infinity: train again.")
    network.load_state_dict(weights)


def save_description(directory: Path, recipe: Recipe, statistics: Statistics) -> None:
    """Everything but weights and card."""
    content = recipe.model_dump(mode="json", exclude_none=True)
    storage.write_text(directory / CONFIG, tomli_w.dumps(content))
    storage.write_text(directory / STATS, json.dumps(statistics.to_json()) + "\n")


def save_weights(directory: Path, weights: Mapping[str, Tensor]) -> None:
    storage.write_tensors(directory / WEIGHTS, weights)


def append_to_card(directory: Path, title: str, text_markdown: str) -> None:
    """Adds a section, such as measured results, to the end of the card."""
    path = checkpoint_folder(directory) / CARD
    old = storage.read_text(path).rstrip() if path.exists() else "# Policy"
    storage.write_text(path, f"{old}\n\n## {title}\n\n{text_markdown.strip()}\n")


def export_checkpoint(
    source: Path,
    target: Path,
    *,
    half: bool = True,
    sampling: Mapping[str, object] | None = None,
    goals: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Copies a checkpoint, by default with its weights in 16 bits, after checking that it loads.

    `sampling` as in `load_checkpoint`: the copy draws its plans that way. `goals`: what goals in
    numbers say, in the copy once and for all.
    """
    source = checkpoint_folder(source)
    recipe, statistics = read_recipe(source), read_statistics(source)
    policy = told(resampled(recipe.policy, sampling or {}), goals or {})
    recipe = recipe.model_copy(update={"policy": policy})
    load_weights(statistics.make_network(policy), source / WEIGHTS)
    weights, _ = storage.read_tensors(source / WEIGHTS)
    if half:
        weights = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
    save_description(target, recipe, statistics)
    if (source / CARD).exists():
        storage.write_text(target / CARD, storage.read_text(source / CARD))
    save_weights(target, weights)


def _first_fault(error: pydantic.ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"])) or "the file"
    return f"{where}: {fault['msg']} (got {fault['input']!r})"
