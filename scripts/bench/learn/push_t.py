"""Policies trained on human Push-T, and what they do from a hundred starts.

A cell is a training and a way of drawing plans from it. Cells that differ in the latter only share
a training, in a folder named after what makes it; training and playing go on where they were cut.

Legend: S trainings, E episodes.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from policy.checkpoint import load_checkpoint
from policy.config import Recipe
from policy.planning.inference import DiffusionPolicy
from policy.training.state import STATE
from policy.training.train import TrainResult, train
from scripts.bench.learn.row import Figures, Measured, Size, Verdict, judge
from scripts.checkpoints import REPOSITORY
from scripts.collection import collect
from scripts.config import load_config
from scripts.evaluation import PUSH_T, make_push_t_player
from scripts.training_data import window_samplers

FIRST_SEED = 100_000
PLAYS_FROM, PLAYS, FEW_PLAYS = 500_000, 400, 20  # of a teacher, that its student learns from
TRAININGS = 5  # of what is told beside published results, and of what is held to be equal
Settings = tuple[str, ...]  # of a recipe, as `feelforward train --set` takes them
Sampling = tuple[tuple[str, str | float], ...]  # keys of [policy.sampling] with other values

RECIPE, MLP, DIT = "push_t.toml", "push_t_mlp.toml", "push_t_dit.toml"  # the recipe: a U-Net
IMAGE, IMAGE_LIGHT = "push_t_image.toml", "push_t_image_light.toml"  # for a GPU; for 2 cores
UNWEIGHTED: Settings = ("policy.generative.weight=none",)
DDPM: Settings = (  # push_t_ddpm.toml, for any network
    "policy.generative.path=ddpm",
    "policy.generative.prediction=noise",
    "policy.generative.times=levels",
    "policy.generative.weight=none",
    "policy.sampling.solver=ddpm",
    "policy.sampling.grid=trailing",
    "policy.sampling.evaluations=100",
    "policy.sampling.clip=true",
)
ALL_NOISE: Sampling = (("temperature", 1.0),)  # all that was learnt, not the likeliest


@dataclass(frozen=True, slots=True)
class PushTCell:
    """`recipe` is a file of configs/; `sampling` may be chosen anew for a training."""

    name: str  # for tables
    recipe: str
    training: Settings = ()
    sampling: Sampling = ()
    seed: int = 0  # of the training
    episodes: int = 100
    settles: bool = True  # a short training settles nothing
    teacher: str = ""  # recipe of the policy whose plans this one learns, with the same settings
    recipe_digest: str = ""  # so that the log knows a recipe that was changed

    def trained_recipe(self) -> Recipe:
        path = REPOSITORY / "configs" / self.recipe
        return load_config(path, Recipe, settings=(*self.training, f"train.seed={self.seed}"))

    @property
    def run_name(self) -> str:
        """One folder per training."""
        return f"{Path(self.recipe).stem}-{self.digest()}-seed{self.seed}"

    def digest(self) -> str:
        """Of what is trained, whatever files and settings it comes from."""
        recipe = self.trained_recipe().model_dump(mode="json")
        content = json.dumps(recipe, sort_keys=True)  # wherever a key stands
        if self.teacher:
            content += f"{self.taught_by().digest()} {PLAYS} plays"
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def taught_by(self) -> "PushTCell":
        """The training of its teacher."""
        return replace(self, recipe=self.teacher, teacher="")


@dataclass(frozen=True, slots=True)
class Scale:
    """What a size comes to."""

    seeds: int
    episodes: int
    steps: int | None = None  # of training; None: the recipe's
    settles: bool = True


SMALL = Scale(seeds=1, episodes=10, steps=600, settles=False)


def repeated(cell: PushTCell, scale: Scale) -> list[PushTCell]:
    """One cell per training seed."""
    shorter: Settings = ()
    if scale.steps is not None:
        shorter = (f"train.steps={scale.steps}", f"train.warmup_steps={scale.steps // 10}")
    training = (*cell.training, *shorter)
    cells = [
        replace(cell, training=training, seed=seed, episodes=scale.episodes, settles=scale.settles)
        for seed in range(scale.seeds)
    ]
    return [replace(cell, recipe_digest=cell.digest()) for cell in cells]


def settled(kept: bool, measured: Measured[PushTCell], *, certain: bool = True) -> Verdict:
    """A small run settles nothing, whatever comes out."""
    whole = all(cell.settles for cell, _ in measured)
    return judge(kept, certain=certain) if whole else "open"


@dataclass(frozen=True, slots=True)
class PushTBench:
    """Where the demonstrations are, and where trainings go."""

    data: tuple[Path, ...]
    runs: Path
    quiet: bool = False  # where several train at once, whose bars would mingle
    seeds: int | None = None  # so many trainings of each kind, whatever the size

    def scale(self, size: Size, *, seeds: int = 3) -> Scale:
        """What a size comes to for a row that in full wants `seeds` trainings of each kind."""
        scale = SMALL if size == "small" else Scale(seeds=seeds, episodes=100)
        return scale if self.seeds is None else replace(scale, seeds=self.seeds)

    def measure(self, cell: PushTCell) -> Figures:
        """Trains, unless that is done, and plays; per episode what the benchmark reports."""
        done = self.train(cell)
        play = make_push_t_player(partial(_load, done.checkpoint, cell.sampling))
        seeds = range(FIRST_SEED, FIRST_SEED + cell.episodes)
        results = [play(seed).result for seed in seeds]
        return {
            "max_reward": [result.scores["max_reward"] for result in results],
            "success": [result.success for result in results],
            "training_minutes": done.minutes,
            "parameters": done.parameters,
        }

    def train(self, cell: PushTCell) -> TrainResult:
        """The same as `feelforward train`. Who needs it too, waits until it is done."""
        recipe, run = cell.trained_recipe(), self.runs / cell.run_name
        teacher, data = None, self.data
        if cell.teacher:
            teacher = self.train(cell.taught_by()).checkpoint
            data = (*data, self._plays(cell.taught_by(), teacher))
        training, held_out = window_samplers(recipe, data)
        with alone(self.runs / f"{cell.run_name}.lock"):
            return train(
                recipe,
                training,
                run,
                validation=held_out,
                teacher=teacher,
                resume=(run / STATE).exists(),
                command=f"feelforward bench learn ({cell.name})",
                progress=not self.quiet,
            )

    def _plays(self, cell: PushTCell, checkpoint: Path) -> Path:
        """The same as `feelforward collect --checkpoint`, from starts that are not evaluated."""
        out = self.runs / f"{cell.run_name}-plays"
        with alone(self.runs / f"{out.name}.lock"):
            collect(
                out,
                task=PUSH_T,
                episodes=PLAYS if cell.settles else FEW_PLAYS,
                first_seed=PLAYS_FROM,
                workers=1,
                checkpoint=str(checkpoint),
                quiet=self.quiet,
            )
        return out


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time; the lock of one that dies is free."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _load(checkpoint: Path, sampling: Sampling) -> DiffusionPolicy:
    policy = load_checkpoint(checkpoint, sampling=dict(sampling))
    policy.warm_up()
    return policy
