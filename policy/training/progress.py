"""How a person sees that training goes on: a bar on a terminal, a line a minute in a log file."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from robot_io.clock import NS_PER_S, Clock

LINE_EVERY_NS = 60 * NS_PER_S
RECENT = 50  # steps whose mean loss is shown
Tell = Callable[[int, list[float]], None]  # (step, losses so far)


def say(console: Console, text: str) -> None:
    """A line: above the bar where there is one, never wrapped, at once in the file."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def watched(console: Console, *, done: int, steps: int, clock: Clock) -> Iterator[Tell]:
    """Yields what is to be told after every step."""
    if not console.is_terminal:
        yield _lines(console, done=done, steps=steps, clock=clock)
        return
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("", total=steps, completed=done, loss=math.nan)
        yield lambda step, losses: bar.update(task, completed=step, loss=_recent(losses))


def _lines(console: Console, *, done: int, steps: int, clock: Clock) -> Tell:
    started_ns = clock.now_ns()
    due_ns = started_ns + LINE_EVERY_NS

    def tell(step: int, losses: list[float]) -> None:
        nonlocal due_ns
        now_ns = clock.now_ns()
        if now_ns < due_ns and step < steps:
            return
        due_ns = now_ns + LINE_EVERY_NS
        left_s = (now_ns - started_ns) / NS_PER_S / (step - done) * (steps - step)
        say(
            console,
            f"step {step:,} of {steps:,}, loss {_recent(losses):.4f}, {duration(left_s)} left",
        )

    return tell


def _recent(losses: list[float]) -> float:
    recent = losses[-RECENT:]
    return sum(recent) / len(recent)


def duration(seconds: float) -> str:
    """For people: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
