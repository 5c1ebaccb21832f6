"""The gate for rows without inertia."""

import numpy as np
import pytest
from control_toys import command

from robot_io.errors import FeelforwardError
from robot_io.gate.reasons import Reason
from robot_io.gate.vector_gate import VectorGate
from robot_io.types import ArmState, MonoNs, VerdictKind

ACCEPTED, MODIFIED, HOLD, STOPPED = VerdictKind


def test_the_vector_gate_keeps_the_box_and_refuses_garbage():
    gate = VectorGate(np.zeros(2), np.full(2, 512.0))
    here = ArmState(MonoNs(0), np.array([100.0, 200.0]), np.empty(0))
    inside_D = np.array([0.0, 512.0])
    assert gate.check(command(1, 0, inside_D), here, 0).row_D is inside_D
    outside = gate.check(command(2, 0, np.array([-3.0, 600.0])), here, 0)
    assert outside.kind is MODIFIED and np.array_equal(outside.row_D, inside_D)
    assert outside.reasons == (Reason.WORKSPACE,)
    for row_D, reason in [
        (np.array([np.nan, 1.0]), Reason.NOT_FINITE),
        (np.zeros(3), Reason.SHAPE),
        (None, Reason.SHAPE),
    ]:
        verdict = gate.check(command(3, 0, row_D), here, 0)
        assert (verdict.kind, verdict.reasons) == (HOLD, (reason,))
        assert np.array_equal(verdict.row_D, inside_D)


def test_the_vector_gate_starts_where_it_is_measured_and_latches_its_stop():
    gate = VectorGate(np.zeros(2), np.full(2, 512.0))
    here = ArmState(MonoNs(0), np.array([100.0, 200.0]), np.empty(0))
    assert np.array_equal(gate.hold(Reason.NO_PLAN, here, 0).row_D, here.row_D)
    gate.stop(Reason.OPERATOR)
    verdict = gate.check(command(1, 0, np.zeros(2)), here, 0)
    assert (verdict.kind, verdict.reasons) == (STOPPED, (Reason.OPERATOR,))
    gate.release(here)
    assert gate.check(command(2, 0, np.zeros(2)), here, 0).kind is ACCEPTED


@pytest.mark.parametrize("high_D", [np.zeros(2), np.array([1.0, -1.0]), np.ones(1), np.ones(3)])
def test_a_box_without_room_in_it_is_refused(high_D):
    with pytest.raises(ValueError, match="must be below"):
        VectorGate(np.zeros(2), high_D)


@pytest.mark.parametrize("row_D", [np.full(2, np.nan), np.zeros(3), np.zeros(2, int), None])
def test_a_position_that_is_none_arms_nothing_and_ends_no_stop(row_D):
    gate, here = VectorGate(np.zeros(2), np.ones(2)), ArmState(MonoNs(0), row_D, np.empty(0))
    with pytest.raises(FeelforwardError, match="nothing is armed"):
        gate.hold(Reason.NO_PLAN, here, 0)
    gate.stop(Reason.OPERATOR)
    with pytest.raises(FeelforwardError, match="nothing is armed"):
        gate.release(here)
    assert gate.stopped


def test_a_second_stop_of_the_vector_gate_changes_nothing():
    gate = VectorGate(np.zeros(2), np.ones(2))
    gate.stop(Reason.OPERATOR)
    gate.stop(Reason.STATE_STALE)
    here = ArmState(MonoNs(0), np.full(2, 0.5), np.empty(0))
    assert gate.hold(Reason.NO_PLAN, here, 0).reasons == (Reason.OPERATOR,)


def test_the_vector_gate_holds_what_it_gave_last_and_says_how_far_it_moved_a_row():
    gate = VectorGate(np.zeros(2), np.ones(2))
    here = ArmState(MonoNs(0), np.full(2, 0.5), np.empty(0))
    verdict = gate.check(command(1, 0, np.array([4.0, 5.0])), here, 0)
    assert verdict.moved_m == pytest.approx(5.0)
    assert np.array_equal(gate.hold(Reason.NO_PLAN, here, 0).row_D, np.ones(2))
    assert gate.slow_down(np.zeros(2), np.zeros(2)) is None
