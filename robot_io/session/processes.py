"""Children of a session: started, watched, told, ended.

A child is a fresh interpreter, `python -m robot_io.session.child SPEC`, so it imports nothing that
its role does not need, and its thread settings are in place before its first import. Its standard
input is a lifeline: the kernel closes it when the session's process dies, however it dies.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import zmq

from robot_io import wire
from robot_io.errors import FeelforwardError
from robot_io.session.directory import line_path

PlainData = Any  # what JSON can hold: bool, int, float, str, None, lists and maps of them

THREAD_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",  # spinning threads starve the control loop
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
NEWS = "news"  # a child's note for the operator: its `line`
SESSION_WORD = "{session}"
QUIT = b"q"  # on the lifeline: the session ends in an orderly way
LAST_NOTE_MS = 100


class SessionError(FeelforwardError):
    """A session that cannot start or go on."""


@dataclass(frozen=True, slots=True)
class Factory:
    """A maker that a child can import: `package.module:function`, called with plain data.

    In texts of `kwargs`, `{session}` stands for the session's directory.
    """

    target: str
    kwargs: Mapping[str, PlainData] = field(default_factory=dict)

    def make(self, directory: Path) -> Any:
        """What the function returns; SessionError when there is no such function."""
        module_name, _, name = self.target.partition(":")
        try:
            maker = getattr(import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise SessionError(f"Cannot load {self.target!r}: {error}.") from error
        return maker(**_fill_in(dict(self.kwargs), str(directory)))


def _fill_in(value: PlainData, directory: str) -> PlainData:
    if isinstance(value, str):
        return value.replace(SESSION_WORD, directory)
    if isinstance(value, Mapping):
        return {key: _fill_in(entry, directory) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill_in(entry, directory) for entry in value]
    return value


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What a child needs to know to begin."""

    name: str
    role: str  # "control", "camera", "policy", "recorder" or "world"
    directory: str
    factories: Mapping[str, Factory]
    settings: Mapping[str, PlainData] = field(default_factory=dict)

    def save(self) -> Path:
        path = Path(self.directory) / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), default=str))
        return path

    @classmethod
    def load(cls, path: Path) -> "ChildSpec":
        content = json.loads(path.read_text())
        factories = {name: Factory(**entry) for name, entry in content.pop("factories").items()}
        return cls(factories=factories, **content)

    def make(self, name: str) -> Any:
        return self.factories[name].make(Path(self.directory))


class Child:
    """The session's view of one child."""

    def __init__(self, spec: ChildSpec, context: zmq.Context) -> None:
        self.name = spec.name
        self._log_path = Path(spec.directory) / f"{spec.name}.log"
        self.line = wire.listen(context, zmq.PAIR, line_path(spec.directory, spec.name))
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "robot_io.session.child", str(spec.save())],
                env={**os.environ, **THREAD_SETTINGS},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C reaches the session only, which ends its children
            )

    def tell(self, kind: str, **values: wire.NoteValue) -> None:
        wire.send(self.line, wire.Note(kind, values))

    def heard(self) -> wire.Note | None:
        """The child's next note, if any; SessionError when it says that it failed, or has died."""
        note = wire.receive(self.line)
        if note is None:
            code = exit_code(self.process)
            if code is not None and not self.line.poll(LAST_NOTE_MS):
                raise SessionError(self._obituary(code))
            return None
        if not isinstance(note, wire.Note):
            raise SessionError(f"Process {self.name!r} sent {type(note).__name__}, not a note.")
        if note.kind == "failed":
            raise SessionError(str(note.values["sentence"]))
        return note

    def _obituary(self, code: int) -> str:
        lines = self._log_path.read_text(errors="replace").strip().splitlines()
        last_words = f" Its last words: {lines[-1][:300]}" if lines else ""
        return f"Process {self.name!r} {_manner(code)}.{last_words}"

    def ask_to_end(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # dead already, or asked before
            self.process.stdin.write(QUIT)
            self.process.stdin.close()

    def end(self, *, timeout_s: float) -> None:
        """Asks, then insists; one that is suspended cannot hear. Returns when it is gone."""
        self.ask_to_end()
        try:
            self.process.wait(0 if is_suspended(self.process.pid) else timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.line.close()


def exit_code(process: subprocess.Popen) -> int | None:
    """Of a process that has ended, negative for a signal; None while it lives.

    It has ended when its main thread has. The kernel tells a parent only after the last thread, and
    on busy cores one of least priority (Mesa has such) can take seconds to die of SIGKILL.
    """
    if (code := process.poll()) is not None:
        return code
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return process.poll()
    state, *_, wait_status = stat.rpartition(")")[2].split()
    return os.waitstatus_to_exitcode(int(wait_status)) if state == "Z" else None


def is_suspended(process_id: int) -> bool:
    """Whether somebody has stopped the process (SIGSTOP, a debugger): it is there, but asleep."""
    try:
        return psutil.Process(process_id).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def _manner(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
