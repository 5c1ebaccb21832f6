"""How long plans take from observation to splice, and what will still be planned until then."""

from collections import deque

import numpy as np

from robot_io.control.buffer import CommandBuffer
from robot_io.types import POLICY, ActionChunk, Leftover

WINDOW = 50  # plans: a few seconds, so that a slow spell is forgotten again
PERCENTILE = 95.0


class DelayEstimate:
    """A high percentile over a window of measured delays, in rows: one spike is soon forgotten.

    The first plan of an episode does not count: it may carry a warm-up. An estimate only tells the
    policy which rows will be executed before its plan arrives; rows are dropped by their own
    stamps, whatever it says.
    """

    def __init__(self, *, window: int = WINDOW, percentile: float = PERCENTILE) -> None:
        if not window > 0 or not 0 <= percentile <= 100:
            raise ValueError(
                f"window = {window}, percentile = {percentile}; allowed above 0 and [0, 100]."
            )
        self._percentile = percentile
        self._delay_ns_N: deque[int] = deque(maxlen=window)
        self._warm = False

    def add(self, delay_ns: int) -> None:
        """A plan was spliced `delay_ns` after its observation."""
        if self._warm:
            self._delay_ns_N.append(delay_ns)
        self._warm = True

    def rows(self, step_ns: int) -> int | None:
        """Rows that are due before a plan arrives, its row 0 included; None until measured."""
        if not self._delay_ns_N:
            return None
        high_ns = np.percentile(self._delay_ns_N, self._percentile, method="higher")
        return -int(-high_ns // step_ns)

    def leftover(self, buffer: CommandBuffer, observed_ns: int, step_ns: int) -> Leftover | None:
        """What a plan from `observed_ns` on finds planned already; None where that is nothing."""
        rows, row_KD = self.rows(step_ns), buffer.rows_from(observed_ns, step_ns)
        if rows is None or len(row_KD) == 0:
            return None
        return Leftover(row_KD, min(rows, len(row_KD)))


class PlanMirror:
    """The buffer of the control process, followed from afar through what it publishes.

    A chunk that it accepted is published before the first command that follows it; spliced at that
    command's stamp, the copy holds the same plan to the last bit, seams included.
    """

    def __init__(self, buffer: CommandBuffer) -> None:
        self._buffer = buffer
        self._delay = DelayEstimate()
        self._accepted: list[ActionChunk | None] = []  # None: the arm was handed over

    def accepted(self, chunk: ActionChunk) -> None:
        """A chunk of whoever had the arm."""
        self._accepted.append(chunk)

    def handed_over(self) -> None:
        """From a policy to a person, or back."""
        self._accepted.append(None)

    def sent(self, due_ns: int) -> None:
        """A command of this stamp was published."""
        for chunk in self._accepted:
            if chunk is None:
                self._buffer.hand_over(due_ns)
                continue
            report = self._buffer.splice(chunk, max(due_ns, chunk.observed_ns))
            if report.accepted and chunk.source == POLICY:
                self._delay.add(report.delay_ns)
        self._accepted.clear()

    def leftover(self, observed_ns: int, step_ns: int) -> Leftover | None:
        return self._delay.leftover(self._buffer, observed_ns, step_ns)
