"""An arm that measures force stops for good when it feels too much."""

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, command, gate_limits
from gate_toys import ACCEPTED, HOLD, STOPPED

from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.types import ArmState, MonoNs

TOUCH = {"measured_force": "required", "max_force_n": 50.0, "max_torque_nm": 5.0}
LIGHT = np.array([30.0, 0.0, 39.0, 3.0, 0.0, 3.9])


def feeling(tick: int, wrench_6: object) -> ArmState:
    return ArmState(MonoNs(tick * PERIOD_NS), HOME, np.empty(0), wrench_6)  # type: ignore[arg-type]


def armed(**touch: object) -> CommandGate:
    gate = CommandGate(gate_limits(touch=TOUCH | touch))
    assert gate.check(command(1, 0, HOME), feeling(0, LIGHT), 0).kind is ACCEPTED
    return gate


@pytest.mark.parametrize(
    ("wrench_6", "reason"),
    [
        (np.array([30.0, 0.0, 41.0, 0.0, 0.0, 0.0]), Reason.FORCE),
        (np.array([0.0, 0.0, 0.0, 0.0, -5.1, 0.0]), Reason.TORQUE),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_more_than_it_may_feel_latches_a_stop(wrench_6, reason, held):
    gate, now_ns = armed(), PERIOD_NS
    state = feeling(1, wrench_6)
    if held:
        verdict = gate.hold("no_plan", state, now_ns)
    else:
        verdict = gate.check(command(2, now_ns, HOME), state, now_ns)
    assert (verdict.kind, verdict.reasons) == (STOPPED, (reason,))
    later = gate.check(command(3, 2 * now_ns, HOME), feeling(2, LIGHT), 2 * now_ns)
    assert later.kind is STOPPED
    gate.release(feeling(2, LIGHT))
    assert gate.check(command(4, 3 * now_ns, HOME), feeling(3, LIGHT), 3 * now_ns).kind is ACCEPTED


@pytest.mark.parametrize(
    "wrench_6", [None, np.full(6, np.nan), np.zeros(3), np.zeros(6, int), [0.0] * 6]
)
def test_a_force_that_must_be_measured_and_is_not_holds_and_is_not_armed(wrench_6):
    verdict = armed().check(command(2, PERIOD_NS, HOME), feeling(1, wrench_6), PERIOD_NS)
    assert (verdict.kind, verdict.reasons) == (HOLD, (Reason.STATE_UNUSABLE,))
    with pytest.raises(FeelforwardError, match="not armed"):
        CommandGate(gate_limits(touch=TOUCH)).check(command(1, 0, HOME), feeling(0, wrench_6), 0)


def test_an_arm_that_is_said_to_measure_no_force_is_not_asked():
    gate = CommandGate(gate_limits(touch=TOUCH | {"measured_force": "absent"}))
    assert gate.check(command(1, 0, HOME), feeling(0, np.full(6, 1e9)), 0).kind is ACCEPTED
