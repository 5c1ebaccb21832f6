"""Every fault of the table, put into real processes around the simulated arm."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from fault_checker import limits_of, violations
from fault_injections import STRANGE_ID
from fault_stage import Seen, Stage, matches, shortened_robot
from fault_table import ARM_STOPS, Fault, fault_table

from robot_io.session import directory as session_directory
from scripts.robot import SIM_FR3
from scripts.tasks import cap

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FAULTS = fault_table(shortened_robot())
PASSING = [pytest.param(fault, id=fault.name) for fault in FAULTS if not fault.fatal]
FATAL = [fault for fault in FAULTS if fault.fatal]
FEW_SENSORS = ("wrist", "tactile_right")  # enough where each fault has a session of its own
ATTEMPTS = 4
STAYS_S = 0.1  # so long an arm must have stayed where it is to be at rest
STRANGE_LINES = 2  # a busy machine may have faults of its own


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """A place in memory of these tests' own; children find `fault_parts`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="test-") as root:
            patch.setattr(session_directory, "SHARED_MEMORY", Path(root))
            yield
            assert_nothing_is_left(Path(root))


def assert_nothing_is_left(root: Path) -> None:
    """No file, ring or socket, and no process."""
    assert list(root.iterdir()) == []
    children = psutil.Process().children(recursive=True)
    assert [
        child for child in children if "robot_io.session.child" in " ".join(child.cmdline())
    ] == []


class SharedStage:
    """One session for all faults that it must survive; a new one when it did not."""

    def __init__(self) -> None:
        self._stage: Stage | None = None

    def get(self) -> Stage:
        if self._stage is None:
            self._stage = Stage().__enter__()
        return self._stage

    def drop(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared(nothing_is_left: None) -> Iterator[SharedStage]:
    shared = SharedStage()
    yield shared
    shared.drop()


def play_undisturbed(fault: Fault, play: Callable[[], Seen]) -> Seen:
    """An episode without a stall of the machine itself. No limit may be broken in any."""
    for _ in range(ATTEMPTS):
        seen = play()
        assert violations(seen.sent(), limits_of(SIM_FR3)) == []
        if fault.may_stall or not seen.disturbed():
            break
    return seen


def check(fault: Fault, seen: Seen) -> None:
    if not fault.may_vary:
        check_rungs(fault, seen)
        check_lines(fault, seen)
    if fault.ending or not fault.may_vary:
        assert matches(fault.ending, seen.ending), seen.ending
    if seen.record is not None:
        assert STRANGE_ID not in seen.record.chunk_N
    if fault.outcome:
        assert fault.outcome in seen.outcomes()


def check_rungs(fault: Fault, seen: Seen) -> None:
    if fault.steps[-1].rung == ARM_STOPS:
        assert 0 < seen.at_rest_s() <= fault.steps[-1].within_s
        assert seen.watched_s() > seen.at_rest_s() + STAYS_S
        return
    rungs = seen.rungs()
    assert [rung for rung, _ in rungs] == [step.rung for step in fault.steps], rungs
    for (rung, began_s), step in zip(rungs[1:], fault.steps[1:], strict=True):
        assert began_s <= step.within_s, f"{rung} after {began_s:.2f} s, allowed {step.within_s}"


def check_lines(fault: Fault, seen: Seen) -> None:
    """Each expected line once, in order, and hardly anything else."""
    at = []
    for pattern in fault.reads:
        hits = [index for index, line in enumerate(seen.lines) if matches(pattern, line)]
        assert len(hits) == 1, (pattern, seen.lines)
        at += hits
    assert at == sorted(at)
    assert len(seen.lines) <= len(fault.reads) + STRANGE_LINES, seen.lines


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_a_session_survives(
    fault: Fault, repetition: int, shared: SharedStage
) -> None:
    try:
        check(fault, play_undisturbed(fault, lambda: shared.get().play(fault)))
    except BaseException:
        shared.drop()
        raise


@pytest.mark.parametrize("fault", FATAL, ids=lambda fault: fault.name)
def test_a_fault_that_ends_the_session(fault: Fault, repetition: int, shared: SharedStage) -> None:
    shared.drop()
    files = psutil.Process().num_fds()

    def play() -> Seen:
        sensors = cap.IMAGES if fault.real_policy else FEW_SENSORS
        with Stage(sensors=sensors, real_policy=fault.real_policy) as stage:
            return stage.play(fault)

    check(fault, play_undisturbed(fault, play))
    assert_nothing_is_left(session_directory.SHARED_MEMORY)
    assert psutil.Process().num_fds() <= files
