"""What the process that commands the arm asks of the operating system, and what it gets.

    garbage collector   frozen, and off during an episode
    memory              locked: no tick waits for a page from the disk
    time slice          short: an ordinary thread runs as soon as it wakes (`time_slice.py`)
    SCHED_FIFO          every thread runs before all that is not real-time
    a core              nobody else in the session runs there; it takes 3 or more

What is refused is no failure. It is said, with the reason and what to do about it. Ask a machine:
`python -m robot_io.session.realtime`.
"""

import ctypes
import errno
import gc
import json
import os
import resource
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from robot_io.clock import NS_PER_MS
from robot_io.session.time_slice import SLICE_NS, shorten

FIFO_PRIORITY = 10  # above everything that is not real-time, below the kernel's own threads

_MCL_CURRENT, _MCL_FUTURE = 1, 2  # <sys/mman.h>
_PR_SET_TIMERSLACK = 29  # <sys/prctl.h>
_CAP_IPC_LOCK = 14  # <linux/capability.h>
_LIMITS = "/etc/security/limits.conf"
_FIFO_FIX = (
    f"give your user rtprio 90 in {_LIMITS} and log in again; a container needs --cap-add SYS_NICE"
)
_MEMORY_FIX = (
    f"give your user memlock unlimited in {_LIMITS} and log in again; "
    "a container needs --ulimit memlock=-1"
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing that was asked for. `fix` says how to get what was refused."""

    what: str
    got: bool
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class CoreShare:
    """Which core is control's, and which ones everybody else in the session has."""

    control: int
    others: frozenset[int]

    @property
    def own(self) -> bool:
        return self.control not in self.others


def share_cores(cores: Set[int]) -> CoreShare:
    """Control's is the last, and its own where there are more than 2.

    With 2, the policy would be left with one for itself, the world and four sensors.
    """
    control = max(cores)
    return CoreShare(control, frozenset(cores) - {control} if len(cores) > 2 else frozenset(cores))


@contextmanager
def off_the_control_core() -> Iterator[CoreShare]:
    """For the process that starts a session: it and what it starts leave control's core alone."""
    before = os.sched_getaffinity(0)
    share = share_cores(before)
    os.sched_setaffinity(0, share.others)
    try:
        yield share
    finally:
        os.sched_setaffinity(0, before)


def ask(share: CoreShare, *, fifo: bool) -> list[Grant]:
    """Asks for everything, for the threads that there are now; later ones inherit it.

    `fifo = False` leaves SCHED_FIFO out, to compare.
    """
    _wake_on_time()
    return [
        Grant("garbage collector", True, "frozen during episodes"),
        _lock_memory(),
        _shorten_slices(),
        _take_priority() if fifo else Grant("SCHED_FIFO", False, "not asked for"),
        _take_core(share),
    ]


def line(grants: list[Grant]) -> str:
    """One line for the operator: what was got, then what was not, why, and what to do."""
    got = [f"{grant.what} {grant.detail}" for grant in grants if grant.got]
    refused = [
        f"{grant.what}: {grant.detail}" + (f" ({grant.fix})" if grant.fix else "")
        for grant in grants
        if not grant.got
    ]
    end = f" Not got: {'; '.join(refused)}." if refused else " Nothing was refused."
    return f"Control process: {', '.join(got)}.{end}"


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """No pause of the collector, and what there is now is never looked at again meanwhile."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


# ---- one by one


def _shorten_slices() -> Grant:
    """For every thread. SCHED_FIFO needs none, but not everybody gets it."""
    what = "time slice"
    try:
        short = all([shorten(thread) for thread in _threads()])
    except OSError as error:
        return Grant(what, False, error.strerror or str(error))
    if not short:
        return Grant(what, False, "Linux 6.12 or newer is needed to choose it")
    return Grant(what, True, f"of {SLICE_NS / NS_PER_MS:g} ms")


def _take_priority() -> Grant:
    """For every thread: a chunk must get through to the loop as well."""
    try:
        for thread in _threads():
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except PermissionError:
        return Grant("SCHED_FIFO", False, "not permitted", _FIFO_FIX)
    return Grant("SCHED_FIFO", True, f"at priority {FIFO_PRIORITY}")


def _take_core(share: CoreShare) -> Grant:
    """A shared core is not kept to: whoever else is real-time there would be waited for."""
    what = "a core of its own"
    if not share.own:
        return Grant(what, False, f"{len(share.others)} cores are too few, it takes 3")
    try:
        for thread in _threads():
            os.sched_setaffinity(thread, {share.control})
    except OSError as error:
        return Grant(what, False, f"core {share.control}: {error.strerror}")
    return Grant(what, True, f"({share.control})")


def _lock_memory() -> Grant:
    """What is mapped now and later; under a limit, what is mapped now.

    A lock on what comes later turns the limit into an allocation that fails in mid-episode.
    """
    later = _may_lock_anything()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | (_MCL_FUTURE if later else 0)) == 0:
        return Grant("memory", True, "locked" if later else "locked as far as it is used now")
    code = ctypes.get_errno()
    if code == errno.ENOMEM:
        limit_kb = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] // 1024
        return Grant("memory", False, f"needs more than the limit of {limit_kb} kB", _MEMORY_FIX)
    return Grant("memory", False, os.strerror(code).lower(), _MEMORY_FIX)


def _may_lock_anything() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    status = Path("/proc/self/status").read_text().splitlines()
    effective = next(each for each in status if each.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_IPC_LOCK & 1)


def _wake_on_time() -> None:
    """The kernel may wake a thread up to 50 µs late to save power; 1 ns is the least it takes.

    Anybody may ask. SCHED_FIFO has it anyway.
    """
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _threads() -> list[int]:
    return [int(thread.name) for thread in Path("/proc/self/task").iterdir()]


def main() -> None:
    """One JSON object per thing asked for. For `feelforward doctor`, which must stay as it is."""
    for grant in ask(share_cores(os.sched_getaffinity(0)), fifo=True):
        print(json.dumps(asdict(grant)))


if __name__ == "__main__":
    sys.exit(main())
