"""Each new plan judged as a whole, beside the loop; what it would break is told to the gate."""

import numpy as np

from robot_io.gate.body import Body
from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import GateLimits
from robot_io.gate.look_ahead import Foreseen, LookAhead
from robot_io.types import ActionChunk


class Foresight:
    """Tell it each plan that was `took`; `look` after a tick: it counts from the next one on.

    Without a model of the arm, or where the config checks no geometry, nothing is foreseen.
    """

    def __init__(self, limits: GateLimits, body: Body | None, gate: CommandGate) -> None:
        self._gate = gate
        self._look_ahead = None
        if body is not None and limits.geometry != "unchecked":
            self._look_ahead = LookAhead(limits, body)
        self._unseen: ActionChunk | None = None  # the newest plan, not yet looked at

    def took(self, chunk: ActionChunk) -> None:
        """The arm will follow this plan."""
        self._unseen = chunk

    def look(self, due_ns: int, joint_rad_J: np.ndarray) -> Foreseen | None:
        """What a new plan leads to from the measured joint angles on, after the tick at `due_ns`.

        It takes some milliseconds, which the time between two ticks has.
        """
        chunk, self._unseen = self._unseen, None
        if chunk is None or self._look_ahead is None or self._gate.stopped:
            return None
        if not (joint_rad_J.size and np.isfinite(joint_rad_J).all()):
            return None  # the gate says so in every tick
        past = max(0, (due_ns - chunk.start_ns) // chunk.step_ns)
        foreseen = self._look_ahead.first_violation(chunk.row_HD[past:], joint_rad_J)
        if foreseen is not None:
            self._gate.foresee(chunk.chunk_id, foreseen)
        return foreseen
