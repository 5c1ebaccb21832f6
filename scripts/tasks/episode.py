"""What an episode leaves behind, whoever played it and on whatever clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robot_io.session.timing import Outcome
from scripts.tasks.report import EpisodeResult


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one frame of a film needs to be drawn later."""

    stamp_ns: int
    snapshot_N: np.ndarray  # packed `sim.world.Snapshot`
    plan_ns_P: np.ndarray  # when the rows still to come are due
    plan_PD: np.ndarray
    sent_D: np.ndarray  # the command in effect
    status: str  # what leads the arm now, for people


@dataclass(frozen=True, slots=True)
class Episode:
    """The result; where a film is wanted, its scenes; of a session in real time, its outcome."""

    result: EpisodeResult
    scenes: Sequence[Scene] = ()
    outcome: Outcome | None = None


Player = Callable[[int], Episode]  # plays the episode of one seed
