"""Down the ladder and up again: plan, tail, slow down, hold, latched stop."""

from itertools import pairwise

import numpy as np
import pytest
from control_toys import (
    HOME,
    PERIOD_NS,
    STEP_NS,
    chunk,
    gate_limits,
    moved,
    same,
    smooth_plan,
    smooth_row,
    state,
)
from pydantic import ValidationError

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.control.loop import ControlLoop, LoopLimits, Rung, Tick
from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.gate.vector_gate import VectorGate
from robot_io.rows import ToolRows, VectorRows, rotvec_between
from robot_io.types import ArmState, Command, MonoNs, Provenance, VerdictKind

MS = NS_PER_MS
LIMITS = LoopLimits(stop_after_s=1.0, max_state_age_s=0.05)
GATE = gate_limits()


class Bench:
    """A loop with its buffer and an arm that follows, on a clock of its own."""

    def __init__(self) -> None:
        self.buffer = CommandBuffer(ToolRows(), max_age_ns=2 * NS_PER_S, seam_ns=STEP_NS)
        self.loop = ControlLoop(self.buffer, CommandGate(GATE), ToolRows(), LIMITS)
        self.now_ns = 0
        self.measured = HOME
        self.state_ns: int | None = None  # where the arm's stamp froze
        self.ticks: list[Tick] = []

    def splice(self, rows_HD: np.ndarray, *, observed_ns: int | None = None) -> None:
        observed_ns = self.now_ns if observed_ns is None else observed_ns
        assert self.buffer.splice(chunk(rows_HD, observed_ns=observed_ns), self.now_ns).accepted

    def run(self, seconds: float) -> Tick:
        for _ in range(round(seconds * NS_PER_S / PERIOD_NS)):
            stamp_ns = self.now_ns if self.state_ns is None else self.state_ns
            tick = self.loop.tick(self.now_ns, state(stamp_ns, self.measured))
            self.ticks.append(tick)
            if np.isfinite(self.measured).all():
                self.measured = tick.verdict.row_D
            self.now_ns += PERIOD_NS
        return self.ticks[-1]

    @property
    def sent(self) -> np.ndarray:
        return np.array([tick.verdict.row_D for tick in self.ticks])

    def rungs(self) -> list[Rung]:
        """The rungs in the order in which they were reached."""
        rungs = [tick.rung for tick in self.ticks]
        return [rung for k, rung in enumerate(rungs) if k == 0 or rung is not rungs[k - 1]]


def assert_smooth(sent_ND: np.ndarray) -> None:
    """Speed and acceleration of the whole stream stay within the gate's limits."""
    step_N3 = np.diff(sent_ND[:, :3], axis=0)
    turn_N3 = np.array([rotvec_between(a[3:7], b[3:7]) for a, b in pairwise(sent_ND)])
    dt_s, slack = GATE.period_s, 1 + 1e-5
    for step, speed, accel in [
        (step_N3, GATE.max_speed_m_per_s, GATE.max_accel_m_per_s2),
        (turn_N3, GATE.max_turn_rad_per_s, GATE.max_turn_accel_rad_per_s2),
    ]:
        assert np.linalg.norm(step, axis=1).max() <= speed * dt_s * slack
        assert np.linalg.norm(np.diff(step, axis=0), axis=1).max() <= accel * dt_s**2 * slack + 1e-9


def test_a_policy_that_never_planned_means_holding_and_no_stop():
    bench = Bench()
    tick = bench.run(5.0)
    assert bench.rungs() == [Rung.HOLD] and tick.verdict.reasons == (Reason.NO_PLAN,)
    assert np.array_equal(tick.verdict.row_D, HOME)


def test_a_plan_is_followed_and_says_where_it_came_from():
    bench = Bench()
    bench.splice(smooth_plan(16))
    tick = bench.run(0.5)
    assert tick.rung is Rung.PLAN and tick.verdict.kind is VerdictKind.ACCEPTED
    origin = tick.command.provenance
    assert (origin.source, origin.chunk_id, origin.row, origin.observed_ns) == ("policy", 0, 5, 0)


def test_when_no_new_plan_comes_the_tail_runs_then_it_slows_down_holds_and_stops():
    bench = Bench()
    bench.splice(smooth_plan(16))
    bench.run(4.0)
    assert bench.rungs() == [Rung.PLAN, Rung.SLOW_DOWN, Rung.HOLD, Rung.STOPPED]
    assert bench.ticks[150].rung is Rung.PLAN, "the tail to its last row"
    assert bench.ticks[-1].verdict.reasons == (Reason.NO_PLAN,)
    assert_smooth(bench.sent)


def test_the_slow_down_goes_on_along_the_path_and_ends_at_rest():
    bench = Bench()
    bench.splice(smooth_plan(12))
    bench.run(2.0)
    moving = [k for k, tick in enumerate(bench.ticks) if tick.rung is Rung.SLOW_DOWN]
    assert 3 <= len(moving) <= 60
    before_D, last_D, end_D = bench.sent[moving[0] - 2], bench.sent[moving[0] - 1], bench.sent[-1]
    direction_3 = (last_D - before_D)[:3] / np.linalg.norm((last_D - before_D)[:3])
    on_3 = (end_D - last_D)[:3]
    assert on_3 @ direction_3 > 0
    assert np.linalg.norm(on_3 - direction_3 * (on_3 @ direction_3)) < 1e-4
    assert same(bench.sent[moving[-1] + 3], end_D)
    assert all(tick.verdict.kind is VerdictKind.ACCEPTED for tick in bench.ticks[: moving[-1]])


@pytest.mark.parametrize("gap_s", [0.05, 0.15, 0.6])
def test_a_new_plan_during_slow_down_or_hold_is_taken_up_smoothly(gap_s):
    bench = Bench()
    bench.splice(smooth_plan(12))
    bench.run(1.1 + gap_s)
    bench.splice(smooth_plan(16, begin_s=1.1 + gap_s))
    tick = bench.run(1.0)
    assert tick.rung is Rung.PLAN
    assert same(tick.verdict.row_D, tick.command.row_D), "caught up"
    assert_smooth(bench.sent)


def test_each_gap_is_slowed_down_from_where_it_begins():
    bench = Bench()
    for _ in range(2):
        bench.splice(smooth_plan(12, begin_s=bench.now_ns / NS_PER_S))
        bench.run(1.5)
    assert bench.rungs() == [Rung.PLAN, Rung.SLOW_DOWN, Rung.HOLD] * 2
    assert_smooth(bench.sent)


def test_splices_leave_no_jerk_for_the_gate_to_clip():
    bench = Bench()
    for _ in range(20):
        bench.splice(smooth_plan(16, begin_s=bench.now_ns / NS_PER_S))
        bench.run(0.13)
    assert {tick.verdict.kind for tick in bench.ticks} == {VerdictKind.ACCEPTED}


def test_a_released_stop_needs_a_plan_made_after_the_release():
    bench = Bench()
    bench.splice(smooth_plan(16))
    bench.run(0.5)
    bench.loop.stop()
    tick = bench.run(0.5)
    assert tick.rung is Rung.STOPPED and tick.verdict.reasons == (Reason.OPERATOR,)
    bench.loop.release(bench.now_ns, state(bench.now_ns, bench.measured))
    assert bench.run(0.3).rung is Rung.HOLD, "the old plan still has rows"
    bench.splice(smooth_plan(16, begin_s=0.5), observed_ns=bench.now_ns - 200 * MS)
    assert bench.run(0.1).rung is Rung.PLAN


def test_a_chunk_observed_before_the_release_is_never_executed():
    bench = Bench()
    bench.run(0.1)
    bench.loop.stop()
    bench.run(0.5)
    bench.loop.release(bench.now_ns, state(bench.now_ns))
    bench.splice(moved(by_m=(0.1, 0, 0)) * np.ones((16, 1)), observed_ns=bench.now_ns - 10 * MS)
    assert bench.run(0.5).rung is Rung.HOLD
    assert np.array_equal(bench.sent[-1], HOME)


def test_an_arm_that_repeats_its_last_pose_is_held_and_then_stopped():
    """ur_rtde, trossen: the frozen interface returns the old pose and no error."""
    bench = Bench()
    bench.splice(smooth_plan(30))
    bench.run(0.5)
    bench.state_ns = bench.now_ns - PERIOD_NS
    bench.run(0.1)
    assert bench.ticks[-1].rung is Rung.HOLD
    assert bench.ticks[-1].verdict.reasons[0] == Reason.STATE_STALE
    bench.run(1.5)
    assert bench.ticks[-1].rung is Rung.STOPPED
    assert bench.ticks[-1].verdict.reasons[0] == Reason.STATE_STALE
    assert_smooth(bench.sent)
    bench.state_ns = None
    assert bench.run(0.1).rung is Rung.STOPPED, "recovery is a human act"


def test_a_frozen_arm_stops_also_before_the_first_plan():
    bench = Bench()
    bench.run(0.1)
    bench.state_ns = bench.now_ns
    assert bench.run(2.0).rung is Rung.STOPPED


def test_an_arm_that_measures_garbage_is_held_and_then_stopped():
    bench = Bench()
    bench.splice(smooth_plan(30))
    bench.run(0.5)
    bench.measured = np.full(8, np.nan)
    assert bench.run(0.2).verdict.reasons == (Reason.STATE_UNUSABLE,)
    assert bench.run(1.5).rung is Rung.STOPPED
    assert np.isfinite(bench.sent).all()


def test_an_arm_that_measures_garbage_stops_also_before_the_first_plan():
    bench = Bench()
    bench.run(0.1)
    bench.measured = np.full(8, np.nan)
    assert bench.run(2.0).rung is Rung.STOPPED


def test_an_arm_that_cannot_be_measured_is_not_armed():
    bench = Bench()
    bench.measured = np.full(8, np.nan)
    with pytest.raises(FeelforwardError, match="not armed"):
        bench.run(0.01)


class Direct:
    """A live source: an expert or a teleoperator."""

    def __init__(self) -> None:
        self.frozen_ns: int | None = None

    def sample(self, now_ns: int) -> Command:
        due_ns = now_ns if self.frozen_ns is None else self.frozen_ns
        return Command(0, MonoNs(due_ns), smooth_row(due_ns / NS_PER_S), Provenance("teleop"))


def test_a_direct_source_goes_through_the_same_loop_and_expires_when_it_freezes():
    bench, source = Bench(), Direct()
    bench.loop = ControlLoop(source, CommandGate(GATE), ToolRows(), LIMITS)
    assert bench.run(0.5).verdict.kind is VerdictKind.ACCEPTED
    source.frozen_ns = bench.now_ns
    tick = bench.run(0.2)
    assert (tick.rung, tick.verdict.reasons) == (Rung.HOLD, (Reason.EXPIRED,))
    assert bench.run(1.5).rung is Rung.STOPPED
    assert_smooth(bench.sent)


def test_a_late_tick_is_one_tick_and_no_leap():
    bench = Bench()
    bench.splice(smooth_plan(16))
    bench.run(0.5)
    bench.now_ns += 200 * MS
    before_D = bench.sent[-1]
    bench.run(0.01)
    step_m, _ = ToolRows().distance(before_D, bench.sent[-1])
    assert step_m <= 2 * GATE.period_s * GATE.max_speed_m_per_s


def test_vectors_are_held_at_once_for_they_have_no_inertia():
    rows = VectorRows(2)
    buffer = CommandBuffer(rows, max_age_ns=2 * NS_PER_S, seam_ns=0, replan_after_rows=8)
    loop = ControlLoop(buffer, VectorGate(np.zeros(2), np.full(2, 512.0)), rows, LIMITS)
    plan_HD = np.arange(8.0).reshape(4, 2)
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    ticks = []
    for h in range(6):
        here = ArmState(MonoNs(h * STEP_NS), np.zeros(2), np.empty(0))
        ticks.append(loop.tick(h * STEP_NS, here))
    assert all(np.array_equal(ticks[h].verdict.row_D, plan_HD[h]) for h in range(4))
    assert [tick.rung for tick in ticks[4:]] == [Rung.HOLD, Rung.HOLD]
    assert np.array_equal(ticks[5].verdict.row_D, plan_HD[3])


@pytest.mark.parametrize("value", [float("nan"), 0.0, -1.0, float("inf")])
def test_a_wait_that_is_no_time_is_refused(value):
    with pytest.raises(ValidationError, match="stop_after_s"):
        LoopLimits(stop_after_s=value, max_state_age_s=0.1)
    with pytest.raises(ValidationError, match="max_state_age_s"):
        LoopLimits(stop_after_s=1.0, max_state_age_s=value)
