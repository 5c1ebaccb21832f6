"""How faults are put into a running session. Each says in `text` what it does."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import zmq

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.session.directory import feedback_path, inbox_path
from robot_io.types import ActionChunk, MonoNs

STRANGE_ID = 999_999  # of chunks that must never be executed
FLOOD = 50


class Running(Protocol):
    """What an injection may touch."""

    directory: Path
    context: zmq.Context
    newest_chunk: ActionChunk

    def process_id(self, process: str) -> int: ...


class Injection(Protocol):
    @property
    def text(self) -> str: ...
    def begin(self, running: Running) -> None: ...
    def end(self, running: Running) -> None: ...


@dataclass(frozen=True)
class Told:
    """A part that obeys a file, see `fault_parts`."""

    part: str
    words: str
    text: str

    def begin(self, running: Running) -> None:
        draft = running.directory / "fault.draft"
        draft.write_text(self.words)
        draft.rename(running.directory / f"fault_{self.part}")

    def end(self, running: Running) -> None:
        (running.directory / f"fault_{self.part}").unlink(missing_ok=True)


@dataclass(frozen=True)
class Killed:
    process: str

    @property
    def text(self) -> str:
        return f"SIGKILL to process `{self.process}`"

    def begin(self, running: Running) -> None:
        os.kill(running.process_id(self.process), signal.SIGKILL)

    def end(self, running: Running) -> None:
        pass


@dataclass(frozen=True)
class Suspended:
    process: str

    @property
    def text(self) -> str:
        return f"SIGSTOP to process `{self.process}`"

    def begin(self, running: Running) -> None:
        os.kill(running.process_id(self.process), signal.SIGSTOP)

    def end(self, running: Running) -> None:
        os.kill(running.process_id(self.process), signal.SIGCONT)


@dataclass(frozen=True)
class InInbox:
    """Messages of a stranger, beside the policy's."""

    kind: str  # "garbage", "old", "twice", "future"

    @property
    def text(self) -> str:
        return {
            "garbage": f"{FLOOD} messages of random bytes, cut chunks and a pickle in the inbox",
            "old": f"{FLOOD} chunks in the inbox whose observation is older than the plan's",
            "twice": f"the newest chunk {FLOOD} times more in the inbox",
            "future": "a chunk in the inbox that was observed 2 s from now",
        }[self.kind]

    def begin(self, running: Running) -> None:
        inbox = wire.connect(running.context, zmq.PUSH, inbox_path(running.directory))
        inbox.setsockopt(zmq.LINGER, 1000)
        for data in self._messages(running.newest_chunk):
            inbox.send(data)
        inbox.close()

    def end(self, running: Running) -> None:
        pass

    def _messages(self, newest: ActionChunk) -> list[bytes]:
        if self.kind == "garbage":
            rng = np.random.default_rng(0)
            good = wire.encode(newest)
            cut = [good[: int(rng.integers(1, len(good)))] for _ in range(FLOOD)]
            noise = [rng.bytes(int(rng.integers(1, 3000))) for _ in range(FLOOD)]
            return [*noise, *cut, b"\x80\x04\x95cposix\nsystem\n", b""]
        if self.kind == "old":
            before_ns = MonoNs(newest.observed_ns - 100 * NS_PER_MS)
            return [wire.encode(_strange(newest, before_ns))] * FLOOD
        if self.kind == "twice":
            return [wire.encode(newest)] * FLOOD
        ahead_ns = MonoNs(MonotonicClock().now_ns() + 2 * NS_PER_S)
        return [wire.encode(_strange(newest, ahead_ns))]


def _strange(newest: ActionChunk, observed_ns: MonoNs) -> ActionChunk:
    """A chunk 5 cm beside the plan."""
    row_HD = newest.row_HD + np.array([0, 0, 0.05, 0, 0, 0, 0, 0])
    return replace(
        newest, chunk_id=STRANGE_ID, observed_ns=observed_ns, start_ns=observed_ns, row_HD=row_HD
    )


@dataclass
class IdleViewer:
    """Somebody who subscribes to everything and never reads."""

    text: str = "a viewer that subscribes to the feedback and never reads"
    _sockets: list[zmq.Socket] = field(default_factory=list)

    def begin(self, running: Running) -> None:
        socket = running.context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 1)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(f"ipc://{feedback_path(running.directory)}")
        self._sockets.append(socket)

    def end(self, running: Running) -> None:
        self._sockets.pop().close()


@dataclass
class BusyCores:
    """Other programs on the machine."""

    text: str = "one busy process per core, at the session's own priority"
    _processes: list[subprocess.Popen] = field(default_factory=list)

    def begin(self, running: Running) -> None:
        for _ in range(os.cpu_count() or 1):
            self._processes.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))

    def end(self, running: Running) -> None:
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.wait()
