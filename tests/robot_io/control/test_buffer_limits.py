"""What `bench mutants` found that no test of the buffer held: its limits, and its ends."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from control_toys import STEP_NS, chunk, moved, same, smooth_plan

from robot_io.clock import NS_PER_MS
from robot_io.control.buffer import HAND_OVER_NS, CommandBuffer, SpliceRefusal
from robot_io.rows import ToolRows

MS = NS_PER_MS
TOOL = ToolRows()


def buffer_of(*, max_age_ms: int = 2000, seam_ms: int = 100, **options: Any) -> CommandBuffer:
    return CommandBuffer(TOOL, max_age_ns=max_age_ms * MS, seam_ns=seam_ms * MS, **options)


def row_at(buffer: CommandBuffer, now_ns: int) -> np.ndarray:
    command = buffer.sample(now_ns)
    assert command is not None
    return command.row_D


@pytest.mark.parametrize(
    "options",
    [
        {"max_age_ms": 0},
        {"max_age_ms": -1},
        {"seam_ms": -1},
        {"replan_after_rows": 0},
        {"replan_after_rows": -2},
    ],
)
def test_limits_that_are_none_are_refused(options: dict[str, int]):
    with pytest.raises(ValueError, match="allowed"):
        buffer_of(**options)


def test_no_seam_is_allowed():
    assert buffer_of(seam_ms=0).sample(0) is None


def test_a_plan_is_wanted_after_so_many_rows_and_after_the_end():
    buffer = buffer_of(replan_after_rows=4)
    buffer.splice(chunk(smooth_plan(8), observed_ns=0), 0)
    assert not buffer.wants_plan(399 * MS)
    assert buffer.wants_plan(400 * MS)
    short = buffer_of(replan_after_rows=4)
    short.splice(chunk(smooth_plan(2), observed_ns=0), 0)
    assert not short.wants_plan(100 * MS)
    assert short.wants_plan(101 * MS), "nothing is left of two rows"


def test_what_is_going_to_happen_are_the_rows_until_the_end():
    buffer, plan_HD = buffer_of(), smooth_plan(8)
    assert buffer.rows_from(0, STEP_NS).shape == (0, 8)
    buffer.splice(chunk(plan_HD, observed_ns=0), 0)
    rows_KD = buffer.rows_from(2 * STEP_NS, STEP_NS)
    assert len(rows_KD) == 6
    assert all(same(row, planned) for row, planned in zip(rows_KD, plan_HD[2:], strict=True))
    assert buffer.rows_from(8 * STEP_NS, STEP_NS).shape == (0, 8)


def test_after_a_hand_over_the_old_plan_goes_on_for_a_moment_only():
    buffer = buffer_of()
    buffer.splice(chunk(smooth_plan(16), observed_ns=0), 0)
    buffer.hand_over(300 * MS)
    assert buffer.sample(300 * MS + HAND_OVER_NS) is not None
    assert buffer.sample(301 * MS + HAND_OVER_NS) is None


def test_a_hand_over_does_not_make_a_plan_longer():
    buffer = buffer_of()
    buffer.splice(chunk(smooth_plan(4), observed_ns=0), 0)
    buffer.hand_over(290 * MS)
    assert buffer.sample(300 * MS) is not None
    assert buffer.sample(301 * MS) is None


def test_a_chunk_that_is_a_little_too_old_is_refused():
    buffer = buffer_of(max_age_ms=200)
    report = buffer.splice(chunk(smooth_plan(16), observed_ns=0), 201 * MS)
    assert (report.refusal, report.delay_ns) == (SpliceRefusal.EXPIRED, 201 * MS)
    assert "limit 200.0" in report.detail
    assert buffer.splice(chunk(smooth_plan(16), observed_ns=0), 200 * MS).accepted


def test_a_plan_that_is_over_leaves_no_seam():
    buffer, plan_HD = buffer_of(), smooth_plan(8, begin_s=1.0)
    buffer.splice(chunk(smooth_plan(4), observed_ns=0), 0)
    far_HD = np.stack([moved(row, by_m=(0.05, 0.0, 0.0)) for row in plan_HD])
    buffer.splice(chunk(far_HD, observed_ns=1000 * MS), 1000 * MS)
    assert same(row_at(buffer, 1000 * MS), far_HD[0])


def test_a_seam_is_over_when_its_time_is():
    buffer, plan_HD = buffer_of(seam_ms=50), smooth_plan(8, begin_s=0.1)
    buffer.splice(chunk(smooth_plan(8), observed_ns=0), 0)
    far_HD = np.stack([moved(row, by_m=(0.05, 0.0, 0.0)) for row in plan_HD])
    buffer.splice(chunk(far_HD, observed_ns=100 * MS), 100 * MS)
    assert same(row_at(buffer, 200 * MS), far_HD[1])
    last_m, _ = TOOL.distance(row_at(buffer, 150 * MS - 1), row_at(buffer, 150 * MS))
    assert last_m < 1e-6, "and it ends where the new plan is"


def test_a_stamp_that_is_no_number_is_refused_and_does_not_raise():
    soon: Any = "soon"
    report = buffer_of().splice(replace(chunk(smooth_plan(8), observed_ns=0), observed_ns=soon), 0)
    assert (report.refusal, report.delay_ns) == (SpliceRefusal.MALFORMED, 0)
