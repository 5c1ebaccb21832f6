"""Shared memory between one writer and any number of readers: the newest records, never torn.

A ring is a plain file, mapped by both sides. It lies in the session's directory in `/dev/shm`, so
whoever owns that directory can remove everything, also after children were killed (segments of
`multiprocessing.shared_memory` are unlinked by the first attached process that exits).

    header 128 B | slot 0 | slot 1 | ...        record n (1, 2, ...) lies in slot n % slots
    slot: lock, sequence, exposed_ns, received_ns, checksum (int64 each), values

Each slot is a sequence lock: 2n - 1 while record n is being written, 2n when it is complete. A
reader copies and keeps the copy only if the lock said 2n before and after. The order of stores
that this needs is what x86-64 guarantees; other processors also get a checksum over each record.
"""

import contextlib
import fcntl
import mmap
import os
import platform
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.types import Frame, MonoNs

POLL_NS = NS_PER_MS
STORES_ARE_ORDERED = platform.machine() in ("x86_64", "AMD64")

_MAGIC = b"FFRING01"
_HEADER = struct.Struct("<8s8sQQ4Q")  # magic, dtype, slots, dimensions, shape padded with zeros
_HEADER_BYTES = 128
_COUNT_WORD = _HEADER_BYTES // 8 - 1  # number of complete records, in the header's last word
_LOCK, _SEQUENCE, _EXPOSED, _RECEIVED, _CHECKSUM = range(5)
_SLOT_HEAD_BYTES = 64
_MAX_BYTES = 1 << 30
_DTYPES = ("|u1", "<u2", "<f4", "<f8", "<i8")


class RingError(FeelforwardError):
    """A ring that cannot be made or attached."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A private copy of one record."""

    sequence: int
    exposed_ns: MonoNs
    received_ns: MonoNs
    values: np.ndarray


def frame_of(stream: str, sample: Sample) -> Frame:
    return Frame(stream, sample.sequence, sample.exposed_ns, sample.received_ns, sample.values)


@dataclass(frozen=True, slots=True)
class _Layout:
    dtype: np.dtype
    shape: tuple[int, ...]
    slots: int

    def __post_init__(self) -> None:
        if self.dtype.str not in _DTYPES:
            raise ValueError(f"dtype = {self.dtype.str}, allowed {', '.join(_DTYPES)}")
        if not 1 <= len(self.shape) <= 4 or not all(n >= 1 for n in self.shape):
            raise ValueError(f"shape = {self.shape}, allowed 1 to 4 dimensions of at least 1")
        if not 2 <= self.slots <= 65536:
            raise ValueError(f"slots = {self.slots}, allowed [2, 65536]")
        if self.total_bytes > _MAX_BYTES:
            raise ValueError(f"ring of {self.total_bytes} bytes, allowed {_MAX_BYTES}")

    @property
    def values_bytes(self) -> int:
        n = self.dtype.itemsize
        for size in self.shape:
            n *= size
        return n

    @property
    def slot_bytes(self) -> int:
        return _SLOT_HEAD_BYTES + -(-self.values_bytes // 64) * 64

    @property
    def total_bytes(self) -> int:
        return _HEADER_BYTES + self.slots * self.slot_bytes

    def pack(self) -> bytes:
        shape = (*self.shape, 0, 0, 0, 0)[:4]
        dtype = self.dtype.str.encode()
        return _HEADER.pack(_MAGIC, dtype, self.slots, len(self.shape), *shape)

    @classmethod
    def unpack(cls, data: bytes) -> "_Layout":
        """The layout in a header; ValueError when it is not one."""
        if len(data) < _HEADER.size:
            raise ValueError("header cut short")
        magic, dtype, slots, dimensions, *shape = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError("not a ring")
        name = dtype.rstrip(b"\0").decode("ascii", "replace")
        if name not in _DTYPES:
            raise ValueError(f"dtype {name!r}")
        return cls(np.dtype(name), tuple(shape[:dimensions]), slots)


class _Mapped:
    """A ring's file in this process's memory. Offsets in words are of 8 bytes."""

    def __init__(self, file_number: int, layout: _Layout, *, writable: bool) -> None:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.layout = layout
        self._mmap = mmap.mmap(file_number, layout.total_bytes, access=access)
        self._bytes = memoryview(self._mmap)
        self.words = self._bytes.cast("q")
        self._values = [self._values_at(slot) for slot in range(layout.slots)]

    def _values_at(self, slot: int) -> np.ndarray:
        start = _HEADER_BYTES + slot * self.layout.slot_bytes + _SLOT_HEAD_BYTES
        raw = self._bytes[start : start + self.layout.values_bytes]
        return np.frombuffer(raw, self.layout.dtype).reshape(self.layout.shape)

    def slot_of(self, record: int) -> tuple[int, np.ndarray]:
        """The index of the slot's first word and its values, in place."""
        slot = record % self.layout.slots
        return (_HEADER_BYTES + slot * self.layout.slot_bytes) // 8, self._values[slot]

    @property
    def count(self) -> int:
        return self.words[_COUNT_WORD]

    def close(self) -> None:
        self._values.clear()
        self.words.release()
        self._bytes.release()
        self._mmap.close()


def _checksum(head: Sequence[int], values: np.ndarray) -> int:
    if STORES_ARE_ORDERED:
        return 0
    return zlib.crc32(np.ascontiguousarray(values).data, zlib.crc32(struct.pack("<3q", *head)))


class RingWriter:
    """The one writer. Attaches to a ring of the same layout where a dead writer left one.

    >>> with RingWriter(path, shape=(96, 96, 3), dtype=np.uint8) as ring:
    ...     ring.write(image, exposed_ns=1, received_ns=2, sequence=0)
    """

    def __init__(
        self, path: Path | str, *, shape: tuple[int, ...], dtype: type | str, slots: int = 8
    ) -> None:
        self.path = Path(path)
        layout = _Layout(np.dtype(dtype), tuple(shape), slots)
        self._file = _open_for_writing(self.path, layout)
        self._mapped = _Mapped(self._file, layout, writable=True)
        self._closed = False

    def write(
        self, values: np.ndarray, *, exposed_ns: int, received_ns: int, sequence: int
    ) -> None:
        """Copies `values` into the oldest slot. Never waits for a reader."""
        layout = self._mapped.layout
        if values.shape != layout.shape or values.dtype != layout.dtype:
            raise ValueError(
                f"{self.path.name}: got {values.dtype} {values.shape}, "
                f"allowed {layout.dtype} {layout.shape}"
            )
        words, record = self._mapped.words, self._mapped.count + 1
        at, slot_values = self._mapped.slot_of(record)
        words[at + _LOCK] = 2 * record - 1
        words[at + _SEQUENCE] = sequence
        words[at + _EXPOSED] = exposed_ns
        words[at + _RECEIVED] = received_ns
        words[at + _CHECKSUM] = _checksum((sequence, exposed_ns, received_ns), values)
        np.copyto(slot_values, values)
        words[at + _LOCK] = 2 * record
        words[_COUNT_WORD] = record

    def close(self) -> None:
        """Leaves the file: readers may still look at it. The directory's owner removes it."""
        if not self._closed:
            self._closed = True
            self._mapped.close()
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class RingReader:
    """One of any number of readers. It never writes, so its death disturbs nobody."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise RingError(f"Cannot attach to ring {self.path}: {error.strerror}.") from None
        try:
            layout = _Layout.unpack(os.read(file, _HEADER_BYTES))
            if os.fstat(file).st_size != layout.total_bytes:
                raise ValueError("length does not fit its header")
            self._mapped = _Mapped(file, layout, writable=False)
        except ValueError as error:
            raise RingError(f"Cannot attach to ring {self.path}: {error}.") from None
        finally:
            os.close(file)
        self._seen = 0
        self._closed = False

    @classmethod
    def attach(cls, path: Path | str, *, timeout_s: float) -> "RingReader":
        """Waits until the writer has made the ring."""
        clock = MonotonicClock()
        end_ns = clock.now_ns() + int(timeout_s * NS_PER_S)
        while not Path(path).exists():
            if clock.now_ns() > end_ns:
                raise RingError(f"Ring {path} did not appear within {timeout_s:g} s.")
            clock.sleep_until(clock.now_ns() + POLL_NS)
        return cls(path)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._mapped.layout.shape

    def newest(self) -> Sample | None:
        """The newest record, unless it was returned before."""
        return self._read_newest(after=self._seen)

    def latest(self) -> Sample | None:
        """The newest record, returned before or not; None while there is none."""
        return self._read_newest(after=0)

    def newest_until(self, exposed_ns: int) -> Sample | None:
        """The newest record exposed at or before an instant, returned before or not."""
        count = self._mapped.count
        for record in range(count, max(count - self._mapped.layout.slots, 0), -1):
            at, _ = self._mapped.slot_of(record)
            if self._mapped.words[at + _EXPOSED] <= exposed_ns:
                sample = self._read(record)
                return sample if sample is None or sample.exposed_ns <= exposed_ns else None
        return None

    def unseen(self) -> list[Sample]:
        """Every record not returned before that is still there, oldest first."""
        count = self._mapped.count
        first = max(self._seen + 1, count - self._mapped.layout.slots + 1)
        samples = [self._read(record) for record in range(first, count + 1)]
        self._seen = max(self._seen, count)
        return [sample for sample in samples if sample is not None]

    def wait(self, timeout_s: float) -> Sample | None:
        """`newest()`, asked every millisecond until there is one or the time is over."""
        clock = MonotonicClock()
        end_ns = clock.now_ns() + int(timeout_s * NS_PER_S)
        while (sample := self.newest()) is None and clock.now_ns() < end_ns:
            clock.sleep_until(clock.now_ns() + POLL_NS)
        return sample

    def skip_to_now(self) -> None:
        """Counts everything written so far as seen."""
        self._seen = max(self._seen, self._mapped.count)

    def _read_newest(self, *, after: int) -> Sample | None:
        for _ in range(self._mapped.layout.slots):  # again only if lapped during the copy
            record = self._mapped.count
            if record <= after:
                return None
            if (sample := self._read(record)) is not None:
                self._seen = max(self._seen, record)
                return sample
        return None

    def _read(self, record: int) -> Sample | None:
        """A copy of that record, or None when the writer has touched its slot since."""
        words = self._mapped.words
        at, slot_values = self._mapped.slot_of(record)
        if words[at + _LOCK] != 2 * record:
            return None
        sequence, exposed_ns, received_ns, checksum = words[at + _SEQUENCE : at + _CHECKSUM + 1]
        values = slot_values.copy()
        if words[at + _LOCK] != 2 * record:
            return None
        if checksum != _checksum((sequence, exposed_ns, received_ns), values):
            return None
        return Sample(sequence, MonoNs(exposed_ns), MonoNs(received_ns), values)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _open_for_writing(path: Path, layout: _Layout) -> int:
    """A locked file number of a ring with this layout: the existing one, or a new one."""
    with contextlib.suppress(FileNotFoundError):
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        _lock(file, path)
        if _is_ring(file, layout):
            return file
        os.close(file)
    return _create(path, layout)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise RingError(f"Ring {path} already has a writer. End the other session first.") from None


def _is_ring(file: int, layout: _Layout) -> bool:
    head = os.pread(file, _HEADER.size, 0)
    return head == layout.pack() and os.fstat(file).st_size == layout.total_bytes


def _create(path: Path, layout: _Layout) -> int:
    """Makes the file beside its place and moves it in: nobody attaches to half a ring."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, layout.total_bytes)  # full memory: an error, not a SIGBUS
    except OSError as error:
        os.close(file)
        draft.unlink()
        size_mb = layout.total_bytes / 1e6
        raise RingError(f"No room for ring {path} of {size_mb:.1f} MB: {error.strerror}.") from None
    _lock(file, path)
    os.pwrite(file, layout.pack(), 0)
    draft.replace(path)
    return file
