"""Buffer, loop and gate together: what the arm gets is a function of what this object is told.

It knows no socket and no clock, and keeps nothing back: the same config, stamps, messages and
measurements give the same commands again, bit for bit (`robot_io.control.replay`).
"""

from enum import StrEnum

import numpy as np

from robot_io import wire
from robot_io.clock import NS_PER_MS
from robot_io.control.buffer import CommandBuffer
from robot_io.control.foresight import Foresight
from robot_io.control.loop import ControlLoop, Tick
from robot_io.control.spec import ControlSpec
from robot_io.gate.body import Body
from robot_io.gate.gate import CommandGate
from robot_io.gate.look_ahead import Foreseen
from robot_io.rows import ToolRows
from robot_io.types import POLICY, TELEOP, ActionChunk, ArmState

MAX_LATE_NS = 50 * NS_PER_MS  # so late a tick may take what was observed after it was due


class Uptake(StrEnum):
    """What became of a message, where it is not one of `robot_io.control.buffer.SpliceRefusal`."""

    ACCEPTED = "accepted"
    OTHER_EPISODE = "other_episode"  # a chunk observed, a request made before this one began
    TAKEN_OVER = "taken_over"  # a policy's chunk, not observed since the arm was its own
    HANDED_BACK = "handed_back"  # a teleoperator's, likewise
    UNCHANGED = "unchanged"  # a request for the arm by the one who has it
    NOT_FOR_US = "not_for_us"


class Controller:
    """One episode that began at `begin_ns`. Each period: `take` each message, `tick`, `look_ahead`.

    The arm is the policy's until a person takes it over, and again from when it is handed back;
    nothing else passes it on. The chunks of both go the same way: buffer, loop, gate.
    """

    def __init__(self, control: ControlSpec, begin_ns: int, *, body: Body | None = None) -> None:
        """`body`: what `control.build_body` gave, where it serves several episodes."""
        rows, body = ToolRows(), body if body is not None else control.build_body()
        self._begin_ns = begin_ns
        self._in_charge, self._since_ns = POLICY, begin_ns  # who has the arm, since when
        self._buffer = CommandBuffer(rows, max_age_ns=control.max_age_ns, seam_ns=control.seam_ns)
        self._gate = CommandGate(control.gate, body)
        self._foresight = Foresight(control.gate, body, self._gate)
        self._joint_rad_J = np.empty(0)
        self._loop = ControlLoop(self._buffer, self._gate, rows, control.loop)

    @property
    def stopped(self) -> bool:
        return self._gate.stopped

    def take(self, message: wire.Message, due_ns: int) -> str:
        """What became of it in the tick that is due: an `Uptake` or a `SpliceRefusal`."""
        if isinstance(message, wire.Stop):
            self._loop.stop(message.reason)
            return Uptake.ACCEPTED
        if isinstance(message, wire.TakeOver):
            return self._hand_over(TELEOP, message.asked_ns, due_ns, since_ns=message.asked_ns)
        if isinstance(message, wire.HandBack):
            return self._hand_over(POLICY, message.asked_ns, due_ns, since_ns=due_ns)
        if isinstance(message, ActionChunk):
            return self._take_chunk(message, due_ns)
        return Uptake.NOT_FOR_US

    def _hand_over(self, to: str, asked_ns: int, due_ns: int, *, since_ns: int) -> Uptake:
        """From now on the arm belongs to `to`, who must have looked at it since `since_ns`."""
        if asked_ns < self._begin_ns:
            return Uptake.OTHER_EPISODE
        if to == self._in_charge:
            return Uptake.UNCHANGED
        self._in_charge, self._since_ns = to, since_ns
        self._buffer.hand_over(due_ns)
        return Uptake.ACCEPTED

    def _take_chunk(self, chunk: ActionChunk, due_ns: int) -> str:
        if chunk.observed_ns < self._begin_ns:
            return Uptake.OTHER_EPISODE
        if chunk.source != self._in_charge or chunk.observed_ns < self._since_ns:
            return Uptake.HANDED_BACK if chunk.source == TELEOP else Uptake.TAKEN_OVER
        ahead_ns = chunk.observed_ns - due_ns
        now_ns = chunk.observed_ns if 0 < ahead_ns <= MAX_LATE_NS else due_ns
        refusal = self._buffer.splice(chunk, now_ns).refusal
        if refusal is None:
            self._foresight.took(chunk)
        return refusal or Uptake.ACCEPTED

    def tick(self, due_ns: int, state: ArmState) -> Tick:
        """What the arm gets now, and why."""
        self._joint_rad_J = state.joint_rad_J
        return self._loop.tick(due_ns, state)

    def look_ahead(self, due_ns: int) -> Foreseen | None:
        """What a new plan as a whole would break; to be asked after the tick at `due_ns`."""
        return self._foresight.look(due_ns, self._joint_rad_J)
