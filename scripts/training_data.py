"""What a training draws from: windows of demonstrations, and of held-out episodes."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from policy.config import Recipe
from policy.data import DemoDataset, WindowSampler, open_dataset
from robot_io.errors import FeelforwardError

HELD_OUT = 20  # every 20th episode is for validation, where there are so many


def window_samplers(
    recipe: Recipe, data: Sequence[Path]
) -> tuple[WindowSampler, WindowSampler | None]:
    """Training windows and, where there are enough episodes, held-out ones."""
    datasets = [open_dataset(path) for path in data]
    for each in datasets:
        _check_rate(each, recipe.policy.step_ms)
    divided = [each.split(HELD_OUT) for each in datasets if each.episode_count >= HELD_OUT]
    small = [each for each in datasets if each.episode_count < HELD_OUT]
    windows = partial(
        WindowSampler,
        history=recipe.policy.history(),
        horizon=recipe.policy.horizon,
        batch_size=recipe.train.batch_size,
        seed=recipe.train.seed,
        drop_last_rows=recipe.train.drop_last_rows,
    )
    held_out = [validation for _, validation in divided]
    training = windows([*small, *(training for training, _ in divided)])
    return training, windows(held_out) if held_out else None


def _check_rate(dataset: DemoDataset, step_ms: int) -> None:
    """A row of the data must be a step of the policy, or it learns another speed."""
    if not math.isclose(1000 / dataset.fps, step_ms, rel_tol=0.01):
        raise FeelforwardError(
            f"{dataset.directory} has {dataset.fps:g} rows a second, but policy.step_ms = {step_ms}"
            f" means {1000 / step_ms:g}: set step_ms = {1000 / dataset.fps:.0f} or resample."
        )
