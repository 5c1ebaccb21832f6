"""What the control process asks for, what is refused, and what the operator reads of it."""

import gc
import json
import os
import subprocess
import sys

import pytest

from robot_io.session import realtime, time_slice
from robot_io.session.realtime import (
    Grant,
    line,
    no_garbage_collection,
    off_the_control_core,
    share_cores,
)
from robot_io.session.time_slice import SLICE_NS

COLLECTOR, MEMORY, FIFO, CORE = "garbage collector", "memory", "SCHED_FIFO", "a core of its own"
SLICE = "time slice"

# In a child: gives up what a user without privileges does not have.
UNPRIVILEGED = """
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
"""
ASK = "grants = realtime.ask(realtime.share_cores(os.sched_getaffinity(0)), fifo=True)"
# What is really so, thread by thread, whatever was said.
SAY = """
threads = [int(name) for name in os.listdir("/proc/self/task")]
status = open("/proc/self/status").read().split()
print(json.dumps({
    "grants": [asdict(grant) for grant in grants],
    "nice": [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads],
    "fifo": [os.sched_getscheduler(thread) == os.SCHED_FIFO for thread in threads],
    "slice_ns": [slice_ns(thread) for thread in threads],
    "cores": [sorted(os.sched_getaffinity(thread)) for thread in threads],
    "locked_kb": int(status[status.index("VmLck:") + 1]),
}))
"""


def in_a_process(*lines: str) -> tuple[dict[str, Grant], dict]:
    """Runs the lines beside a second thread; what was granted, and what is so."""
    begin = """
import json, os, resource, threading, time
from dataclasses import asdict
from robot_io.session import realtime
from robot_io.session.time_slice import slice_ns
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
    code = begin + "\n".join([*lines, SAY])
    said = json.loads(subprocess.check_output([sys.executable, "-c", code], timeout=30))
    return {each["what"]: Grant(**each) for each in said["grants"]}, said


def test_what_is_said_to_be_granted_is_so_for_every_thread() -> None:
    grants, so = in_a_process(ASK)
    assert set(grants) == {COLLECTOR, MEMORY, SLICE, FIFO, CORE}
    assert so["fifo"] == [grants[FIFO].got] * 2
    assert (so["locked_kb"] > 0) == grants[MEMORY].got
    assert ([len(cores) for cores in so["cores"]] == [1, 1]) == grants[CORE].got


def test_a_user_without_privileges_reads_what_was_refused_and_what_to_do() -> None:
    grants, so = in_a_process(UNPRIVILEGED, ASK)
    assert so["fifo"] == [False, False]
    assert so["locked_kb"] == 0
    told = line(list(grants.values()))
    assert "\n" not in told
    got, refused = told.split("Not got: ")
    assert "garbage collector" in got
    assert ("time slice" in got) == (so["slice_ns"] == 2 * [SLICE_NS])
    assert "SCHED_FIFO: not permitted (give your user rtprio" in refused
    assert "memory: needs more than the limit of 64 kB (give your user memlock" in refused


@pytest.mark.parametrize(("unlimited", "flags"), [(True, 3), (False, 1)])  # MCL_FUTURE is 2
def test_under_a_limit_what_comes_later_is_not_locked_for_its_allocation_could_fail(
    monkeypatch: pytest.MonkeyPatch, unlimited: bool, flags: int
) -> None:
    asked = []

    class Libc:
        def mlockall(self, flags: int) -> int:
            asked.append(flags)
            return 0

    monkeypatch.setattr(realtime.ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(realtime, "_may_lock_anything", lambda: unlimited)
    grant = realtime._lock_memory()
    assert asked == [flags]
    assert grant.got
    assert ("now" in grant.detail) == (not unlimited)


def test_without_fifo_nothing_is_asked_for_and_the_line_says_so() -> None:
    grants, so = in_a_process(ASK.replace("True", "False"))
    assert so["fifo"] == [False, False]
    assert "SCHED_FIFO: not asked for" in line(list(grants.values()))


def test_a_short_time_slice_keeps_the_niceness() -> None:
    own = os.nice(0)
    grants, so = in_a_process("os.nice(3)", ASK.replace("True", "False"))
    assert grants[SLICE].got == (so["slice_ns"] == 2 * [SLICE_NS])
    assert so["nice"] == [own + 3, own], "threads have their own"
    with pytest.raises(OSError, match="No such process"):
        time_slice.shorten(2**22 + 1)  # beyond the largest number of a thread


def test_a_short_time_slice_takes_no_thread_its_real_time_priority() -> None:
    again = "assert realtime._shorten_slices().got == grants[2].got"
    grants, so = in_a_process(ASK, again)
    assert so["fifo"] == [grants[FIFO].got] * 2


def test_an_old_or_unknown_system_refuses_a_time_slice_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_slice, "_CALLS", {})
    assert "is not known" in realtime._shorten_slices().detail
    monkeypatch.setattr(realtime, "shorten", lambda thread: False)
    assert realtime._shorten_slices() == Grant(
        SLICE, False, "Linux 6.12 or newer is needed to choose it"
    )


def test_a_core_of_its_own_is_kept_to_by_every_thread() -> None:
    core = max(os.sched_getaffinity(0))
    share = f"realtime.CoreShare({core}, frozenset({{{core + 1}}}))"
    grants, so = in_a_process(f"grants = realtime.ask({share}, fifo=False)")
    assert so["cores"] == [[core], [core]]
    assert grants[CORE] == Grant(CORE, True, f"({core})")


def test_a_core_that_does_not_exist_is_refused_in_words() -> None:
    share = "realtime.CoreShare(1023, frozenset({0}))"
    grants, _ = in_a_process(f"grants = realtime.ask({share}, fifo=False)")
    assert grants[CORE].detail == "core 1023: Invalid argument"


@pytest.mark.parametrize(
    ("cores", "control", "others"),
    [
        ({0}, 0, {0}),
        ({0, 1}, 1, {0, 1}),
        ({0, 1, 2}, 2, {0, 1}),
        ({3, 5, 7, 8}, 8, {3, 5, 7}),
    ],
)
def test_control_has_a_core_to_itself_when_two_are_left_for_the_rest(
    cores: set[int], control: int, others: set[int]
) -> None:
    share = share_cores(cores)
    assert (share.control, share.others) == (control, others)
    assert share.own == (len(cores) > 2)


def test_who_starts_a_session_leaves_the_core_alone_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = {0, 1, 2, 3}
    seen = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, wanted: seen.append(set(wanted)))
    with pytest.raises(KeyboardInterrupt), off_the_control_core() as share:
        assert share.control == 3
        raise KeyboardInterrupt
    assert seen == [{0, 1, 2}, cores]


def test_the_collector_rests_during_an_episode_and_works_again_after_a_failure() -> None:
    with pytest.raises(ValueError, match="cut"), no_garbage_collection():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        raise ValueError("cut")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_line_without_refusals_says_so() -> None:
    assert line([Grant("memory", True, "locked")]) == (
        "Control process: memory locked. Nothing was refused."
    )
