"""Loops paced in other people's ways, to compare with: `pacing_peers.py naive 100`.

Each turn notes when it began and does nothing else, so no work of its own makes it late. It ends
when its standard input is closed; then it says, as one JSON object, who paced it, whether it had
SCHED_FIFO, and all its stamps. Standard library only: it also runs in an environment that has
LeRobot and nothing of ours.

Both ways sleep for what is left of a period that began with the turn: whatever a turn is late, all
later ones are. LeRobot's loops (lerobot 0.4: record, teleoperate) hand the rest of the period to
`precise_sleep`, which spins on macOS and Windows and on Linux calls `time.sleep`.
"""

import argparse
import json
import os
import sys
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import suppress

FIFO_PRIORITY = 10  # the control process's own, `robot_io.session.realtime`

Sleep = Callable[[float], object]  # s


def main() -> None:
    parser = argparse.ArgumentParser(description="Pace a loop until standard input is closed.")
    parser.add_argument("way", choices=("naive", "lerobot"))
    parser.add_argument("rate_hz", type=float)
    parser.add_argument("--fifo", action="store_true")
    arguments = parser.parse_args()
    sleep, paced_by = (time.sleep, "time.sleep") if arguments.way == "naive" else _of_lerobot()
    fifo = arguments.fifo and _take_priority()
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    began_ns = _pace(sleep, 1 / arguments.rate_hz, ended)
    json.dump({"paced_by": paced_by, "fifo": fifo, "began_ns": began_ns.tolist()}, sys.stdout)


def _pace(sleep: Sleep, period_s: float, ended: threading.Event) -> "array[int]":
    began_ns = array("q")
    while not ended.is_set():
        begun_s = time.perf_counter()
        began_ns.append(time.monotonic_ns())
        spent_s = time.perf_counter() - begun_s
        sleep(max(period_s - spent_s, 0.0))
    return began_ns


def _of_lerobot() -> tuple[Sleep, str]:
    """Its own function where it is installed, else what that function does on Linux."""
    with suppress(ImportError):
        from importlib.metadata import version

        from lerobot.utils.robot_utils import precise_sleep  # type: ignore[import-not-found]

        return precise_sleep, f"precise_sleep of lerobot {version('lerobot')}"
    return time.sleep, "time.sleep, as lerobot 0.4 does on Linux (lerobot itself not measured)"


def _take_priority() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except PermissionError:
        return False
    return True


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
