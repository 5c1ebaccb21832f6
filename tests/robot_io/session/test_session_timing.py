"""From the exposure of a frame to the first command that used it, put together from two sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_io import wire
from robot_io.session.timing import (
    AGE_PARTS,
    ChunkUse,
    Percentiles,
    Plans,
    PlanStamps,
    UseStamps,
    columns,
)

MS = 1_000_000


def plans(planned: list[PlanStamps], used: list[UseStamps]) -> Plans:
    """Joined after a journey over the wire, as a session does it."""
    notes = (
        wire.Note("ended", columns(PlanStamps, planned)),
        wire.Note("recorded", columns(UseStamps, used)),
    )
    ended, recorded = (wire.decode(wire.encode(note)) for note in notes)
    assert isinstance(ended, wire.Note)
    assert isinstance(recorded, wire.Note)
    return Plans.join(ended.values, recorded.values)


def test_each_part_lies_between_its_two_stamps() -> None:
    planned = [PlanStamps(7, 0, 15 * MS, 18 * MS, 48 * MS)]
    one = plans(planned, [UseStamps(7, 55 * MS, 56 * MS)])
    parts_ms = {part: one.age_ns(part).item() / MS for part in AGE_PARTS}
    assert parts_ms == {"transport": 15, "wait": 3, "inference": 30, "wire": 7, "tick": 1}
    assert one.age_ns().item() == 56 * MS


@given(
    st.lists(
        st.lists(st.integers(0, 10**9), min_size=6, max_size=6).map(np.cumsum),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 10**15),
)
def test_the_parts_add_up_to_the_whole(chains: list[np.ndarray], uptime_ns: int) -> None:
    stamps_ns = [(chain + uptime_ns).tolist() for chain in chains]
    planned = [PlanStamps(number, *each[:4]) for number, each in enumerate(stamps_ns)]
    used = [UseStamps(number, *each[4:]) for number, each in enumerate(stamps_ns)]
    joined = plans(planned, used)
    assert sum(joined.age_ns(part) for part in AGE_PARTS) == pytest.approx(joined.age_ns(), abs=0)
    assert joined.age_ns().tolist() == [each[5] - each[0] for each in stamps_ns]


def test_a_plan_that_was_never_followed_is_counted_and_not_averaged() -> None:
    planned = [PlanStamps(n, n * MS, n * MS + 1, n * MS + 2, n * MS + 3) for n in (1, 2, 3)]
    joined = plans(planned, [UseStamps(3, 3 * MS + 4, 3 * MS + 10), UseStamps(1, MS + 4, MS + 20)])
    assert joined.followed_P.tolist() == [True, False, True]
    assert joined.age_ns().tolist() == [20, 10]
    assert joined.inference_ns_P.tolist() == [1, 1, 1]


def test_a_chunk_of_another_episode_has_no_plan_here_and_is_left_out() -> None:
    joined = plans([PlanStamps(5, 1, 2, 3, 4)], [UseStamps(4, 1, 2)])
    assert joined.followed_P.tolist() == [False]


def test_an_episode_without_plans_has_no_ages() -> None:
    joined = plans([], [])
    assert joined.age_ns().size == joined.age_ns("wire").size == 0
    assert np.isnan(Percentiles.of_ns(joined.age_ns()).p99)


def test_the_first_command_of_a_chunk_counts_and_no_later_one() -> None:
    use = ChunkUse()
    use.took(1, 100)
    use.sent(None, 105)  # a hold
    use.sent(1, 110)
    use.sent(1, 210)
    use.took(2, 250)  # overtaken in the same tick: it never got a command
    use.took(3, 251)
    use.sent(3, 260)
    use.sent(9, 270)  # of whose arrival nothing is known
    assert use.stamps == [UseStamps(1, 100, 110), UseStamps(3, 251, 260)]
