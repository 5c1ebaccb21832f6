"""How long plans take, and what is left of the old plan where a new one begins."""

import numpy as np
import pytest
from control_toys import STEP_NS, chunk, same, smooth_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.clock import NS_PER_MS
from robot_io.control.buffer import CommandBuffer
from robot_io.control.delay import DelayEstimate, PlanMirror
from robot_io.rows import ToolRows

MS = NS_PER_MS


def buffer() -> CommandBuffer:
    return CommandBuffer(ToolRows(), max_age_ns=2000 * MS, seam_ns=100 * MS)


def estimate(*delays_ms: int, **options: float) -> DelayEstimate:
    delay = DelayEstimate(**options)
    for each_ms in delays_ms:
        delay.add(each_ms * MS)
    return delay


@pytest.mark.parametrize(("delay_ms", "rows"), [(0, 0), (1, 1), (100, 1), (101, 2), (350, 4)])
def test_rows_due_before_the_arrival_count(delay_ms: int, rows: int) -> None:
    assert estimate(0, delay_ms).rows(STEP_NS) == rows


def test_the_first_plan_is_a_warm_up_and_never_counts() -> None:
    """lerobot #4223: the warm-up latency was trusted."""
    assert estimate(3000).rows(STEP_NS) is None
    assert estimate(3000, 50).rows(STEP_NS) == 1


def test_a_spike_is_not_kept_for_ever() -> None:
    delay = estimate(0, 900, *[50] * 4, window=5)
    assert delay.rows(STEP_NS) == 9
    delay.add(50 * MS)
    assert delay.rows(STEP_NS) == 1


def test_rare_slow_plans_count_as_far_as_the_percentile_says() -> None:
    assert estimate(0, *[50] * 19, 250, percentile=90).rows(STEP_NS) == 1
    assert estimate(0, *[50] * 17, *[250] * 3, percentile=90).rows(STEP_NS) == 3


def test_what_is_left_are_the_rows_that_will_be_executed() -> None:
    plan, delay = buffer(), estimate(0, 150)
    plan_HD = smooth_plan(16)
    plan.splice(chunk(plan_HD, observed_ns=0), 0)
    leftover = delay.leftover(plan, 4 * STEP_NS, STEP_NS)
    assert leftover is not None
    assert leftover.delay_rows == 2
    assert len(leftover.row_KD) == 12
    assert all(same(a, b) for a, b in zip(leftover.row_KD, plan_HD[4:], strict=True))


def test_nothing_is_left_without_a_plan_after_its_end_or_before_a_delay_is_known() -> None:
    plan = buffer()
    assert estimate(0, 50).leftover(plan, 0, STEP_NS) is None
    plan.splice(chunk(smooth_plan(4), observed_ns=0), 0)
    assert estimate(0, 50).leftover(plan, 301 * MS, STEP_NS) is None
    assert estimate().leftover(plan, 0, STEP_NS) is None


def test_the_last_rows_of_a_plan_are_never_padded() -> None:
    """lerobot #4454: leftovers padded with zeros are the mean pose of the data."""
    plan = buffer()
    plan.splice(chunk(smooth_plan(4), observed_ns=0), 0)
    leftover = estimate(0, 900).leftover(plan, 2 * STEP_NS, STEP_NS)
    assert leftover is not None
    assert len(leftover.row_KD) == leftover.delay_rows == 2


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=1, max_size=8))
def test_the_mirror_holds_the_plan_of_the_control_process_to_the_last_bit(
    gaps_and_delays: list[tuple[int, int]],
) -> None:
    """Chunks come at any time, several to a tick, some refused; ticks every 10 ms."""
    control, copy = buffer(), buffer()
    mirror = PlanMirror(copy)
    pending, observed_ns = [], 0
    for i, (gap, delay) in enumerate(gaps_and_delays):
        observed_ns += gap * 10 * MS
        plan_HD = smooth_plan(16, begin_s=0.3 * i)
        pending.append((observed_ns + delay * 10 * MS, chunk(plan_HD, observed_ns=observed_ns)))
    for due_ns in range(0, observed_ns + 400 * MS, 10 * MS):
        for _, each in [p for p in pending if p[0] == due_ns]:
            if control.splice(each, max(due_ns, each.observed_ns)).accepted:
                mirror.accepted(each)
        mirror.sent(due_ns)
        if due_ns % (50 * MS) == 0:
            a_KD, b_KD = control.rows_from(due_ns, STEP_NS), copy.rows_from(due_ns, STEP_NS)
            np.testing.assert_array_equal(a_KD, b_KD)
