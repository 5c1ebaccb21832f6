"""The offset between two clocks: never further off than it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.remote.clock_offset import MAX_DRIFT, ClockOffset, Exchange

WAY = st.integers(0, 200 * NS_PER_MS)  # of a message, one way


def exchange(asked_ns: int, there_ns: int, back_ns: int, offset_ns: int, work_ns: int = 0):
    received_ns = asked_ns + there_ns + offset_ns
    heard_ns = asked_ns + there_ns + work_ns + back_ns
    return Exchange(asked_ns, received_ns, received_ns + work_ns, heard_ns)


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(WAY, WAY, st.integers(0, NS_PER_S)), min_size=1, max_size=200),
)
def test_however_asymmetric_the_ways_the_offset_is_within_half_the_shortest_round_trip(
    offset_ns: int, ways: list[tuple[int, int, int]]
) -> None:
    offset, now_ns = ClockOffset(window=1000), 0
    for there_ns, back_ns, work_ns in ways:
        one = exchange(now_ns, there_ns, back_ns, offset_ns, work_ns)
        assert not offset.add(one)
        now_ns = one.heard_ns
    estimate = offset.estimate(now_ns)
    assert estimate is not None
    assert abs(estimate.offset_ns - offset_ns) <= estimate.uncertainty_ns
    oldest_ns = MAX_DRIFT * now_ns
    assert estimate.uncertainty_ns <= min(a + b for a, b, _ in ways) / 2 + 1 + oldest_ns
    assert estimate.round_trip_ns == min(there + back for there, back, _ in ways)
    assert offset.jumps == 0


def test_a_jump_of_the_other_clock_is_noticed_at_once_and_followed() -> None:
    offset = ClockOffset()
    for k in range(20):
        assert not offset.add(exchange(k * NS_PER_S, NS_PER_MS, NS_PER_MS, 5 * NS_PER_S))
    assert offset.add(exchange(20 * NS_PER_S, NS_PER_MS, NS_PER_MS, 7 * NS_PER_S))
    assert offset.jumps == 1
    estimate = offset.estimate(20 * NS_PER_S)
    assert estimate is not None
    assert estimate.offset_ns == 7 * NS_PER_S


def test_a_late_answer_is_no_jump() -> None:
    offset = ClockOffset()
    offset.add(exchange(0, NS_PER_MS, NS_PER_MS, 0))
    assert not offset.add(exchange(NS_PER_S, NS_PER_MS, NS_PER_S, 0))
    estimate = offset.estimate(2 * NS_PER_S)
    assert estimate is not None
    assert estimate.offset_ns == 0


def test_drift_within_what_quartz_does_is_measured_and_is_no_jump() -> None:
    rng, offset, drift = np.random.default_rng(0), ClockOffset(), 50e-6
    for k in range(200):
        asked_ns = k * NS_PER_S
        there_ns, back_ns = (NS_PER_MS * (1 + rng.exponential(2, 2))).astype(int).tolist()
        offset.add(exchange(asked_ns, there_ns, back_ns, round(drift * asked_ns)))
    estimate = offset.estimate(200 * NS_PER_S)
    assert estimate is not None
    assert estimate.drift == pytest.approx(drift, abs=30e-6)
    assert abs(estimate.offset_ns - drift * 200 * NS_PER_S) <= estimate.uncertainty_ns
    assert offset.jumps == 0


def test_without_an_exchange_nothing_is_claimed_and_without_a_span_no_drift() -> None:
    offset = ClockOffset()
    assert offset.estimate(0) is None
    for k in range(10):
        offset.add(exchange(k * NS_PER_MS, 1, 1, 0))
    estimate = offset.estimate(0)
    assert estimate is not None
    assert estimate.drift is None


def test_an_exchange_that_cannot_be_is_left_out() -> None:
    offset = ClockOffset()
    assert not offset.add(Exchange(10, 0, 50, 20))  # answered for longer than it took
    assert not offset.add(Exchange(10, 50, 40, 20))  # answered before it was received
    assert offset.estimate(0) is None
