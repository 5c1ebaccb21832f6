"""`feelforward train`: demonstrations and a recipe in, a checkpoint out."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from policy.config import Recipe
    from policy.training.keeper import Evaluation
    from policy.training.train import TrainResult


@dataclass(frozen=True, slots=True)
class Train:
    """Train a policy from demonstrations.

    Writes RUN/checkpoint (the last step: what evaluate, demo and run take for RUN), RUN/best (the
    step that did best on held-out episodes or, with --evaluate-every, at the task),
    RUN/tensorboard and what --resume needs. A resumed run gives the same losses as one that was
    never interrupted. More in docs/training.md.

    Examples:
      feelforward train --data datasets/tighten_cap --out runs/tighten_cap
      feelforward train --data datasets/tighten_cap --out runs/tighten_cap --resume
      feelforward train --config configs/push_t.toml --out runs/push_t \\
          --data datasets/push_t datasets/push_t_mirrored
      feelforward train --config configs/push_t.toml --data datasets/push_t --out runs/push_t_mse \\
          --set policy.generative.head=mse policy.generative.weight=none \\
          policy.given_rows=0 policy.sampling.temperature=1
      feelforward train --config configs/push_t_distilled.toml --teacher runs/push_t \\
          --data datasets/push_t datasets/push_t_mirrored datasets/push_t_plays \\
          --out runs/push_t_distilled
      feelforward train --data datasets/tighten_cap --out runs/big --processes 4
      feelforward train --data datasets/tighten_cap --out runs/watched --evaluate-every 2000
      nohup feelforward train --data datasets/tighten_cap --out runs/night > night.log &
    """

    data: tuple[Path, ...]
    """One or more data sets (see `feelforward collect` and `feelforward dataset`)."""
    out: Path
    """Folder of the run: new or empty, unless --resume."""
    config: Path = Path("configs/tighten_cap.toml")
    """The recipe: what the policy sees, its network, how it is trained."""
    teacher: str | None = None
    """Checkpoint (or run, or the name of a shipped one) whose plans a recipe with
    policy.generative.distilled = true learns; --resume needs it, too."""
    set: tuple[str, ...] = ()
    """Keys of the recipe with other values: --set policy.network.kind=dit train.seed=1."""
    steps: int | None = None
    """Training steps instead of the recipe's."""
    resume: bool = False
    """Go on with the run in --out."""
    processes: int = 1
    """Processes of this machine, one per GPU, that share every batch (several machines:
    docs/training.md)."""
    evaluate_every: int | None = None
    """Also play the task in the simulator every so many steps."""
    evaluate_episodes: int = 10
    """Episodes that --evaluate-every plays, the same every time."""
    task: str = "TightenCap"
    """What --evaluate-every plays: TightenCap or gym_pusht/PushT-v0."""
    wandb: str | None = None
    """Also send the curves to this project of Weights & Biases (pip install wandb)."""

    def run(self) -> None:
        recipe = self._recipe()
        from policy.training.processes import Processes, launched
        from policy.training.train import train
        from scripts.checkpoints import find_checkpoint
        from scripts.training_data import window_samplers

        if self.processes < 1:
            raise FeelforwardError(f"--processes {self.processes}, allowed: 1 or more.")
        if self.processes > 1 and not launched():
            from scripts.launch import launch

            launch(self.processes)
            return
        with Processes(recipe.train) as processes:
            with processes.first_ahead():  # it decodes what the others then find decoded
                training, held_out = window_samplers(recipe, self.data)
            result = train(
                recipe,
                training,
                self.out,
                validation=held_out,
                evaluation=self._evaluation(recipe) if processes.is_first else None,
                teacher=find_checkpoint(self.teacher) if self.teacher is not None else None,
                resume=self.resume,
                command=shlex.join(["feelforward", *sys.argv[1:]]),
                wandb_project=self.wandb,
                processes=processes,
            )
        if processes.is_first:
            self._tell(result)

    def _evaluation(self, recipe: "Recipe") -> "Evaluation | None":
        from policy.training.keeper import Evaluation

        if self.evaluate_every is None:
            return None
        if self.evaluate_every < 1:
            raise FeelforwardError(f"--evaluate-every {self.evaluate_every}, allowed: 1 or more.")
        from scripts.trial import make_trial

        play = make_trial(recipe.policy, task=self.task, episodes=self.evaluate_episodes)
        return Evaluation(play, self.evaluate_every)

    def _tell(self, result: "TrainResult") -> None:
        print(f"{result.parameters / 1e6:.2f} M parameters, {result.minutes:.1f} min.")
        print(f"Peak memory: {result.peak_memory}.")
        if result.validation is not None:
            print(f"Held-out episodes: {result.validation}")
        print(f"Checkpoint: {result.checkpoint} (the last step)")
        if result.best is not None:
            print(f"Best:       {self.out / 'best'} ({result.best})")
        print(f"Curves:     tensorboard --logdir {self.out}/tensorboard")
        print(f"Next:       feelforward evaluate --checkpoint {self.out}")

    def _recipe(self) -> "Recipe":
        from policy.config import Recipe
        from scripts.config import load_config

        recipe = load_config(self.config, Recipe, settings=self.set)
        if self.steps is None:
            return recipe
        if self.steps < 1:
            raise FeelforwardError(f"--steps {self.steps}, allowed: 1 or more.")
        warmup_steps = min(recipe.train.warmup_steps, self.steps // 10)
        change = {"steps": self.steps, "warmup_steps": warmup_steps}
        schedule = recipe.train.model_copy(update=change)
        return recipe.model_copy(update={"train": schedule})
