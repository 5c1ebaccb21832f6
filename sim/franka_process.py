"""The test bench of a Franka arm (`sim.franka_bench`) as a process of its own."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from robot_io.errors import FeelforwardError
from robot_io.ring import RingReader, Sample

PORTS = (1337, 1338)  # libfranka's, of arm and hand; they are not ours to choose
RING_TIMEOUT_S = 10.0
END_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Truth:
    """What was true on the bench at `stamp_ns`, whatever its client was told."""

    stamp_ns: int
    force_n: float  # of all contacts
    tool_m_3: np.ndarray
    speed_rad_per_s: float  # of the fastest joint
    in_motion: bool
    error: int | None  # bit of libfranka's `Errors`


class FrankaProcess:
    """Entering starts the bench on a free loopback address and waits until it listens."""

    def __init__(self, *, wall_x_m: float | None = None, address: str | None = None) -> None:
        self.address = address if address is not None else free_address()
        self._wall_x_m = wall_x_m
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="franka-")))
            witness = folder / "witness.ring"
            command = [sys.executable, "-m", "sim.franka_bench", "--address", self.address]
            command += ["--witness", str(witness)]
            if self._wall_x_m is not None:
                command += ["--wall-x-m", str(self._wall_x_m)]
            self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            opened.callback(self._end)
            assert self._child.stdout is not None
            if not self._child.stdout.readline().startswith("ready"):
                raise FeelforwardError(f"The Franka bench did not start on {self.address}.")
            reader = RingReader.attach(witness, timeout_s=RING_TIMEOUT_S)
            self._witness = opened.enter_context(reader)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._opened.close()

    def newest(self) -> Truth:
        """What is true now."""
        sample = self._witness.latest() or self._witness.wait(RING_TIMEOUT_S)
        assert sample is not None, "the bench has died"
        return _truth(sample)

    def unseen(self) -> list[Truth]:
        """All since the last call, four seconds back at most."""
        return [_truth(sample) for sample in self._witness.unseen()]

    def pause(self) -> None:
        """The arm falls silent."""
        os.kill(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait(END_TIMEOUT_S)

    def _end(self) -> None:
        self.kill()
        if self._child.stdout is not None:
            self._child.stdout.close()


def _truth(sample: Sample) -> Truth:
    force_n, x_m, y_m, z_m, speed, in_motion, error = sample.values.tolist()
    return Truth(
        stamp_ns=sample.exposed_ns,
        force_n=force_n,
        tool_m_3=np.array([x_m, y_m, z_m]),
        speed_rad_per_s=speed,
        in_motion=in_motion > 0,
        error=None if error < 0 else int(error),
    )


def free_address() -> str:
    """One of 127.0.0.0/8 on which both ports of an arm are free."""
    chance = random.Random()
    while True:
        address = f"127.{chance.randint(1, 254)}.{chance.randint(0, 254)}.{chance.randint(1, 254)}"
        try:
            for port in PORTS:
                with socket.socket() as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return address
