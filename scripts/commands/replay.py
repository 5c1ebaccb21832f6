"""`feelforward replay`: a recorded run once more through the control loop, compared bit for bit."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from robot_io.control.record import EpisodeRecord


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
        from robot_io.control.record import NO_RECORD, EpisodeRecord
        from robot_io.control.replay import replay

        all_alike = True
        for path in _records(self.recorded):
            if not path.exists() and path.with_suffix(".mcap").exists():
                all_alike = False
                print(f"{path.stem}: {NO_RECORD}")
                continue
            record = EpisodeRecord.load(path)
            result = replay(record)
            print(f"{path.name}: {result}")
            if result.first is not None:
                all_alike = False
                print(_changed_since(record), end="")
        if not all_alike:
            sys.exit(1)


def _records(path: Path) -> list[Path]:
    """The record of each episode, also where only its flight record is there."""
    if path.suffix == ".mcap" and path.is_file():
        return [path.with_suffix(".npz")]
    if not path.is_dir():
        return [path]
    found = (*path.glob("episode_*.npz"), *path.glob("episode_*.mcap"))
    paths = sorted({each.with_suffix(".npz") for each in found})
    if not paths:
        raise FeelforwardError(
            f"{path} holds no episode_*.npz. Record a run: feelforward run --record DIR"
        )
    return paths


def _changed_since(record: "EpisodeRecord") -> str:
    """A line with what else is different between its machine and versions and those here."""
    from robot_io.machine import made_by

    then, now = json.loads(record.made_by), made_by()
    changed = [
        f"{name} {was}, now {now.get(name, 'none')}"
        for name, was in then.items()
        if was != now.get(name)
    ]
    return f"  made with {'; '.join(changed)}\n" if changed else ""
