"""What a plan would do to the whole arm is known before its first row is executed."""

import numpy as np
import pytest
from control_toys import HOME, gate_limits, moved
from fake_body import GEOMETRY, JOINTS, FakeArm, fake_body
from gate_toys import ACCEPTED, HOLD, Run

from robot_io.errors import FeelforwardError
from robot_io.gate.look_ahead import Foreseen, LookAhead
from robot_io.gate.reasons import Reason

LIMITS = gate_limits(joints=JOINTS, geometry=GEOMETRY)


def plan(*by_m: float, rows: int = 16) -> np.ndarray:
    """Rows (H, 8) straight on, the last one displaced by `by_m`."""
    return np.stack([moved(by_m=np.array(by_m) * h / (rows - 1)) for h in range(rows)])


@pytest.mark.parametrize(
    ("by_m", "row", "reason"),
    [
        ((0, 0, -0.18), 15, Reason.OBSTACLE_DISTANCE),
        ((0, 0, -0.34), 8, Reason.OBSTACLE_DISTANCE),
        ((-0.1, 0, 0), 13, Reason.SELF_DISTANCE),
        ((0, 0.285, 0), 14, Reason.SINGULARITY),
        ((0.15, 0, 0), 13, Reason.JOINT_LIMIT),
        ((0, -0.3, 0), 14, Reason.JOINT_LIMIT),
        ((0, 0, 0.3), 11, Reason.UNREACHABLE),
    ],
)
def test_the_first_row_that_breaks_something_is_named(by_m, row, reason):
    found = LookAhead(LIMITS, fake_body()).first_violation(plan(*by_m), HOME[:3])
    assert found is not None and (found.row, found.reason) == (row, reason) and found.detail


def test_a_plan_that_breaks_nothing_is_fine_whatever_its_length():
    arm = LookAhead(LIMITS, fake_body())
    assert arm.first_violation(plan(0.05, 0.1, 0.1), HOME[:3]) is None
    assert arm.first_violation(plan(0.0, 0.0, 0.0, rows=64), HOME[:3]) is None


def test_each_row_is_sought_from_the_one_before():
    near = []

    class Remembering(FakeArm):
        def joints_for(self, pose_8, near_J):
            near.append(near_J)
            return super().joints_for(pose_8, near_J)

    body, arm = fake_body(), Remembering()
    body = type(body)(arm, arm)
    rows_H8 = plan(0.05, 0, 0, rows=4)
    LookAhead(LIMITS, body).first_violation(rows_H8, np.full(3, 0.4))
    assert np.array_equal(near, [np.full(3, 0.4), *rows_H8[:3, :3]])


@pytest.mark.parametrize("limits", [gate_limits(), gate_limits(joints=JOINTS)])
def test_without_geometry_there_is_nothing_to_look_ahead_for(limits):
    with pytest.raises(FeelforwardError, match="unchecked"):
        LookAhead(limits, fake_body())


@pytest.mark.parametrize(("answer", "kind"), [("reject_chunk", HOLD), ("clip", ACCEPTED)])
def test_what_was_foreseen_drops_the_chunk_where_the_limits_say_so(answer, kind):
    on_violation = gate_limits().on_violation.model_dump() | {"geometry": answer}
    run = Run(on_violation=on_violation)
    run.check(HOME, chunk_id=7)
    run.gate.foresee(7, Foreseen(12, Reason.OBSTACLE_DISTANCE, "hand and table"))
    assert run.check(HOME, chunk_id=7).kind is kind
    assert run.check(HOME, chunk_id=8).kind is ACCEPTED
