"""`feelforward dataset`: look into a data set, or bring one in from elsewhere."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, slots=True)
class Info:
    """Print what is in a data set: episodes, streams, shapes, rates, statistics.

    Example: feelforward dataset info datasets/tighten_cap
    """

    directory: tyro.conf.Positional[Path]
    """Folder of a data set in the LeRobot v3.0 layout."""

    def run(self) -> None:
        from rich.console import Console

        from policy.data import dataset_info

        Console().print(dataset_info(self.directory))


@dataclass(frozen=True, slots=True)
class ImportZarr:
    """Convert a replay buffer of Diffusion Policy (zarr) into a data set.

    Push-T is recognised (keypoint, agent, action, scene); of anything else every key is taken.

    Example: feelforward dataset import-zarr pusht_cchi_v7_replay.zarr --out datasets/push_t
    """

    source: tyro.conf.Positional[Path]
    """The zarr folder, with data/ and meta/episode_ends."""
    out: Path
    """The new data set. It appears only when it is complete."""
    fps: float = 10.0
    """Rows per second of the recording, Hz."""

    def run(self) -> None:
        from policy.data import import_zarr

        episodes = import_zarr(self.source, self.out, fps=self.fps)
        print(f"{episodes} episodes in {self.out}. Look: feelforward dataset info {self.out}")


@dataclass(frozen=True, slots=True)
class MirrorPushT:
    """Write the demonstrations of Push-T as in a mirror; train on both, as the recipes are meant.

    The field is symmetric about a diagonal, and so is what a good policy does.

    Examples:
      feelforward dataset mirror-push-t datasets/push_t --out datasets/push_t_mirrored
      feelforward train --config configs/push_t.toml \\
          --data datasets/push_t datasets/push_t_mirrored --out runs/push_t
    """

    source: tyro.conf.Positional[Path]
    """Folder of the data set."""
    out: Path
    """The new data set. It appears only when it is complete."""

    def run(self) -> None:
        from scripts.tasks.push_t_mirror import mirror_push_t

        episodes = mirror_push_t(self.source, self.out)
        print(f"{episodes} episodes in {self.out}. Look: feelforward dataset info {self.out}")
