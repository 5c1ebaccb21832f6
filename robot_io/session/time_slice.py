"""A short time slice: an ordinary thread that has one runs as soon as it wakes.

Linux gives the processor to whoever's slice would be over first (EEVDF, Stoica and Abdel-Wahab
1995). With 1.4 to 3 ms like everybody's, a thread that wakes waits for the slice of another to end;
with 0.1 ms it takes the core from it. It gets no larger share for that, and anybody may ask.
`sched_setattr(2)`, which Python does not have; Linux 6.12 and newer mind `sched_runtime` there.
"""

import ctypes
import os
import platform

SLICE_NS = 100_000  # the shortest that there is

_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}  # sched_setattr, sched_getattr


class _Attributes(ctypes.Structure):
    """`struct sched_attr` of <linux/sched/types.h>."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
        ("sched_util_min", ctypes.c_uint32),
        ("sched_util_max", ctypes.c_uint32),
    ]


def slice_ns(thread: int) -> int:
    """Of this thread (0: the calling one); 0 where the system does not say.

    Raises OSError where there is no such thread or no such call.
    """
    return _attributes(thread).sched_runtime


def shorten(thread: int) -> bool:
    """Gives this thread (0: the calling one) the shortest slice, its niceness kept.

    False where the system is too old to mind. Real-time threads have none and are left alone: True.
    Raises OSError where there is no such thread or no such call.
    """
    attributes = _attributes(thread)
    if attributes.sched_policy != os.SCHED_OTHER:
        return True
    attributes.sched_runtime = SLICE_NS
    set_call, _ = _numbers()
    _called(set_call, thread, ctypes.byref(attributes), 0)
    return slice_ns(thread) == SLICE_NS


def _attributes(thread: int) -> _Attributes:
    attributes = _Attributes()
    _, get_call = _numbers()
    _called(get_call, thread, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    return attributes


def _numbers() -> tuple[int, int]:
    machine = platform.machine()
    if machine not in _CALLS:
        raise OSError(f"the number of sched_setattr on {machine} is not known")
    return _CALLS[machine]


def _called(*arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
