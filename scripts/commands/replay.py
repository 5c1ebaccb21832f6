"""`feelforward replay`: a recorded run once more through the control loop, compared bit for bit."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from robot_io.errors import FeelforwardError


@dataclass(frozen=True, slots=True)
class Replay:
    """Feed what a run recorded through the control loop again and compare every command.

    What the control process decides depends on its config, its stamps, the messages it took and
    what the arm measured, and on nothing else. So every command comes out bit for bit, on the same
    processor and the same version of NumPy; otherwise the first that differs is shown, and the
    exit code is 1.

    Examples:
      feelforward replay out/monday
      feelforward replay out/monday/episode_100000.npz
    """

    recorded: tyro.conf.Positional[Path]
    """A folder made by `run --record` or `evaluate --mode realtime --record`, or a file of it."""

    def run(self) -> None:
        from robot_io.control.record import EpisodeRecord
        from robot_io.control.replay import replay

        all_alike = True
        for path in _records(self.recorded):
            result = replay(EpisodeRecord.load(path))
            all_alike &= result.first is None
            print(f"{path.name}: {result}")
        if not all_alike:
            sys.exit(1)


def _records(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    paths = sorted(path.glob("episode_*.npz"))
    if not paths:
        raise FeelforwardError(
            f"{path} holds no episode_*.npz. Record a run: feelforward run --record DIR"
        )
    return paths
