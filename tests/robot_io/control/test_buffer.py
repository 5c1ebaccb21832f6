"""What the buffer does with chunks that come in time, late, short, twice or broken.

rows due   0    100   200   300 ms ...      observed at the first of them
"""

import time

import numpy as np
import pytest
from control_toys import HOME, STEP_NS, chunk, moved, same, smooth_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import CommandBuffer, SpliceRefusal
from robot_io.rows import ToolRows, VectorRows, rotvec_between
from robot_io.types import ActionChunk, MonoNs

MS = NS_PER_MS
TOOL = ToolRows()


def tool_buffer(max_age_ms: int = 2000, seam_ms: int = 100) -> CommandBuffer:
    return CommandBuffer(TOOL, max_age_ns=max_age_ms * MS, seam_ns=seam_ms * MS)


def row_at(buffer: CommandBuffer, now_ns: int) -> np.ndarray:
    command = buffer.sample(now_ns)
    assert command is not None
    return command.row_D


def test_a_buffer_without_a_plan_gives_no_command():
    assert tool_buffer().sample(0) is None


def test_rows_are_executed_when_they_are_due():
    buffer, plan_HD = tool_buffer(), smooth_plan(8)
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    for h in range(8):
        assert same(row_at(buffer, h * STEP_NS), plan_HD[h])


def test_rows_already_due_are_dropped_by_their_own_stamps():
    buffer = tool_buffer()
    report = buffer.splice(chunk(smooth_plan(16), observed_ns=0), 250 * MS)
    assert (report.dropped, report.kept, report.delay_ns) == (3, 13, 250 * MS)
    command = buffer.sample(250 * MS)
    assert command is not None and command.provenance.row == 3


def test_a_slow_first_inference_does_not_make_later_chunks_skip_rows():
    """lerobot #4223: the warm-up latency was trusted and 21 of 30 rows were skipped."""
    buffer = tool_buffer(max_age_ms=4000)
    buffer.splice(chunk(smooth_plan(30), observed_ns=0), 2100 * MS)
    report = buffer.splice(chunk(smooth_plan(30), observed_ns=2100 * MS), 2150 * MS)
    assert (report.dropped, report.kept) == (1, 29)
    command = buffer.sample(2150 * MS)
    assert command is not None and command.provenance.row == 1


def test_the_stream_ends_with_the_last_row_and_is_never_padded():
    """lerobot #4454: leftovers padded with zeros are the mean pose of the data."""
    buffer, plan_HD = tool_buffer(), smooth_plan(4)
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    assert same(row_at(buffer, 300 * MS), plan_HD[-1])
    assert buffer.sample(300 * MS + 1) is None


def test_the_last_row_of_a_stale_chunk_is_not_sent():
    """UMI, Diffusion Policy: over time budget, the last row is sent all the same."""
    buffer = tool_buffer()
    report = buffer.splice(chunk(smooth_plan(4), observed_ns=0), 301 * MS)
    assert report.refusal is SpliceRefusal.ALL_ROWS_PAST
    assert buffer.sample(301 * MS) is None


def test_a_late_chunk_lets_the_old_tail_run():
    buffer, plan_HD = tool_buffer(), smooth_plan(16)
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    assert same(row_at(buffer, 1500 * MS), plan_HD[-1])


def test_a_plan_expires_with_its_observation():
    buffer = tool_buffer(max_age_ms=700)
    buffer.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    assert buffer.sample(700 * MS) is not None
    assert buffer.sample(700 * MS + 1) is None
    late = buffer.splice(chunk(smooth_plan(30), observed_ns=1000 * MS), 1701 * MS)
    assert late.refusal is SpliceRefusal.EXPIRED


def test_a_short_new_chunk_replaces_the_tail_and_ends_where_it_ends():
    """Diffusion Policy: one new waypoint wipes the tail, and nothing notices."""
    buffer = tool_buffer()
    buffer.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    report = buffer.splice(chunk(smooth_plan(4, begin_s=0.5), observed_ns=500 * MS), 550 * MS)
    assert report.kept == 3
    assert buffer.sample(800 * MS) is not None
    assert buffer.sample(801 * MS) is None, "the ladder starts: no row of the old plan comes back"


def test_rows_before_a_chunk_that_starts_later_go_on_as_planned():
    buffer, plan_HD = tool_buffer(), smooth_plan(16)
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    buffer.splice(chunk(smooth_plan(1), observed_ns=100 * MS, start_ns=900 * MS), 150 * MS)
    assert same(row_at(buffer, 800 * MS), plan_HD[8])
    assert buffer.sample(901 * MS) is None


def test_a_tick_stamped_just_before_a_splice_still_has_its_plan():
    buffer = tool_buffer()
    buffer.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    buffer.splice(chunk(smooth_plan(16, begin_s=0.5), observed_ns=500 * MS), 563 * MS)
    assert row_at(buffer, 560 * MS) is not None


@pytest.mark.parametrize(
    ("observed_ms", "refusal"),
    [
        (400, SpliceRefusal.NOT_NEWER),
        (500, SpliceRefusal.NOT_NEWER),
        (601, SpliceRefusal.FROM_THE_FUTURE),
    ],
)
def test_old_repeated_and_impossible_chunks_change_nothing(observed_ms, refusal):
    buffer = tool_buffer()
    buffer.splice(chunk(smooth_plan(16), observed_ns=500 * MS), 550 * MS)
    expected_D = row_at(buffer, 700 * MS)
    report = buffer.splice(chunk(-smooth_plan(16), observed_ns=observed_ms * MS), 600 * MS)
    assert report.refusal is refusal and report.kept == 0 and report.detail
    assert np.array_equal(row_at(buffer, 700 * MS), expected_D)


def _with(row: int, column: int, value: float) -> np.ndarray:
    rows_HD = smooth_plan(8)
    rows_HD[row, column] = value
    return rows_HD


@pytest.mark.parametrize(
    "rows_HD",
    [
        _with(7, 0, np.nan),
        _with(0, 7, np.inf),
        _with(3, 4, 5.0),
        np.zeros((8, 8)),
        np.zeros((0, 8)),
        np.zeros((8, 7)),
        HOME,
        np.zeros((2, 2, 8)),
        None,
    ],
)
def test_garbage_is_refused_with_a_reason_and_the_plan_goes_on(rows_HD):
    buffer = tool_buffer()
    buffer.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    report = buffer.splice(chunk(rows_HD, observed_ns=100 * MS), 150 * MS)
    assert report.refusal is SpliceRefusal.MALFORMED and report.detail
    assert row_at(buffer, 1500 * MS) is not None


@pytest.mark.parametrize("step_ns", [0, -STEP_NS, 0.1, float("nan")])
def test_a_chunk_with_an_impossible_step_is_refused(step_ns):
    odd = ActionChunk(0, MonoNs(0), MonoNs(0), step_ns, smooth_plan(8))
    assert tool_buffer().splice(odd, 0).refusal is SpliceRefusal.MALFORMED


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    delays_ms=st.lists(st.integers(1, 700), min_size=2, max_size=6),
)
def test_the_stream_is_continuous_in_position_and_velocity_across_splices(seed, delays_ms):
    rng, buffer, splices_ns, observed_ns = np.random.default_rng(seed), tool_buffer(), [], 0
    for delay_ms in delays_ms:
        rows_HD = np.stack(
            [moved(by_m=rng.normal(0, 0.1, 3), yaw_rad=rng.normal()) for _ in "x" * 16]
        )
        now_ns = observed_ns + delay_ms * MS + 1
        buffer_before = buffer.sample(now_ns), buffer.sample(now_ns - 1000)
        report = buffer.splice(chunk(rows_HD, observed_ns=observed_ns), now_ns)
        assert report.accepted
        if None not in buffer_before:
            splices_ns.append(now_ns)
            at_D, earlier_D = (command.row_D for command in buffer_before)
            after_D = row_at(buffer, now_ns + 1000)
            assert same(row_at(buffer, now_ns), at_D)
            before_6, after_6 = _rate(earlier_D, at_D), _rate(at_D, after_D)
            assert np.allclose(before_6, after_6, atol=2e-2)
        observed_ns = now_ns
    assert splices_ns


def _rate(a_D: np.ndarray, b_D: np.ndarray) -> np.ndarray:
    return np.concatenate([b_D[:3] - a_D[:3], rotvec_between(a_D[3:7], b_D[3:7])]) / 1e-6


def test_after_the_seam_the_new_plan_is_followed_exactly():
    buffer, new_HD = tool_buffer(), smooth_plan(16)
    buffer.splice(chunk(smooth_plan(16, begin_s=1.0), observed_ns=0), 0)
    buffer.splice(chunk(new_HD, observed_ns=400 * MS), 455 * MS)
    assert same(row_at(buffer, 600 * MS), new_HD[2])
    command = buffer.sample(600 * MS)
    assert command is not None and command.provenance.observed_ns == 400 * MS


def test_without_a_seam_the_new_row_counts_at_once():
    rows = VectorRows(2)
    buffer = CommandBuffer(rows, max_age_ns=2 * NS_PER_S, seam_ns=0, replan_after_rows=8)
    old_HD, new_HD = np.zeros((16, 2)), np.full((16, 2), 300.0)
    buffer.splice(chunk(old_HD, observed_ns=0), 0)
    buffer.splice(chunk(new_HD, observed_ns=800 * MS), 800 * MS)
    assert np.array_equal(row_at(buffer, 800 * MS), new_HD[0])


def test_a_plan_is_wanted_at_once_or_after_the_rows_asked_for():
    assert tool_buffer().wants_plan(0)
    at_once = tool_buffer()
    at_once.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    assert at_once.wants_plan(0)
    buffer = CommandBuffer(VectorRows(2), max_age_ns=2 * NS_PER_S, seam_ns=0, replan_after_rows=8)
    assert buffer.wants_plan(0)
    buffer.splice(chunk(np.zeros((16, 2)), observed_ns=0), 0)
    assert not buffer.wants_plan(700 * MS) and buffer.wants_plan(800 * MS)


def test_what_is_still_planned_can_be_looked_at():
    buffer, plan_HD = tool_buffer(max_age_ms=1000), smooth_plan(16)
    assert len(buffer.planned(0)[0]) == 0
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    due_ns_N, row_ND = buffer.planned(250 * MS)
    assert due_ns_N.tolist() == [h * STEP_NS for h in range(3, 11)]
    assert np.array_equal(row_ND, plan_HD[3:11])
    buffer.clear()
    assert buffer.sample(250 * MS) is None


def test_a_long_session_does_not_keep_old_plans():
    buffer = tool_buffer()
    for k in range(100):
        buffer.splice(chunk(smooth_plan(16), observed_ns=k * STEP_NS), k * STEP_NS + 50 * MS)
    depth, plan = 0, buffer._plan
    while plan is not None:
        depth, plan = depth + 1, plan.before
    assert depth <= 2


def test_sampling_takes_a_small_part_of_a_tick():
    buffer = tool_buffer()
    buffer.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    costs_s = []
    for k in range(1000):
        begin_s = time.thread_time()
        buffer.sample(k * MS)
        costs_s.append(time.thread_time() - begin_s)
    assert np.median(costs_s) < 100e-6
