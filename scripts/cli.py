"""`feelforward`: one command per module of `scripts.commands`, one sentence per failure."""

import os
import sys
from collections.abc import Sequence

# One thread per process and no spinning, before NumPy or torch load: on few cores a spinning
# neighbour stalls the control loop. Rendering needs no display.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MUJOCO_GL", "egl")

import tyro
from rich.console import Console

from robot_io.errors import FeelforwardError
from scripts.commands import Command

DESCRIPTION = "Real-time diffusion-policy controller for robot arms that feel what they touch."


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 1 failed (one sentence on stderr), 2 usage, 130 Ctrl-C."""
    command: Command = tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]  # a union of commands
        prog="feelforward",
        description=DESCRIPTION,
        args=arguments,
    )
    try:
        command.run()
    except FeelforwardError as error:
        Console(stderr=True, soft_wrap=True).print(f"feelforward: {error}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("feelforward: stopped by Ctrl-C.")
        sys.exit(130)


if __name__ == "__main__":
    main()
