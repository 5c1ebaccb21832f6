"""A training that nobody watches still tells a log file that it lives."""

import io

import pytest
from rich.console import Console

from policy.training.progress import duration, say, watched
from robot_io.clock import NS_PER_S, VirtualClock


def test_a_log_file_gets_a_line_a_minute_and_one_at_the_end() -> None:
    clock, file = VirtualClock(), io.StringIO()
    console = Console(file=file, width=40)
    with watched(console, done=100, steps=400, clock=clock) as tell:
        for step in range(101, 401):
            clock.sleep_until(clock.now_ns() + NS_PER_S // 2)
            tell(step, [0.25])
    assert file.getvalue().splitlines() == [
        "step 220 of 400, loss 0.2500, 2 min left",
        "step 340 of 400, loss 0.2500, 30 s left",
        "step 400 of 400, loss 0.2500, 0 s left",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with watched(console, done=0, steps=4, clock=VirtualClock()) as tell:
        tell(3, [1.0, 2.0, 3.0])
        say(console, "a line [above] the bar")
    shown = file.getvalue()
    assert "3/4" in shown
    assert "loss 2.0000" in shown
    assert "a line [above] the bar" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.4, "8 s"), (150, "2 min"), (3599, "1 h 00 min"), (11_100, "3 h 05 min")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
