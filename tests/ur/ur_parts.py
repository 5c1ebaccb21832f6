"""The peer as the tests see it, and the arm that is connected to it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robot_io.devices.ur import URArm, make_arm

PEER = Path(__file__).with_name("rtde_peer.py")
PERIOD_S = 0.01
MAX_TARGET_AGE_S = 0.5  # longer than a robot's: a busy machine keeps the tests waiting
_numbers = itertools.count(1)


class Peer:
    """The controller of the tests, and its pendant."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.address = f"127.{1 + pid // 250 % 250}.{1 + pid % 250}.{next(_numbers) % 250}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PEER), self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready\n"

    def order(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def tell(self) -> dict[str, Any]:
        self.order(tell=True)
        return json.loads(self._answer())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def hold(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def arm_at(address: str) -> URArm:
    settings = {"address": address, "lookahead_s": 0.1, "gain": 300}
    return make_arm(settings, period_s=PERIOD_S, max_target_age_s=MAX_TARGET_AGE_S)


def until(happened: Callable[[], Any], *, within_s: float = 3.0) -> Any:
    """What `happened` gave when it was true; fails after `within_s`."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        result = happened()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError(f"not within {within_s} s")
