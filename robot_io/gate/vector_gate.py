"""The gate for rows without inertia: plain vectors in a box."""

import numpy as np

from robot_io.errors import FeelforwardError
from robot_io.gate.reasons import Reason
from robot_io.types import ArmState, Command, Verdict, VerdictKind


class VectorGate:
    """The gate for plain vectors: shape, finite, inside a box."""

    def __init__(self, low_D: np.ndarray, high_D: np.ndarray) -> None:
        low_D, high_D = np.asarray(low_D, np.float64), np.asarray(high_D, np.float64)
        if low_D.shape != high_D.shape or not np.all(low_D < high_D):
            raise ValueError(f"low_D = {low_D} must be below high_D = {high_D}, of equal shape.")
        self._low_D, self._high_D = low_D, high_D
        self._last_D: np.ndarray | None = None
        self._stop_reason: str | None = None

    @property
    def stopped(self) -> bool:
        return self._stop_reason is not None

    def stop(self, reason: str) -> None:
        if self._stop_reason is None:
            self._stop_reason = str(reason)

    def release(self, state: ArmState) -> None:
        self._anchor(state)
        self._stop_reason = None

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        fault = _vector_fault(command.row_D, len(self._low_D))
        if fault is not None or self.stopped:
            return self.hold(str(fault), state, now_ns)
        row_D = np.clip(command.row_D, self._low_D, self._high_D)
        self._last_D = row_D
        moved = float(np.linalg.norm(row_D - command.row_D))
        if moved == 0:
            return Verdict(VerdictKind.ACCEPTED, command.row_D)
        return Verdict(VerdictKind.MODIFIED, row_D, (Reason.WORKSPACE,), moved)

    def hold(self, reason: str, state: ArmState, now_ns: int) -> Verdict:
        last_D = self._last_D if self._last_D is not None else self._anchor(state)
        if self._stop_reason is not None:
            return Verdict(VerdictKind.STOPPED, last_D, (self._stop_reason,))
        return Verdict(VerdictKind.HOLD, last_D, (str(reason),))

    def slow_down(self, row_D: np.ndarray, velocity_V: np.ndarray) -> None:
        return None

    def _anchor(self, state: ArmState) -> np.ndarray:
        fault = _vector_fault(state.row_D, len(self._low_D))
        if fault is not None:
            raise FeelforwardError(
                f"The measured position is unusable ({fault}: {state.row_D}), so nothing is"
                " armed; check the task."
            )
        self._last_D = state.row_D.copy()
        return self._last_D


def _vector_fault(row_D: np.ndarray, size: int) -> Reason | None:
    if not isinstance(row_D, np.ndarray) or row_D.shape != (size,) or row_D.dtype.kind != "f":
        return Reason.SHAPE
    return None if np.isfinite(row_D).all() else Reason.NOT_FINITE
