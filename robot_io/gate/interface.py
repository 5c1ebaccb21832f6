"""What the control loop needs of a gate."""

from typing import Protocol

import numpy as np

from robot_io.gate.slow_down import SlowDown
from robot_io.types import ArmState, Command, Verdict


class Gate(Protocol):
    @property
    def stopped(self) -> bool:
        """Whether a stop is latched."""
        ...

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        """What may go to the arm in place of `command`. Once per tick."""
        ...

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        """What may go to the arm when there is no command. Once per tick."""
        ...

    def stop(self, reason: str) -> None:
        """Latches a stop; a second one changes nothing."""
        ...

    def release(self, state: ArmState) -> None:
        """A person ends the stop: the next command starts at the measured pose."""
        ...

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> SlowDown | None:
        """The way to rest from a moving row; None where rows have no inertia."""
        ...
