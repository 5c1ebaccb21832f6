"""Long commands that are asked to end leave no process behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from robot_io.clock import NS_PER_S, MonotonicClock


def wait_until(holds, *, limit_s: float) -> bool:
    clock = MonotonicClock()
    end_ns = clock.now_ns() + round(limit_s * NS_PER_S)
    while not holds() and clock.now_ns() < end_ns:
        clock.sleep_until(clock.now_ns() + NS_PER_S // 10)
    return bool(holds())


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_terminated_collection_takes_its_workers_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.cli", "collect", "--episodes", "1000"]
    collect = subprocess.Popen([*command, "--workers", "2", "--out", str(tmp_path / "demos")])
    parent = psutil.Process(collect.pid)
    assert wait_until(lambda: len(parent.children()) >= 3, limit_s=60)  # two and their tracker
    children = parent.children()
    collect.terminate()
    assert collect.wait(timeout=60) == 128 + 15
    assert wait_until(
        lambda: not any(map(psutil.pid_exists, (c.pid for c in children))), limit_s=30
    )
