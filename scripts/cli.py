"""`feelforward`: one command per module of `scripts.commands`, one sentence per failure."""

import difflib
import inspect
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

# One thread per process and no spinning, before NumPy or torch load: on few cores a spinning
# neighbour stalls the control loop. Rendering needs no display.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MUJOCO_GL", "egl")

import tyro

from robot_io.errors import FeelforwardError
from scripts.commands import COMMANDS, Command

PROGRAM = "feelforward"
ABOUT = "Real-time diffusion-policy controller for robot arms that feel what they touch."


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 1 failed (one sentence on stderr), 2 usage, 130 Ctrl-C."""
    command = parse(list(sys.argv[1:] if arguments is None else arguments))
    signal.signal(signal.SIGTERM, _end)
    try:
        command.run()
    except FeelforwardError as error:
        _leave(str(error), code=1)
    except ModuleNotFoundError as error:
        _leave(f'needs the package {error.name}: pip install -e ".[all]"', code=1)
    except KeyboardInterrupt:
        _leave("stopped by Ctrl-C.", code=130)


def parse(arguments: list[str]) -> Command:
    """The command that the arguments ask for, with its options. Prints help and leaves on -h."""
    name = next((name for name in COMMANDS if arguments[: len(name.split())] == name.split()), None)
    if name is None:
        _leave_with_usage(arguments)
    return tyro.cli(
        COMMANDS[name],
        prog=f"{PROGRAM} {name}",
        description=inspect.getdoc(COMMANDS[name]),
        args=arguments[len(name.split()) :],
    )


def usage(group: str) -> str:
    """The commands whose names begin with `group`, one line each."""
    rows = [(name, _first_line(name)) for name in COMMANDS if name.startswith(group)]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {line}" for name, line in rows]
    begin = f"usage: {PROGRAM} COMMAND [OPTIONS]\n\n{ABOUT}\n\n"
    return begin + "\n".join(lines) + f"\n\nOptions and examples: {PROGRAM} COMMAND --help"


def _first_line(name: str) -> str:
    return (inspect.getdoc(COMMANDS[name]) or "").split("\n\n")[0].replace("\n", " ")


def _leave_with_usage(arguments: list[str]) -> NoReturn:
    word = arguments[0] if arguments else "--help"
    group = word if any(name.startswith(f"{word} ") for name in COMMANDS) else ""
    asked = word in ("-h", "--help") or (group and arguments[1:] in ([], ["-h"], ["--help"]))
    if asked:
        print(usage(group))
        sys.exit(0)
    name = " ".join(arguments[:2] if group else arguments[:1])
    nearest = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)[0]
    _leave(f"{name} is not a command; the nearest one is: {PROGRAM} {nearest}", code=2)


def _end(number: int, frame: object) -> NoReturn:
    """Ends like Ctrl-C does: worker processes and half-written files go first."""
    sys.exit(128 + number)


def _leave(message: str, *, code: int) -> NoReturn:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
