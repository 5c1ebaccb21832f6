"""What `bench gate` and `bench mutants` found that no other test of the gate held."""

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, moved, state
from gate_toys import HOLD, Run

from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason


@pytest.mark.parametrize("x_m", [1e300, -1e300, 200.0])
def test_a_measured_pose_that_no_arm_reaches_is_unusable_and_pulls_no_command_there(x_m):
    """`bench gate`, seed 0, stretch 0: the leash gave the arm a command at 1.7e308 m."""
    run, lie = Run(), HOME.copy()
    run.check(HOME)
    lie[0] = x_m
    run.measured = lie
    verdict = run.check(HOME, blocked=True)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.STATE_UNUSABLE,))
    assert np.array_equal(verdict.row_D, HOME)
    with pytest.raises(FeelforwardError, match="not armed"):
        CommandGate(run.limits).check(command(1, 0, HOME), state(0, lie), 0)


@pytest.mark.parametrize("held", [True, False])
def test_a_command_that_was_dragged_outside_does_not_jump_back_to_the_border(held):
    """`bench gate`, seed 0, stretch 123: a rest point outside was clipped to the border at once."""
    run, leash_m = Run(), Run().limits.leash_m
    for k in range(40):  # a hand pushes the arm out of the workspace, slower than the speed limit
        run.measured = moved(by_m=(0.20 + 0.004 * k, 0.0, 0.0))
        run.check(HOME, blocked=True)
    outside_m = run.sent[-1][0] - run.limits.workspace_high_m[0]
    assert outside_m > leash_m / 4
    here_D = run.sent[-1]
    run.measured = here_D
    for _ in range(20):
        before_D = run.sent[-1]
        run.check(np.full(8, np.nan) if held else HOME, blocked=True)
        step_m = np.linalg.norm(run.sent[-1][:3] - before_D[:3])
        assert step_m <= run.limits.max_speed_m_per_s * run.limits.period_s * (1 + 1e-5)
    assert run.now_ns == 60 * PERIOD_NS
