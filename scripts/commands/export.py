"""`feelforward export`: a small copy of a checkpoint, for shipping."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, slots=True)
class Export:
    """Copy a checkpoint with its weights in half precision: what runs, without what resumes.

    Example: feelforward export runs/tighten_cap --out checkpoints/tighten_cap
    """

    source: tyro.conf.Positional[Path]
    """A run or checkpoint folder."""
    out: Path
    """The new checkpoint folder; refused when it exists."""

    def run(self) -> None:
        from policy.checkpoint import export_checkpoint

        export_checkpoint(self.source, self.out)
        size_mb = sum(file.stat().st_size for file in self.out.iterdir()) / 1e6
        print(f"Checkpoint: {self.out}  ({size_mb:.1f} MB)")
