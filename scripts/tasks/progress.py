"""Progress bars that stay quiet where nobody watches."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from scripts.tasks.episode import Episode


def episode_progress(*, quiet: bool = False) -> Progress:
    """A bar that counts episodes; its task has the field `note`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=quiet,
    )


def watch(playing: Iterable[Episode], *, total: int, filmed: Sequence[int]) -> list[Episode]:
    """Plays to the end behind a progress bar. Scenes that nobody films are let go."""
    episodes: list[Episode] = []
    with episode_progress() as progress:
        bar = progress.add_task("episodes", total=total, note="")
        for episode in playing:
            keep = episode.result.seed in filmed
            episodes.append(episode if keep else replace(episode, scenes=()))
            successes = sum(each.result.success for each in episodes)
            progress.update(bar, advance=1, note=f"{successes}/{len(episodes)} succeeded")
    return episodes
