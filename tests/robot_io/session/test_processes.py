"""When a child of a session counts as ended."""

import signal
import subprocess
import sys
from textwrap import dedent

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.session.processes import exit_code

CLOCK = MonotonicClock()
ONLY_THE_MAIN_THREAD_ENDS = """
    import ctypes, threading, time
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("alive", flush=True)
    input()
    ctypes.CDLL(None).syscall(60, 3)  # exit, of this thread alone
"""


def start(code: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"alive\n"
    return process


def end_of(process: subprocess.Popen) -> int | None:
    """The exit code, waited for up to 2 s."""
    end_ns = CLOCK.now_ns() + 2 * NS_PER_S
    while (code := exit_code(process)) is None and CLOCK.now_ns() < end_ns:
        CLOCK.sleep_until(CLOCK.now_ns() + NS_PER_MS)
    return code


def test_a_living_process_has_no_exit_code_and_a_killed_one_its_signal() -> None:
    with start("print('alive', flush=True); input()") as process:
        assert exit_code(process) is None
        process.kill()
        assert end_of(process) == -signal.SIGKILL


def test_a_process_has_ended_with_its_main_thread_though_another_lingers() -> None:
    with start(ONLY_THE_MAIN_THREAD_ENDS) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert end_of(process) == 3
        assert process.poll() is None  # what the kernel tells its parent
        process.kill()
