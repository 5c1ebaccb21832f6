"""What a policy sees, put together from streams that arrive each in their own time.

The same object serves the collector, the lockstep runner and the policy process, so that a
policy sees in the field what it saw in training.

        wrist        ·     ·     W     ·     ·     W            (exposed)
        tactile        ·       T       ·       T       ·  T
        measured    ····························································
                                 ▲─────step────▲
                              k = 1          k = 0: observed_ns, newest frame of the slowest

Vectors are interpolated at `observed_ns - k * step_ns`; the command in effect then is the one
sent last. Images are those exposed nearest to these instants, and never after `observed_ns`.
Before the first sample a history repeats it; before the first command, the arm was told to stay.
"""

from bisect import bisect_right
from collections.abc import Mapping

import numpy as np

from robot_io.clock import NS_PER_S
from robot_io.rows import RowSpace, VectorRows
from robot_io.types import ArmState, Frame, MonoNs, Observation

MEASURED, COMMANDED = "measured", "commanded"


class _History:
    """Samples of one stream in the order of their stamps, as far back as needed."""

    def __init__(self, horizon_ns: int) -> None:
        self._horizon_ns = horizon_ns
        self.stamp_ns_N: list[int] = []
        self.value_N: list[np.ndarray] = []

    def add(self, stamp_ns: int, value: np.ndarray) -> None:
        """Takes a sample whose stamp advances; a frozen or tardy one is no news."""
        if self.stamp_ns_N and stamp_ns <= self.stamp_ns_N[-1]:
            return
        self.stamp_ns_N.append(stamp_ns)
        self.value_N.append(value)
        old = bisect_right(self.stamp_ns_N, stamp_ns - self._horizon_ns) - 1
        if old > 0:  # the last sample before the horizon is still in effect at the horizon
            del self.stamp_ns_N[:old], self.value_N[:old]

    @property
    def newest_ns(self) -> int:
        return self.stamp_ns_N[-1]

    def in_effect(self, at_ns: int) -> np.ndarray:
        """The last sample at or before an instant; before all of them, the first."""
        return self.value_N[max(bisect_right(self.stamp_ns_N, at_ns) - 1, 0)]

    def nearest(self, at_ns: int, not_after_ns: int) -> np.ndarray:
        """The sample nearest to an instant among those not after `not_after_ns`."""
        after = bisect_right(self.stamp_ns_N, at_ns)
        before = max(after - 1, 0)
        if after >= len(self.stamp_ns_N) or self.stamp_ns_N[after] > not_after_ns:
            return self.value_N[before]
        gap_ns = self.stamp_ns_N[after] - at_ns
        return self.value_N[after if gap_ns < at_ns - self.stamp_ns_N[before] else before]


class Observer:
    """Give it every state, sent command and frame; ask it for an observation when one is needed.

    `vectors` and `images` name the streams a policy uses and how many steps of each. Streams of
    other names may be fed and are ignored. A stream is missing until its first sample, and a
    vector stream that lags a step behind the images is taken for dead: no observation then. So is
    `commanded`, once there has been a command.
    """

    def __init__(
        self,
        rows: RowSpace,
        *,
        step_ns: int,
        vectors: Mapping[str, int],
        images: Mapping[str, int] | None = None,
    ) -> None:
        self._rows = rows
        self._step_ns = step_ns
        self._vector_steps = dict(vectors)
        self._image_steps = dict(images or {})
        steps = (*self._vector_steps.values(), *self._image_steps.values())
        if not steps or not min(steps) > 0 or not step_ns > 0:
            raise ValueError(
                f"step_ns = {step_ns}, vectors = {dict(vectors)}, images = {self._image_steps};"
                " allowed: a positive step and at least one stream, each of at least one step."
            )
        # a second more than the longest history: how far the slowest camera may lie behind
        self._horizon_ns = (max(steps) + 1) * step_ns + NS_PER_S
        self.reset()

    def reset(self) -> None:
        """Forgets everything: a new episode."""
        names = {*self._vector_steps, *self._image_steps, MEASURED}
        self._history = {name: _History(self._horizon_ns) for name in names}
        self._observed_ns: int | None = None

    def add_state(self, state: ArmState) -> None:
        """The arm's measurement: stream `measured`."""
        self._history[MEASURED].add(state.stamp_ns, state.row_D)

    def add_sent(self, stamp_ns: int, row_D: np.ndarray) -> None:
        """What really went to the arm, after the gate: stream `commanded`."""
        self.add_vector(COMMANDED, stamp_ns, row_D)

    def add_vector(self, stream: str, stamp_ns: int, value_D: np.ndarray) -> None:
        if stream in self._vector_steps:
            self._history[stream].add(stamp_ns, value_D)

    def add_frame(self, frame: Frame) -> None:
        if frame.stream in self._image_steps:
            self._history[frame.stream].add(frame.exposed_ns, frame.image_HWC)

    def observe(self) -> Observation | None:
        """The newest observation; None when there is none newer than the last one returned."""
        observed_ns = self._newest_common_ns()
        if observed_ns is None or (
            self._observed_ns is not None and observed_ns <= self._observed_ns
        ):
            return None
        self._observed_ns = observed_ns
        return Observation(
            observed_ns=MonoNs(observed_ns),
            vectors={
                name: self._vector(name, self._instants(observed_ns, steps))
                for name, steps in self._vector_steps.items()
            },
            images={
                name: self._images(name, observed_ns, steps)
                for name, steps in self._image_steps.items()
            },
        )

    def _newest_common_ns(self) -> int | None:
        """The newest stamp that every image stream (or, without any, vector stream) has reached."""
        # before the first command the arm was told to stay where it was measured
        sensed = [MEASURED if name == COMMANDED else name for name in self._vector_steps]
        leading = list(self._image_steps) or sensed
        if not all(self._history[name].stamp_ns_N for name in (*sensed, *leading)):
            return None
        observed_ns = min(self._history[name].newest_ns for name in leading)
        oldest_ns = observed_ns - self._step_ns
        begun = [name for name in self._vector_steps if self._history[name].stamp_ns_N]
        if any(self._history[name].newest_ns <= oldest_ns for name in (*sensed, *begun)):
            return None
        return observed_ns

    def _instants(self, observed_ns: int, steps: int) -> np.ndarray:
        return observed_ns - self._step_ns * np.arange(steps - 1, -1, -1, dtype=np.int64)

    def _vector(self, name: str, at_ns_T: np.ndarray) -> np.ndarray:
        history = self._history[name]
        if name == COMMANDED:
            history = history if history.stamp_ns_N else self._history[MEASURED]
            return np.stack([history.in_effect(at_ns) for at_ns in at_ns_T.tolist()])
        rows = self._rows if name == MEASURED else VectorRows(history.value_N[0].shape[-1])
        return rows.interpolate(np.array(history.stamp_ns_N), np.stack(history.value_N), at_ns_T)

    def _images(self, name: str, observed_ns: int, steps: int) -> np.ndarray:
        history = self._history[name]
        at_ns_T = self._instants(observed_ns, steps).tolist()
        newest = history.in_effect(at_ns_T.pop())
        return np.stack([*(history.nearest(at_ns, observed_ns) for at_ns in at_ns_T), newest])
