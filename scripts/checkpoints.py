"""Where checkpoints lie: a folder, a run, or the name of one that ships with the project."""

from pathlib import Path

from robot_io.errors import FeelforwardError

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = REPOSITORY / "checkpoints"
SHIPPED_DEFAULT = "tighten_cap"


def find_checkpoint(name: str) -> Path:
    """The folder that `name` means: a path of a checkpoint or run, else a shipped name."""
    for folder in (Path(name), SHIPPED / name):
        if folder.is_dir():
            return folder
    shipped = sorted(path.name for path in SHIPPED.glob("*") if path.is_dir())
    hint = f"; shipped: {', '.join(shipped)}" if shipped else ""
    raise FeelforwardError(f"{name} is no folder of a checkpoint, nor a shipped one{hint}.")
