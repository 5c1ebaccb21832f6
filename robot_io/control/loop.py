"""One tick of control: from a plan and a measurement to what the arm gets.

The ladder: the plan, and the old plan's tail while a new one is late → slow down along the path
→ hold → stop, latched. A source that never had a plan only means holding at the measured pose.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from robot_io.clock import NS_PER_S
from robot_io.gate.interface import Gate
from robot_io.gate.reasons import Reason
from robot_io.gate.slow_down import SlowDown
from robot_io.rows import RowSpace
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict, VerdictKind


class CommandSource(Protocol):
    """Whatever says where to go: the command buffer, an expert, a teleoperator."""

    def sample(self, now_ns: int) -> Command | None:
        """The command for this instant, None when there is none.

        `due_ns` is the instant for a live source; one that froze goes on giving its last stamp
        and expires. The loop numbers the commands itself.
        """
        ...


class Rung(StrEnum):
    """How far down the ladder a tick was."""

    PLAN = "plan"
    SLOW_DOWN = "slow_down"
    HOLD = "hold"
    STOPPED = "stopped"


class LoopLimits(BaseModel):
    """How long the loop waits, holding, before it stops for good."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_after_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    max_state_age_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick. `verdict.row_D` goes to the arm, whatever the rung."""

    stamp_ns: MonoNs
    command: Command  # what was proposed to the gate
    verdict: Verdict
    rung: Rung


class ControlLoop:
    """Call `tick` once per period with the stamp the tick was scheduled for."""

    def __init__(
        self, source: CommandSource, gate: Gate, rows: RowSpace, limits: LoopLimits
    ) -> None:
        self._source = source
        self._gate = gate
        self._rows = rows
        self._limits = limits
        self._sequence = 0
        self._last: Tick | None = None
        self._before: Tick | None = None  # the tick before the last: two give a velocity
        self._slow_down: tuple[int, SlowDown] | None = None  # and when it began
        self._had_plan = False
        self._fine_ns = 0  # last tick without trouble
        self._trouble: str | None = None  # why the last tick followed no plan; None: all is well
        self._released_ns: int | None = None

    def tick(self, now_ns: int, state: ArmState) -> Tick:
        """What the arm gets now, and why.

        Raises FeelforwardError when the very first state is unusable: the arm is not armed.
        """
        if self._trouble is not None and now_ns - self._fine_ns > self._stop_after_ns:
            self._gate.stop(self._trouble)
        fault = self._state_fault(now_ns, state)
        command = None if fault or self._gate.stopped else self._proposed(now_ns)
        if command is not None:
            tick = self._follow(command, state, now_ns)
        else:
            tick = self._wind_down(fault, state, now_ns)
        self._before, self._last = self._last, tick
        return tick

    def stop(self, reason: str = Reason.OPERATOR) -> None:
        """The software stop: latched from the next tick on."""
        self._gate.stop(reason)

    def release(self, now_ns: int, state: ArmState) -> None:
        """A person ends the stop. What was planned before this instant is never executed."""
        self._gate.release(state)
        self._released_ns = now_ns
        self._had_plan, self._trouble = False, None
        self._slow_down = self._last = self._before = None

    @property
    def _stop_after_ns(self) -> float:
        return self._limits.stop_after_s * NS_PER_S

    def _state_fault(self, now_ns: int, state: ArmState) -> Reason | None:
        if self._rows.fault(state.row_D) is not None:
            return Reason.STATE_UNUSABLE
        if not now_ns - state.stamp_ns <= self._limits.max_state_age_s * NS_PER_S:
            return Reason.STATE_STALE
        return None

    def _proposed(self, now_ns: int) -> Command | None:
        command = self._source.sample(now_ns)
        if command is None:
            return None
        observed_ns, released_ns = command.provenance.observed_ns, self._released_ns
        if observed_ns is not None and released_ns is not None and observed_ns < released_ns:
            return None
        return self._numbered(command.row_D, command.due_ns, command.provenance)

    def _numbered(self, row_D: np.ndarray, due_ns: int, provenance: Provenance) -> Command:
        self._sequence += 1
        return Command(self._sequence, MonoNs(due_ns), row_D, provenance)

    def _follow(self, command: Command, state: ArmState, now_ns: int) -> Tick:
        verdict = self._gate.check(command, state, now_ns)
        if verdict.kind in (VerdictKind.ACCEPTED, VerdictKind.MODIFIED):
            self._had_plan, self._slow_down = True, None
            self._fine_ns, self._trouble = now_ns, None
            return Tick(MonoNs(now_ns), command, verdict, Rung.PLAN)
        self._trouble = verdict.reasons[0]
        return Tick(MonoNs(now_ns), command, verdict, _resting(verdict))

    def _wind_down(self, fault: Reason | None, state: ArmState, now_ns: int) -> Tick:
        """No plan to follow, or no measurement to follow it by."""
        self._trouble = fault or (Reason.NO_PLAN if self._had_plan else None)
        if self._trouble is None:
            self._fine_ns = now_ns
        if fault is None and not self._gate.stopped:
            row_D = self._slowing(now_ns)
            if row_D is not None:
                command = self._numbered(row_D, now_ns, Provenance("slow_down"))
                verdict = self._gate.check(command, state, now_ns)
                return Tick(MonoNs(now_ns), command, verdict, Rung.SLOW_DOWN)
        verdict = self._gate.hold(fault or Reason.NO_PLAN, state, now_ns)
        command = self._numbered(verdict.row_D, now_ns, Provenance("hold"))
        return Tick(MonoNs(now_ns), command, verdict, _resting(verdict))

    def _slowing(self, now_ns: int) -> np.ndarray | None:
        """The row on the way to rest; None once there, or when nothing moved."""
        if self._slow_down is None:
            self._slow_down = self._new_slow_down()
        if self._slow_down is None:
            return None
        begun_ns, slow_down = self._slow_down
        elapsed_s = (now_ns - begun_ns) / NS_PER_S
        return slow_down.at(elapsed_s) if elapsed_s < slow_down.duration_s else None

    def _new_slow_down(self) -> tuple[int, SlowDown] | None:
        before, last = self._before, self._last
        if before is None or last is None or last.rung is not Rung.PLAN:
            return None
        step_ns = last.stamp_ns - before.stamp_ns
        if not step_ns > 0:
            return None
        sent_2D = np.stack([before.verdict.row_D, last.verdict.row_D])
        _, velocity_V = self._rows.curve(sent_2D, step_ns).at(step_ns)
        slow_down = self._gate.slow_down(last.verdict.row_D, velocity_V)
        return None if slow_down is None else (last.stamp_ns, slow_down)


def _resting(verdict: Verdict) -> Rung:
    return Rung.STOPPED if verdict.kind is VerdictKind.STOPPED else Rung.HOLD
