"""Numbers over steps, for TensorBoard and, where asked, for Weights & Biases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from policy import storage
from policy.config import Recipe
from robot_io.errors import FeelforwardError

RUN_ID = "wandb_run.txt"  # so that a resumed training goes on in the same run


class Curves:
    """`curves.add(step, {"loss/training": 0.1})`. Use as a context."""

    def __init__(
        self, out_dir: Path, recipe: Recipe, *, from_step: int, wandb_project: str | None = None
    ) -> None:
        """What was written after `from_step` by an interrupted run counts no more."""
        self._run = None if wandb_project is None else _begin(wandb_project, out_dir, recipe)
        self._writer = SummaryWriter(str(out_dir / "tensorboard"), purge_step=from_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        if self._run is not None:
            self._run.log({**values, "step": step})

    def __enter__(self) -> "Curves":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()
        if self._run is not None:
            self._run.finish(exit_code=0 if error[0] is None else 1)


def _begin(project: str, out_dir: Path, recipe: Recipe) -> Any:
    """A `wandb.Run`: new, or the one that this training has begun before."""
    try:
        import wandb  # type: ignore[import-not-found]  # who wants it installs it
    except ModuleNotFoundError:
        raise FeelforwardError(
            "--wandb needs the package wandb, which is not installed: pip install wandb."
        ) from None

    note = out_dir / RUN_ID
    run_id = storage.read_text(note).strip() if note.exists() else None
    try:
        run = wandb.init(
            project=project,
            name=out_dir.name,
            dir=str(out_dir),
            id=run_id,
            resume="allow",
            config=recipe.model_dump(mode="json"),
        )
    except wandb.Error as error:
        raise FeelforwardError(
            f"Weights & Biases: {error} Call `wandb login`, or set WANDB_MODE=offline to send the "
            "curves later with `wandb sync`."
        ) from error
    run.define_metric("*", step_metric="step")
    storage.write_text(note, run.id + "\n")
    return run
