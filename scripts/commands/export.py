"""`feelforward export`: a small copy of a checkpoint, for shipping, or one that draws otherwise."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from robot_io.errors import FeelforwardError
from scripts.checkpoints import find_checkpoint


@dataclass(frozen=True, slots=True)
class Export:
    """Copy a checkpoint with its weights in half precision: what runs, without what resumes.

    How plans are drawn is not trained, so a copy may draw them in another way. A policy that has
    a goal (docs/generative.md) finds it in its observations, or a copy is told it once and for all.

    Examples:
      feelforward export runs/tighten_cap --out checkpoints/tighten_cap
      feelforward export tighten_cap --out out/hot --sampling temperature=1
      feelforward export runs/both_sides --out out/left --goal side=1,0 --sampling guidance_weight=2
    """

    source: tyro.conf.Positional[str]
    """A run or checkpoint folder, or the name of a shipped checkpoint."""
    out: Path
    """The new checkpoint folder; refused when it exists."""
    sampling: tuple[str, ...] = ()
    """Keys of [policy.sampling] with other values (docs/generative.md): evaluations=4."""

    goal: tuple[str, ...] = ()
    """Goals in numbers: side=1,0."""

    def run(self) -> None:
        from policy.checkpoint import export_checkpoint

        if self.out.exists():
            raise FeelforwardError(f"--out {self.out} exists already: choose a new folder.")
        export_checkpoint(
            find_checkpoint(self.source),
            self.out,
            sampling=dict(_setting("--sampling", text) for text in self.sampling),
            goals=dict(map(_goal, self.goal)),
        )
        size_mb = sum(file.stat().st_size for file in self.out.iterdir()) / 1e6
        print(f"Checkpoint: {self.out}  ({size_mb:.1f} MB)")


def _setting(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise FeelforwardError(f"{option} {text}, allowed: key=value.")
    return key, value


def _goal(text: str) -> tuple[str, list[float]]:
    name, value = _setting("--goal", text)
    try:
        return name, [float(number) for number in value.split(",")]
    except ValueError:
        raise FeelforwardError(f"--goal {text}, allowed: numbers, as in {name}=1,0.") from None
