"""What is still to be executed: chunks of a policy, laid over each other in time.

        observed                    spliced
    old    0──1──2──3──4──5──6──7──────┊─8╌╌9╌╌10        (╌ wiped)
    new                 0╌╌1╌╌2╌╌3╌╌4╌╌┊╲5──6──7──8──9──10──11      then nothing: the ladder
                        (╌ already due)┊seam

Rows are dropped by their own stamps, never by an estimate of the delay. Nothing is padded, and
nothing is sent after a plan's last row or after its observation has grown too old.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from robot_io.clock import NS_PER_MS
from robot_io.rows import Curve, RowSpace
from robot_io.types import ActionChunk, Command, MonoNs, Provenance

HAND_OVER_NS = 200 * NS_PER_MS


class SpliceRefusal(StrEnum):
    """Why a chunk was not taken. The plan stays as it was."""

    MALFORMED = "malformed"  # shape, not finite, quaternion, step, stamps
    FROM_THE_FUTURE = "from_the_future"  # observed later than now: a clock is wrong
    NOT_NEWER = "not_newer"  # its observation is not newer than the current plan's
    EXPIRED = "expired"  # its observation is too old before a row could be executed
    ALL_ROWS_PAST = "all_rows_past"


@dataclass(frozen=True, slots=True)
class SpliceReport:
    """What became of a chunk."""

    refusal: SpliceRefusal | None
    detail: str  # for people; empty when accepted
    dropped: int  # rows already due
    kept: int
    delay_ns: int  # from observation to splice

    @property
    def accepted(self) -> bool:
        return self.refusal is None


@dataclass(slots=True)
class _Plan:
    """One accepted chunk and the time it governs."""

    chunk: ActionChunk
    curve: Curve
    first_row: int  # rows before it were due on arrival
    begin_ns: int  # before it, the plan `before` governs
    end_ns: int  # last row or expiry, whichever comes first
    seam: Curve | None  # leads from the old plan at `begin_ns` into this one
    before: "_Plan | None"

    def at(self, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
        if self.seam is not None and now_ns < self.begin_ns + self.seam.step_ns:
            return self.seam.at(now_ns - self.begin_ns)
        return self.curve.at(now_ns - self.chunk.start_ns)


class CommandBuffer:
    """A time-indexed plan that new chunks overwrite from their first row that is not yet due.

    After a splice the stream goes on from the old plan's value and velocity and joins the new
    plan within `seam_ns`: continuous in position and velocity however the chunks differ.
    `seam_ns = 0` switches at once, for rows that are commands and not points of a path.

    A row may be executed until its chunk's observation is `max_age_ns` old. A new plan is wanted
    at once, or after `replan_after_rows` rows.
    """

    def __init__(
        self,
        rows: RowSpace,
        *,
        max_age_ns: int,
        seam_ns: int,
        replan_after_rows: int | None = None,
    ) -> None:
        if not max_age_ns > 0 or not seam_ns >= 0:
            raise ValueError(
                f"max_age_ns = {max_age_ns}, seam_ns = {seam_ns}; allowed > 0 and >= 0 ns."
            )
        if replan_after_rows is not None and not replan_after_rows > 0:
            raise ValueError(f"replan_after_rows = {replan_after_rows}; allowed None or > 0.")
        self._rows = rows
        self._max_age_ns = max_age_ns
        self._seam_ns = seam_ns
        self._replan_after_rows = replan_after_rows
        self._plan: _Plan | None = None
        self._newest_observed_ns: int | None = None

    def splice(self, chunk: ActionChunk, now_ns: int) -> SpliceReport:
        """Takes what is not yet due of `chunk`, or refuses all of it and changes nothing."""
        problem = self._problem(chunk, now_ns)
        if problem is not None:
            return SpliceReport(*problem, dropped=0, kept=0, delay_ns=_delay_ns(chunk, now_ns))
        plan = self._new_plan(chunk, now_ns)
        self._plan = plan
        self._newest_observed_ns = chunk.observed_ns
        kept = len(chunk.row_HD) - plan.first_row
        return SpliceReport(None, "", plan.first_row, kept, now_ns - chunk.observed_ns)

    def sample(self, now_ns: int) -> Command | None:
        """The command for this instant; None when no live plan covers it."""
        plan = self._governing(now_ns)
        if plan is None or now_ns > plan.end_ns:
            return None
        chunk = plan.chunk
        row = min(-(-(now_ns - chunk.start_ns) // chunk.step_ns), len(chunk.row_HD) - 1)
        return Command(
            sequence=0,  # the control loop numbers what it sends
            due_ns=MonoNs(now_ns),
            row_D=plan.at(now_ns)[0],
            provenance=Provenance(
                chunk.source,
                chunk.chunk_id,
                row,
                chunk.observed_ns,
                estimated_delay_rows=chunk.estimated_delay_rows,
                actual_delay_rows=plan.first_row,
            ),
        )

    def wants_plan(self, now_ns: int) -> bool:
        """Whether the policy should start to plan now."""
        plan = self._plan
        if self._replan_after_rows is None or plan is None or now_ns > plan.end_ns:
            return True
        step_ns = plan.chunk.step_ns
        first_due_ns = plan.chunk.start_ns + plan.first_row * step_ns
        return now_ns >= first_due_ns + self._replan_after_rows * step_ns

    def planned(self, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (N,) int64 and rows (N, D) of the newest plan that are still to be executed."""
        if self._plan is None:
            return np.empty(0, np.int64), np.empty((0, self._rows.size))
        chunk = self._plan.chunk
        due_ns_H = chunk.start_ns + chunk.step_ns * np.arange(len(chunk.row_HD), dtype=np.int64)
        ahead_H = (due_ns_H >= now_ns) & (due_ns_H <= self._plan.end_ns)
        return due_ns_H[ahead_H], chunk.row_HD[ahead_H]

    def rows_from(self, start_ns: int, step_ns: int) -> np.ndarray:
        """Rows (K, D) that will be executed at `start_ns + k * step_ns` if no chunk comes.

        K = 0 where no live plan covers `start_ns`. Seams are in it: it is what is going to happen.
        """
        commands = []
        while (command := self.sample(start_ns + len(commands) * step_ns)) is not None:
            commands.append(command.row_D)
        return np.stack(commands) if commands else np.empty((0, self._rows.size))

    def hand_over(self, now_ns: int) -> None:
        """Somebody else plans from now on: what is planned goes on for `HAND_OVER_NS` at most.

        That is the time for the first chunk of the other one, which joins with a seam. It need not
        be newer than what the first one saw: a wrong stamp of a policy keeps nobody from the arm.
        """
        self._newest_observed_ns = None
        plan = self._plan
        while plan is not None:
            plan.end_ns = min(plan.end_ns, now_ns + HAND_OVER_NS)
            plan = plan.before

    def clear(self) -> None:
        """Forgets the plan. Older observations stay refused."""
        self._plan = None

    def _governing(self, now_ns: int) -> _Plan | None:
        plan = self._plan
        while plan is not None and now_ns < plan.begin_ns:
            plan = plan.before
        return plan

    def _problem(self, chunk: ActionChunk, now_ns: int) -> tuple[SpliceRefusal, str] | None:
        fault = self._malformed(chunk)
        if fault is not None:
            return SpliceRefusal.MALFORMED, fault
        age_ns = now_ns - chunk.observed_ns
        if age_ns < 0:
            return SpliceRefusal.FROM_THE_FUTURE, f"observed {-age_ns / NS_PER_MS:.1f} ms ahead"
        newest_ns = self._newest_observed_ns
        if newest_ns is not None and chunk.observed_ns <= newest_ns:
            behind_ms = (newest_ns - chunk.observed_ns) / NS_PER_MS
            return SpliceRefusal.NOT_NEWER, f"observed {behind_ms:.1f} ms before the current plan"
        if max(now_ns, chunk.start_ns) > chunk.observed_ns + self._max_age_ns:
            limit_ms = self._max_age_ns / NS_PER_MS
            return SpliceRefusal.EXPIRED, f"age {age_ns / NS_PER_MS:.1f} ms, limit {limit_ms:.1f}"
        last_due_ns = _last_due_ns(chunk)
        if last_due_ns < now_ns:
            late_ms = (now_ns - last_due_ns) / NS_PER_MS
            return SpliceRefusal.ALL_ROWS_PAST, f"last row due {late_ms:.1f} ms ago"
        return None

    def _malformed(self, chunk: ActionChunk) -> str | None:
        stamps = (chunk.observed_ns, chunk.start_ns, chunk.step_ns)
        if not all(isinstance(stamp, (int, np.integer)) for stamp in stamps):
            return f"observed_ns, start_ns, step_ns = {stamps}, allowed integers"
        if not chunk.step_ns > 0:
            return f"step_ns = {chunk.step_ns}, allowed > 0"
        fault = self._rows.fault(chunk.row_HD)
        if fault is None and (chunk.row_HD.ndim != 2 or len(chunk.row_HD) == 0):
            return f"shape {chunk.row_HD.shape}, allowed (H, {self._rows.size}) with H > 0"
        return fault

    def _new_plan(self, chunk: ActionChunk, now_ns: int) -> _Plan:
        begin_ns = max(now_ns, chunk.start_ns)
        old = self._governing(begin_ns)
        curve = self._rows.curve(chunk.row_HD, chunk.step_ns)
        return _Plan(
            chunk=chunk,
            curve=curve,
            first_row=-(-(begin_ns - chunk.start_ns) // chunk.step_ns),
            begin_ns=begin_ns,
            end_ns=min(_last_due_ns(chunk), chunk.observed_ns + self._max_age_ns),
            seam=self._seam(old, curve, begin_ns, chunk.start_ns),
            before=self._until(begin_ns, now_ns),
        )

    def _seam(self, old: _Plan | None, curve: Curve, begin_ns: int, start_ns: int) -> Curve | None:
        if old is None or begin_ns > old.end_ns or self._seam_ns == 0:
            return None
        from_row_D, from_velocity_V = old.at(begin_ns)
        to_row_D, to_velocity_V = curve.at(begin_ns + self._seam_ns - start_ns)
        return self._rows.curve(
            np.stack([from_row_D, to_row_D]),
            self._seam_ns,
            np.stack([from_velocity_V, to_velocity_V]),
        )

    def _until(self, begin_ns: int, now_ns: int) -> _Plan | None:
        """The plan that goes on governing until `begin_ns`; what is past is let go."""
        governing = self._governing(now_ns)
        if governing is not None:
            governing.before = None
        plan = self._plan
        while plan is not None and plan.begin_ns >= begin_ns:
            plan = plan.before
        return plan


def _last_due_ns(chunk: ActionChunk) -> int:
    return chunk.start_ns + (len(chunk.row_HD) - 1) * chunk.step_ns


def _delay_ns(chunk: ActionChunk, now_ns: int) -> int:
    return now_ns - chunk.observed_ns if isinstance(chunk.observed_ns, int) else 0
