"""The tests on the bench need what a real control process has, and a bench at a real arm's pace."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from franka_parts import CLOCK, Halted

from robot_io.clock import NS_PER_S
from sim.franka_process import FrankaProcess

HERE = Path(__file__).parent
ENOUGH = 0.95
PRIORITY = 5  # below the bench


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where the machine kept loop or bench from running, a test has shown nothing: again."""
    again = pytest.mark.flaky(reruns=5, reruns_delay=2, only_rerun=Halted.__name__)
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("slow") is not None:
            item.add_marker(again)


@pytest.fixture(scope="session")
def pace() -> float:
    """How fast the bench runs here, of a real arm's pace."""
    with FrankaProcess() as bench:
        bench.unseen()
        begin_ns = CLOCK.now_ns()
        CLOCK.sleep_until(begin_ns + NS_PER_S)
        return len(bench.unseen()) / 1000


@pytest.fixture(autouse=True)
def _in_real_time(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("slow") is None:
        yield
        return
    pace = request.getfixturevalue("pace")
    if pace < ENOUGH:
        pytest.skip(
            f"the bench runs at {pace:.2f} of a real arm's pace here; allow SCHED_FIFO, or end"
            " other work"
        )
    with _priority():
        yield


@contextmanager
def _priority() -> Iterator[None]:
    """SCHED_FIFO for this thread, and those that it starts, where the system allows it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
