"""An arm that hears nothing new stops by itself."""

import pytest

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.session.watchdog import TargetWatchdog

MS = NS_PER_MS


def test_before_the_first_target_nothing_is_too_late() -> None:
    assert not TargetWatchdog(0.2).tripped(100 * NS_PER_S)


def test_targets_at_their_rate_keep_the_arm_going() -> None:
    watchdog = TargetWatchdog(0.2)
    for now_ms in range(0, 10_000, 10):
        watchdog.fed(now_ms * MS)
        assert not watchdog.tripped((now_ms + 200) * MS)


def test_a_target_that_repeats_an_old_stamp_is_no_news() -> None:
    watchdog = TargetWatchdog(0.2)
    watchdog.fed(100 * MS)
    for now_ms in (150, 200, 250, 300):
        watchdog.fed(50 * MS)
        watchdog.fed(100 * MS)
        assert not watchdog.tripped(now_ms * MS)
    assert watchdog.tripped(301 * MS)
    older = TargetWatchdog(0.2)
    older.fed(100 * MS)
    older.fed(50 * MS)
    assert not older.tripped(300 * MS), "the newest counts"


def test_what_has_tripped_stays_so_until_a_person_begins_again() -> None:
    watchdog = TargetWatchdog(0.2)
    watchdog.fed(0)
    assert watchdog.tripped(201 * MS)
    watchdog.fed(250 * MS)
    assert watchdog.tripped(250 * MS)
    watchdog.reset()
    assert not watchdog.tripped(NS_PER_S)


@pytest.mark.parametrize("max_age_s", [0, -1, 1.01, float("nan"), float("inf")])
def test_there_is_no_watchdog_without_a_limit(max_age_s: float) -> None:
    with pytest.raises(ValueError, match="allowed"):
        TargetWatchdog(max_age_s)
