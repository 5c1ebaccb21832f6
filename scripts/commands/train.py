"""`feelforward train`: demonstrations and a recipe in, a checkpoint out."""

import math
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from policy.config import Recipe
    from policy.data import DemoDataset

HELD_OUT = 20  # every 20th episode is for validation, where there are so many


@dataclass(frozen=True, slots=True)
class Train:
    """Train a policy from demonstrations.

    Writes RUN/checkpoint (what evaluate, demo and run take), RUN/tensorboard and what --resume
    needs. A resumed run gives the same losses as one that was never interrupted.

    Examples:
      feelforward train --data datasets/tighten_cap --out runs/tighten_cap
      feelforward train --data datasets/tighten_cap --out runs/tighten_cap --resume
      feelforward train --config configs/push_t.toml --data datasets/push_t --out runs/push_t
    """

    data: tuple[Path, ...]
    """One or more data sets (see `feelforward collect` and `feelforward dataset`)."""
    out: Path
    """Folder of the run: new or empty, unless --resume."""
    config: Path = Path("configs/tighten_cap.toml")
    """The recipe: what the policy sees, its network, how it is trained."""
    steps: int | None = None
    """Training steps instead of the recipe's."""
    resume: bool = False
    """Go on with the run in --out."""

    def run(self) -> None:
        recipe = self._recipe()
        from policy.data import WindowSampler, open_dataset
        from policy.training.train import train

        datasets = [open_dataset(path) for path in self.data]
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
        )
        held_out = [validation for _, validation in divided]
        result = train(
            recipe,
            windows([*small, *(training for training, _ in divided)]),
            self.out,
            validation=windows(held_out) if held_out else None,
            resume=self.resume,
            command=shlex.join(["feelforward", *sys.argv[1:]]),
        )
        print(f"{result.parameters / 1e6:.2f} M parameters, {result.minutes:.1f} min.")
        print(f"Checkpoint: {result.checkpoint}")
        print(f"Curves:     tensorboard --logdir {self.out}/tensorboard")
        print(f"Next:       feelforward evaluate --checkpoint {self.out}")

    def _recipe(self) -> "Recipe":
        from policy.config import Recipe
        from scripts.config import load_config

        recipe = load_config(self.config, Recipe)
        if self.steps is None:
            return recipe
        if self.steps < 1:
            raise FeelforwardError(f"--steps {self.steps}, allowed: 1 or more.")
        warmup_steps = min(recipe.train.warmup_steps, self.steps // 10)
        change = {"steps": self.steps, "warmup_steps": warmup_steps}
        schedule = recipe.train.model_copy(update=change)
        return recipe.model_copy(update={"train": schedule})


def _check_rate(dataset: "DemoDataset", step_ms: int) -> None:
    """A row of the data must be a step of the policy, or it learns another speed."""
    if not math.isclose(1000 / dataset.fps, step_ms, rel_tol=0.01):
        raise FeelforwardError(
            f"{dataset.directory} has {dataset.fps:g} rows a second, but policy.step_ms = {step_ms}"
            f" means {1000 / step_ms:g}: set step_ms = {1000 / dataset.fps:.0f} or resample."
        )
