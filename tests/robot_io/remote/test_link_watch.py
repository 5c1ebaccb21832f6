"""What the operator reads about the line to a policy server, and the report after an episode."""

import numpy as np
import pytest

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.remote.clock_offset import Offset
from robot_io.remote.report import LinkCount, LinkReport
from robot_io.remote.watch import MAX_LINES, MAX_TEXT, LinkFault, LinkWatch

S = NS_PER_S


@pytest.fixture
def watch() -> LinkWatch:
    return LinkWatch("tcp://gpu:5555")


def test_a_fault_is_one_line_however_often_it_is_noticed_and_one_at_its_end(
    watch: LinkWatch,
) -> None:
    for now_ns in range(0, 4 * S, S // 10):
        watch.note(LinkFault.NO_PLANS, "nobody listens there.", now_ns)
        watch.look(now_ns)
    assert watch.news() == ["Policy server tcp://gpu:5555: nobody listens there."]
    watch.look(4 * S)
    assert watch.news() == [], "not over before it has been calm for a while"
    watch.look(6 * S)
    assert watch.news() == ["Policy server tcp://gpu:5555: well again after 3.90 s."]
    watch.look(60 * S)
    assert watch.news() == []


def test_a_fault_that_comes_back_after_its_end_is_told_again(watch: LinkWatch) -> None:
    for now_ns in (0, 10 * S):
        watch.note(LinkFault.SLOW, "slow.", now_ns)
        watch.look(now_ns + 5 * S)
    assert len(watch.news()) == 4


@pytest.mark.parametrize("fault", LinkFault)
def test_every_fault_has_an_end(watch: LinkWatch, fault: LinkFault) -> None:
    watch.note(fault, "begun.", 0)
    watch.look(fault.calm_ns)
    begin, end = watch.news()
    assert begin.endswith(": begun.")
    assert "{" not in end and end.endswith(" s.")


def test_two_faults_do_not_hide_each_other(watch: LinkWatch) -> None:
    watch.note(LinkFault.SLOW, "slow.", 0)
    watch.note(LinkFault.CLOCK, "moved.", 0)
    assert len(watch.news()) == 2


def test_what_is_refused_while_there_are_no_plans_needs_no_line_of_its_own(
    watch: LinkWatch,
) -> None:
    watch.note(LinkFault.NO_PLANS, "gone.", 0)
    watch.note(LinkFault.REFUSED, "not of this session.", S)
    assert len(watch.news()) == 1
    watch.look(3 * S)
    watch.note(LinkFault.REFUSED, "not of this session.", 4 * S)
    assert [line.rsplit(": ", 1)[1] for line in watch.news()] == [
        "well again after 0.00 s.",
        "not of this session.",
    ]


def test_a_server_cannot_write_on_the_operators_screen(watch: LinkWatch) -> None:
    watch.note(LinkFault.NO_PLANS, "cannot plan:\n\x1b[2J\x07" + "x" * 2000, 0)
    (line,) = watch.news()
    assert line.isprintable() and len(line) == MAX_TEXT


def test_lines_that_nobody_fetches_do_not_pile_up(watch: LinkWatch) -> None:
    for count in range(2 * MAX_LINES):
        watch.note(LinkFault.NO_PLANS, "gone.", count * 10 * S)
        watch.look(count * 10 * S + 5 * S)
    assert len(watch.news()) == MAX_LINES


def test_the_report_counts_what_came_and_what_did_not() -> None:
    count = LinkCount()
    count.wanted, count.planned, count.failed, count.refused = 10, 7, 1, 3
    count.round_trips_ns = [n * NS_PER_MS for n in range(1, 101)]
    report = count.report(Offset(-2 * NS_PER_MS, 0.5 * NS_PER_MS, NS_PER_MS, None))
    assert report.lost == 2
    assert report.round_trip_p50_ms == pytest.approx(50.5)
    assert report.round_trip_p99_ms == pytest.approx(99.01)
    assert report.round_trip_max_ms == 100
    assert (report.clock_offset_ms, report.clock_uncertainty_ms) == (-2, 0.5)
    assert "7 of 10 plans, 2 lost, 1 failed" in str(report)
    assert LinkReport.of(report.values()) == report
    assert LinkReport.of({"chunk_id": 1}) is None


def test_a_report_of_nothing_has_no_numbers_where_there_are_none() -> None:
    report = LinkCount().report(None)
    assert report.lost == 0
    assert np.isnan([report.round_trip_p50_ms, report.clock_offset_ms]).all()
