"""What is kept of a training: checkpoints and their cards, the best so far, what resuming needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console

from policy import checkpoint, storage
from policy.statistics import Sampler
from policy.training.curves import Curves
from policy.training.objective import Objective
from policy.training.progress import duration, say
from policy.training.state import Best, TrainingState
from policy.training.validation import Validation, validate
from robot_io.clock import NS_PER_S, MonotonicClock

CHECKPOINT, BEST = "checkpoint", "best"  # folders in that of a run


@dataclass(frozen=True)
class Evaluation:
    """Playing the task now and then while training goes on."""

    play: Callable[[Path], Mapping[str, float]]  # a checkpoint's folder -> scores, with "success"
    every: int  # steps


@dataclass
class Keeper:
    """Validates, judges and saves the averaged weights of a training, wherever a save is due."""

    state: TrainingState
    objective: Objective
    out_dir: Path
    data: str  # what is learnt from, for the card
    command: str
    processes: int
    validation: Sampler | None
    evaluation: Evaluation | None
    console: Console
    validated: Validation | None = None
    scores: Mapping[str, float] = field(default_factory=dict)  # of this step, where it was played

    def __post_init__(self) -> None:
        self.folder = self.out_dir / CHECKPOINT
        self.recipe = self.objective.recipe
        self.clock = MonotonicClock()

    def is_due(self, *, last: bool) -> bool:
        return (
            last
            or self._plays(last=last)
            or self.state.step % self.recipe.train.checkpoint_every == 0
        )

    def keep(self, curves: Curves, *, last: bool) -> None:
        """Validates, saves, plays the task where that is due, and judges."""
        self.scores = {}
        self._validate(curves)
        self._save_checkpoint(self.folder)
        if self._plays(last=last):
            self._evaluate(curves)
            storage.write_text(self.folder / checkpoint.CARD, self._card())  # with the scores
        self._keep_best(self._judged())
        self._save_state()

    def begin(self) -> None:
        """Saves what there is before the first step."""
        self._save_checkpoint(self.folder)
        self._save_state()

    def _plays(self, *, last: bool) -> bool:
        return self.evaluation is not None and (
            last or self.state.step % self.evaluation.every == 0
        )

    def _validate(self, curves: Curves) -> None:
        if self.validation is None:
            return
        self.validated = validate(self.objective, self.state.ema.network, self.validation)
        curves.add(self.state.step, self.validated.curves())
        say(self.console, f"step {self.state.step:,}: held-out {self.validated}")

    def _evaluate(self, curves: Curves) -> None:
        assert self.evaluation is not None
        started_ns = self.clock.now_ns()
        self.scores = self.evaluation.play(self.folder)
        torch.set_num_threads(self.recipe.train.threads)  # a policy in this process has set its own
        curves.add(
            self.state.step, {f"evaluation/{name}": value for name, value in self.scores.items()}
        )
        cost = duration((self.clock.now_ns() - started_ns) / NS_PER_S)
        say(self.console, f"step {self.state.step:,}: {_listed(self.scores)} ({cost} to play)")

    def _judged(self) -> Best | None:
        """How good this step is: its success where the task is played, else its validation loss."""
        if self.evaluation is not None:
            return Best("success", self.scores["success"], self.state.step) if self.scores else None
        if self.validated is not None:
            return Best("validation loss", self.validated.loss, self.state.step)
        return None

    def _keep_best(self, now: Best | None) -> None:
        if now is not None and now.is_at_least(self.state.best):
            self._save_checkpoint(self.out_dir / BEST)
            self.state.best = now

    def _save_state(self) -> None:
        self.state.save(self.out_dir, self.recipe, self.data)

    def _save_checkpoint(self, folder: Path) -> None:
        """All that runs, the weights last."""
        checkpoint.save_description(folder, self.recipe, self.objective.statistics)
        storage.write_text(folder / checkpoint.CARD, self._card())
        checkpoint.save_weights(folder, self.state.ema.network.state_dict())

    def _card(self) -> str:
        train_config, device = self.recipe.train, self.objective.device
        facts = {
            "data": self.data,
            "command": f"`{self.command}`" if self.command else "from Python",
            "seed": train_config.seed,
            "steps": f"{self.state.step} of {train_config.steps}, batch {train_config.batch_size}",
            "minutes": f"{self.state.seconds / 60:.1f} on {device.type}, {self.processes} "
            f"process(es) of {train_config.threads} thread(s), torch {torch.__version__}",
            "parameters": f"{self.state.parameters:,}",
            "validation": str(self.validated) if self.validated is not None else "none",
        }
        if self.scores:
            facts["evaluation"] = _listed(self.scores)
        lines = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
        return f"# Policy\n\n| | |\n|---|---|\n{lines}\n"


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in scores.items())
