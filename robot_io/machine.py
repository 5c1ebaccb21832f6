"""Where, and with which versions, something was made: for records and for measured figures."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# what decides how commands come out, and what wrote them down; none of it is imported here
PACKAGES = ("feelforward", "numpy", "ruckig", "msgpack", "pyzmq", "mcap", "mujoco", "torch")


def machine() -> dict[str, Any]:
    """Processor, cores, kernel, Python, versions of the installed `PACKAGES`, git commit."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": packages,
        "commit": _commit(),
    }


def made_by() -> dict[str, str]:
    """The same in one level of text, for a record."""
    facts = machine()
    packages = facts.pop("packages")
    return {name: str(value) for name, value in {**facts, **packages}.items()}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Of the checkout that this file lies in; "unknown" without one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
