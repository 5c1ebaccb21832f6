"""The one place of a session on disk: a private directory in memory that never outlives it.

Rings, sockets and logs lie in it. It is locked while its owner lives. A killed session's children
remove it; when those were killed too, the next session does.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "feelforward-"
SHARED_MEMORY = Path("/dev/shm")


def line_path(directory: Path | str, name: str) -> Path:
    """Where the session and its child `name` talk."""
    return Path(directory) / f"{name}.sock"


def inbox_path(directory: Path | str) -> Path:
    """Where the control process takes chunks and stops."""
    return Path(directory) / "inbox.sock"


def feedback_path(directory: Path | str) -> Path:
    """Where the control process publishes arm states, verdicts, sent commands, accepted chunks."""
    return Path(directory) / "feedback.sock"


def camera_path(directory: Path | str, stream: str) -> Path:
    """The ring of a camera's frames."""
    return Path(directory) / f"camera_{stream}.ring"


def world_path(directory: Path | str) -> Path:
    """The ring of a simulated world's snapshots."""
    return Path(directory) / "world.ring"


def record_path(directory: Path | str) -> Path:
    """Where the control process leaves the record of an episode for the session to fetch."""
    return Path(directory) / "episode.npz"


@contextmanager
def session_directory() -> Iterator[Path]:
    """A new directory, mode 0700, removed at the end."""
    writable = os.access(SHARED_MEMORY, os.W_OK)
    root = SHARED_MEMORY if writable else Path(tempfile.gettempdir())
    remove_leftovers(root)
    draft = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=root))
    lock = _lock(draft)
    path = draft.rename(root / draft.name.removeprefix("."))  # locked before it can be swept
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(root: Path) -> None:
    """Removes the directories of this user's sessions that nobody alive owns."""
    for path in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if path.stat().st_uid == os.getuid() and (lock := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(path: Path) -> int | None:
    """A file number that holds the directory's lock, or None when somebody alive has it."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file
