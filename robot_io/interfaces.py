"""What a device must be able to do, whoever made it: hardware and simulators implement these.

Constructors open nothing. Entering is all or nothing. Leaving stops first and may happen twice.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np

from robot_io.errors import FeelforwardError
from robot_io.types import ArmState, Frame, Observation


class Arm(Protocol):
    """An arm (with its gripper) that takes target rows at the command rate.

    Whoever drives it stops it when targets cease to come: see `robot_io.session.watchdog`.
    """

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    def read(self) -> ArmState:
        """The newest measurement. Its stamp tells its age: it may be the same as last time."""
        ...

    def command(self, row_D: np.ndarray) -> None:
        """Sets the target. Returns at once: no loop, sleep or retry inside."""
        ...

    def stop(self) -> None:
        """Asks the arm for its own controlled stop. May be asked again."""
        ...

    @property
    def stopped_by(self) -> str | None:
        """Why it takes no more commands until it is entered again; None while it takes them."""
        ...


class Camera(Protocol):
    """A camera, or a tactile sensor with a camera behind its gel."""

    name: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame not returned before; None when none came within `timeout_s`."""
        ...


class NoPlanError(FeelforwardError):
    """There is no plan this time; the next try may bring one."""


class ChunkSource(Protocol):
    """Something that plans: a policy, or a stand-in for one."""

    def reset(self, seed: int) -> None:
        """Forgets the last episode; the same seed gives the same plans again."""
        ...

    def plan(self, observation: Observation) -> np.ndarray:
        """Rows (H, D); row h is meant for `observation.observed_ns + h * step_ns`.

        Raises NoPlanError where the old plan had better go on.
        """
        ...


@runtime_checkable
class DistantSource(ChunkSource, Protocol):
    """A chunk source at the far end of a line that may fail."""

    def news(self) -> list[str]:
        """What the operator should read since the last call: one line per fault at its begin,
        and one at its end.
        """
        ...

    def link_report(self) -> Mapping[str, int | float]:
        """What a `robot_io.remote.report.LinkReport` since the last `reset` is made of."""
        ...


class SteppedWorld(Protocol):
    """A world on a virtual clock: it moves only when told to."""

    @property
    def arm(self) -> Arm: ...

    @property
    def cameras(self) -> Sequence[Camera]:
        """Tactile sensors too."""
        ...

    def advance_to(self, now_ns: int) -> None:
        """Runs physics, exposures and deliveries up to `now_ns`."""
        ...
