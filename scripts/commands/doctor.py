"""`feelforward doctor`: what this machine can do, one line each, with the fix."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_io.errors import FeelforwardError
from robot_io.session.realtime import Grant

PACKAGES = {  # distribution -> who needs it when the demo does not
    "numpy": "",
    "pyzmq": "",
    "opencv-python": "",
    "mujoco": "",
    "torch": "",
    "av": "",
    "pyrealsense2": "RealSense cameras",
    "franky-control": "Franka arms",
    "ur-rtde": "UR arms",
    "gym-pusht": "Push-T",
}
AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
NEEDED_DISK_GB = 5
NEEDED_SHM_MB = 64
RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light pos='0 0 1'/>"
    "<geom type='sphere' size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    assert renderer.render().max() > 0
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `needed`: the demo does not work without it."""

    what: str
    good: bool
    detail: str
    fix: str = ""
    needed: bool = True

    def line(self) -> str:
        mark = "✓" if self.good else ("✗" if self.needed else "–")
        fix = f" → {self.fix}" if self.fix and not self.good else ""
        return f"{mark} {self.what}: {self.detail}{fix}"


@dataclass(frozen=True, slots=True)
class Doctor:
    """Check this machine: packages, rendering, cameras, threads, real-time permission.

    ✓ works; ✗ is missing and the demo needs it; – is missing and only some need it.
    Exits with 1 when the demo cannot work.

    Example: feelforward doctor
    """

    def run(self) -> None:
        bad = []
        for finding in examine():
            print(finding.line(), flush=True)
            if finding.needed and not finding.good:
                bad.append(finding.what)
        if bad:
            raise FeelforwardError(f"needed and missing: {', '.join(bad)}.")


def examine() -> Iterator[Finding]:
    """Every check of this machine, in turn."""
    yield _python()
    yield from map(_package, PACKAGES)
    yield _torch_build()
    yield _rendering()
    yield _shared_memory()
    yield _disk()
    yield _cores()
    yield _openmp()
    yield _autogroups()
    yield from _real_time()
    yield _realsense()
    yield _uvc()


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("Python", good, platform.python_version(), "install Python 3.11 or newer")


def _package(name: str) -> Finding:
    user = PACKAGES[name]
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", 'pip install -e ".[all]"', needed=not user)
    return Finding(name, True, version)


def _torch_build() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch build", False, str(error), "pip install torch==2.13.0")
    if torch.cuda.is_available():
        return Finding("torch build", True, f"CUDA on {torch.cuda.get_device_name()}")
    cuda = torch.version.cuda
    return Finding("torch build", True, f"CUDA {cuda}, no GPU found" if cuda else "CPU")


def _rendering() -> Finding:
    backend = os.environ.get("MUJOCO_GL", "")
    fix = "sudo apt-get install libegl1 libegl-mesa0 libgl1"
    try:  # in a process of its own: a broken driver takes its process with it
        subprocess.run([sys.executable, "-c", RENDER], check=True, capture_output=True, timeout=60)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["crashed"]
        return Finding("headless rendering", False, f"{backend}: {lines[-1]}", fix)
    except subprocess.TimeoutExpired:
        return Finding("headless rendering", False, f"{backend}: no image within 60 s", fix)
    return Finding("headless rendering", True, f"{backend} draws")


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK):
        return Finding("shared memory", False, f"{folder} is not writable", "mount a tmpfs there")
    free_mb = shutil.disk_usage(folder).free / 1e6
    fix = "give the container more, e.g. docker run --shm-size 1g"
    return Finding("shared memory", free_mb > NEEDED_SHM_MB, f"{free_mb:.0f} MB free", fix)


def _disk() -> Finding:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    fix = f"free {NEEDED_DISK_GB} GB for data sets and runs"
    return Finding("disk", free_gb > NEEDED_DISK_GB, f"{free_gb:.0f} GB free here", fix)


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    fix = "real time wants 2: one for control and cameras, one for the policy"
    return Finding("processor cores", cores >= 2, str(cores), fix, needed=False)


def _openmp() -> Finding:
    policy, threads = (os.environ.get(f"OMP_{key}") for key in ("WAIT_POLICY", "NUM_THREADS"))
    good = (policy or "").lower() == "passive"
    fix = "export OMP_WAIT_POLICY=passive (spinning threads stall the control loop)"
    return Finding("OpenMP", good, f"{policy} waiting, {threads} thread(s)", fix, needed=False)


def _autogroups(setting: Path = AUTOGROUPS) -> Finding:
    """With them each terminal gets the same share of the cores, whatever `nice` says."""
    good = not setting.exists() or setting.read_text().strip() == "0"
    detail = "counts everywhere" if good else "counts only among the programs of one terminal"
    fix = "sudo sysctl kernel.sched_autogroup_enabled=0, before you train beside a running arm"
    return Finding("nice", good, detail, fix, needed=False)


def _real_time() -> Iterator[Finding]:
    """What the control process would get; asked for in a process that ends with it."""
    command = [sys.executable, "-m", "robot_io.session.realtime"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    for line in done.stdout.splitlines():
        grant = Grant(**json.loads(line))
        what = f"real time, {grant.what}"
        yield Finding(what, grant.got, grant.detail, grant.fix, needed=False)


def _realsense() -> Finding:
    try:
        import pyrealsense2

        names = _realsense_names(pyrealsense2)
    except (ImportError, RuntimeError) as error:
        fix = "sudo apt-get install libusb-1.0-0"
        return Finding("RealSense", False, str(error).splitlines()[0], fix, needed=False)
    return Finding("RealSense", bool(names), ", ".join(names) or "no camera found", needed=False)


def _realsense_names(sdk: Any) -> list[str]:
    return [device.get_info(sdk.camera_info.name) for device in sdk.context().query_devices()]


def _uvc() -> Finding:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    shut = [path for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if shut:
        fix = "sudo usermod -aG video $USER, then log in again"
        return Finding("UVC cameras", False, f"no access to {', '.join(shut)}", fix, needed=False)
    return Finding("UVC cameras", bool(devices), ", ".join(devices) or "none found", needed=False)
