"""An arm that lives in another process of this machine: the simulator's, over shared memory.

`RemoteArm` is what the control process holds; `ArmServer` is its counterpart in the world's
process. Neither waits for the other. Both need NumPy only. The server has the watchdog that every
arm needs: a control process that is frozen or dead sends nothing, and the arm stops by itself.

    arm_state.ring    [row_D, joint_rad_J, wrench_6, why it stands still], stamped when measured
    arm_target.ring   [0, row_D] a command, [1, zeros] a stop
"""

import contextlib
from pathlib import Path
from typing import Self

import numpy as np

from robot_io.clock import Clock, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.ring import RingReader, RingWriter, Sample
from robot_io.session.watchdog import NO_TARGET, REQUESTED, TargetWatchdog
from robot_io.types import ArmState

STATE_FILE = "arm_state.ring"
TARGET_FILE = "arm_target.ring"
WHY = (None, REQUESTED, NO_TARGET)  # by its number in the ring
TARGET_SLOTS = 256  # of 2.5 s: a bench that looks on sees every command until the arm is at rest
ATTACH_TIMEOUT_S = 30.0  # a world compiles its model first


class RemoteArm:
    """The client side; implements `robot_io.interfaces.Arm`. `read` never waits.

    Command it at a steady rate: when the newest target is older than the server's limit, the arm
    stops by itself and takes no more targets until its next episode.
    """

    def __init__(
        self, directory: Path | str, *, row_size: int = 8, clock: Clock | None = None
    ) -> None:
        self._directory = Path(directory)
        self._row_size = row_size
        self._clock = clock if clock is not None else MonotonicClock()
        self._files = contextlib.ExitStack()
        self._states: RingReader | None = None
        self._targets: RingWriter | None = None
        self._sequence = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as files:
            path = self._directory / TARGET_FILE
            shape = (1 + self._row_size,)
            ring = RingWriter(path, shape=shape, dtype=np.float64, slots=TARGET_SLOTS)
            self._targets = files.enter_context(ring)
            states = RingReader.attach(self._directory / STATE_FILE, timeout_s=ATTACH_TIMEOUT_S)
            self._states = files.enter_context(states)
            self._files = files.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._targets is not None:
            self.stop()
        self._targets = self._states = None
        self._files.close()

    def read(self) -> ArmState:
        """The newest measurement; FeelforwardError while there is none at all."""
        sample = self._newest()
        row_D, joint_rad_J, wrench_6, _ = np.split(sample.values, [self._row_size, -7, -1])
        measured = None if np.isnan(wrench_6).all() else wrench_6
        return ArmState(sample.exposed_ns, row_D, joint_rad_J, measured)

    @property
    def stopped_by(self) -> str | None:
        """As the server said it with the newest measurement."""
        return WHY[int(self._newest().values[-1])]

    def _newest(self) -> Sample:
        if self._states is None:
            raise FeelforwardError("The arm is not connected. Enter it first.")
        sample = self._states.latest()
        if sample is None:
            raise FeelforwardError("The simulated arm has not measured anything yet.")
        return sample

    def command(self, row_D: np.ndarray) -> None:
        if row_D.shape != (self._row_size,):
            raise ValueError(f"row shape = {row_D.shape}, allowed ({self._row_size},)")
        self._send(0.0, row_D)

    def stop(self) -> None:
        self._send(1.0, np.zeros(self._row_size))

    def _send(self, stop: float, row_D: np.ndarray) -> None:
        if self._targets is None:
            raise FeelforwardError("The arm is not connected. Enter it first.")
        now_ns = self._clock.now_ns()
        target = np.concatenate(([stop], row_D))
        self._sequence += 1
        self._targets.write(target, exposed_ns=now_ns, received_ns=now_ns, sequence=self._sequence)


class ArmServer:
    """The world's side: publishes measurements, takes targets, and watches over their age."""

    def __init__(
        self,
        directory: Path | str,
        *,
        max_target_age_s: float,
        row_size: int = 8,
        clock: Clock | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._row_size = row_size
        self._clock = clock if clock is not None else MonotonicClock()
        self._states: RingWriter | None = None
        self._targets: RingReader | None = None
        self._watchdog = TargetWatchdog(max_target_age_s)
        self._sequence = 0
        self.stopped_by: str | None = None  # why the arm must stand still, until `clear`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for side in (self._states, self._targets):
            if side is not None:
                side.close()
        self._states = self._targets = None

    def publish(self, state: ArmState) -> None:
        """Makes a measurement visible to the control process."""
        wrench_6 = state.wrench_6 if state.wrench_6 is not None else np.full(6, np.nan)
        why = [float(WHY.index(self.stopped_by))]
        values = np.concatenate((state.row_D, state.joint_rad_J, wrench_6, why))
        if self._states is None:
            path = self._directory / STATE_FILE
            self._states = RingWriter(path, shape=values.shape, dtype=np.float64)
        self._sequence += 1
        self._states.write(
            values,
            exposed_ns=state.stamp_ns,
            received_ns=self._clock.now_ns(),
            sequence=self._sequence,
        )

    def latest_command(self) -> np.ndarray | None:
        """The newest target row (D,) not taken before. None as long as `stopped_by` is set."""
        path = self._directory / TARGET_FILE
        if self._targets is None and path.exists():
            self._targets = RingReader(path)
        sample = self._targets.newest() if self._targets is not None else None
        if sample is not None:
            self._watchdog.fed(sample.exposed_ns)
        if self.stopped_by is None and sample is not None and sample.values[0] != 0:
            self.stopped_by = REQUESTED
        if self.stopped_by is None and self._watchdog.tripped(self._clock.now_ns()):
            self.stopped_by = NO_TARGET
        return None if sample is None or self.stopped_by is not None else sample.values[1:]

    def clear(self) -> None:
        """A new episode: forgets a stop and every target sent so far."""
        self.latest_command()
        if self._targets is not None:
            self._targets.skip_to_now()
        self._watchdog.reset()
        self.stopped_by = None
