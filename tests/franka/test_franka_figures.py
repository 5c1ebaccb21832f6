"""`feelforward bench franka` must see a state that is stale and does not look so."""

import numpy as np
from franka_parts import ROBOT

from robot_io.clock import NS_PER_MS
from robot_io.control.loop import Rung
from scripts.bench.franka import Figures, Log, figures


def log_of(*, frozen_from: int, stamps_go_on: bool) -> Log:
    """A tool at 10 cm/s for 2 s; from one tick on the state is the same again and again."""
    log = Log()
    for tick in range(200):
        now_ns = tick * 10 * NS_PER_MS
        seen = min(tick, frozen_from)
        log.late_ns.append(0)
        log.read_ns.append(now_ns + NS_PER_MS)
        log.stamp_ns.append(now_ns if stamps_go_on else seen * 10 * NS_PER_MS)
        log.measured_m.append(np.array([0.001 * seen, 0.0, 0.0]))
        log.sent_m.append(np.array([0.001 * seen, 0.0, 0.0]))
        log.rung.append(Rung.PLAN)
        log.truth_ns.append(now_ns)
        log.truth_m.append(np.array([0.001 * tick, 0.0, 0.0]))
    return log


def found(*, frozen_from: int, stamps_go_on: bool) -> Figures:
    return figures(log_of(frozen_from=frozen_from, stamps_go_on=stamps_go_on), ROBOT)


def test_a_run_in_good_order_is_kept() -> None:
    whole = found(frozen_from=200, stamps_go_on=True)
    assert (whole.stale_noticed, whole.stale_unnoticed) == (0, 0)
    assert whole.kept


def test_a_frozen_state_with_its_own_stamp_is_noticed() -> None:
    frozen = found(frozen_from=100, stamps_go_on=False)
    assert frozen.stale_noticed > 80
    assert frozen.stale_unnoticed == 0
    assert frozen.kept


def test_a_frozen_state_under_a_fresh_stamp_is_unnoticed_and_fails_the_run() -> None:
    frozen = found(frozen_from=100, stamps_go_on=True)
    assert frozen.stale_unnoticed > 80
    assert not frozen.kept
