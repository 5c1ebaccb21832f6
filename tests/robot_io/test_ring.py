"""Rings: newest wins, nothing torn, nobody's death hurts the others."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robot_io import ring
from robot_io.ring import RingError, RingReader, RingWriter, frame_of

SHAPE = (96, 96, 3)
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wrist.ring"


def image(value: int) -> np.ndarray:
    return np.full(SHAPE, value % 256, np.uint8)


def write(writer: RingWriter, number: int) -> None:
    writer.write(image(number), exposed_ns=number, received_ns=number + 1, sequence=number)


def test_a_reader_gets_the_newest_record_once(path: Path) -> None:
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer, RingReader(path) as reader:
        assert reader.newest() is None
        for number in (1, 2, 3):
            write(writer, number)
        sample = reader.newest()
        assert sample is not None
        assert (sample.sequence, sample.exposed_ns, sample.received_ns) == (3, 3, 4)
        assert (sample.values == 3).all()
        assert reader.newest() is None
        latest = reader.latest()
        assert latest is not None
        assert latest.sequence == 3


def test_unseen_records_come_oldest_first_as_far_as_they_are_still_there(path: Path) -> None:
    ring_of_four = RingWriter(path, shape=(2,), dtype=np.float64, slots=4)
    with ring_of_four as writer, RingReader(path) as reader:
        for number in range(10):
            values = np.full(2, number, np.float64)
            writer.write(values, exposed_ns=number, received_ns=number, sequence=number)
        assert [s.sequence for s in reader.unseen()] == [6, 7, 8, 9]
        assert reader.unseen() == []


def test_a_sample_is_a_private_copy(path: Path) -> None:
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer, RingReader(path) as reader:
        write(writer, 1)
        sample = reader.newest()
        assert sample is not None
        for number in range(2, 20):
            write(writer, number)
        assert (sample.values == 1).all()


def test_frames_keep_their_stamps(path: Path) -> None:
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer, RingReader(path) as reader:
        write(writer, 7)
        sample = reader.newest()
        assert sample is not None
        frame = frame_of("wrist", sample)
        assert (frame.stream, frame.sequence, frame.exposed_ns, frame.received_ns) == (
            "wrist",
            7,
            7,
            8,
        )


def test_a_wrong_shape_or_dtype_is_refused(path: Path) -> None:
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer:
        with pytest.raises(ValueError, match="allowed uint8"):
            writer.write(np.zeros(SHAPE), exposed_ns=0, received_ns=0, sequence=0)
        with pytest.raises(ValueError, match="allowed uint8"):
            writer.write(np.zeros((1, 2), np.uint8), exposed_ns=0, received_ns=0, sequence=0)


def test_a_second_writer_is_refused_while_the_first_lives(path: Path) -> None:
    first = RingWriter(path, shape=SHAPE, dtype=np.uint8)
    with first, pytest.raises(RingError, match="already has a writer"):
        RingWriter(path, shape=SHAPE, dtype=np.uint8)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 128, b"FFRING01" + b"\xff" * 200])
def test_a_foreign_file_is_refused_in_one_sentence(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RingError, match="Cannot attach to ring"):
        RingReader(path)


def test_a_missing_ring_is_waited_for_and_then_named(path: Path) -> None:
    with pytest.raises(RingError, match=r"wrist\.ring did not appear within 0\.01 s"):
        RingReader.attach(path, timeout_s=0.01)


def test_a_record_under_the_writers_pen_is_never_returned(path: Path) -> None:
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer, RingReader(path) as reader:
        write(writer, 1)
        at = writer._mapped.slot_of(1)[0]
        writer._mapped.words[at] = 2 * 9 - 1  # record 9 begins in the slot of record 1
        assert reader.newest() is None


def test_where_stores_are_not_ordered_a_checksum_finds_torn_records(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "STORES_ARE_ORDERED", False)
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer, RingReader(path) as reader:
        write(writer, 1)
        assert reader.latest() is not None
        writer._mapped.slot_of(1)[1][50, 50, 0] = 99  # values that arrive late
        assert reader.latest() is None


def _hammer(path: Path) -> None:
    number = 0
    with RingWriter(path, shape=SHAPE, dtype=np.uint8, slots=2) as writer:
        while True:
            number += 1
            write(writer, number)


@pytest.fixture
def hammer(path: Path) -> Iterator[Callable[[], int]]:
    """Starts a process that writes as fast as it can; returns its id."""
    children = []

    def start() -> int:
        child = SPAWN.Process(target=_hammer, args=(path,), daemon=True)
        child.start()
        children.append(child)
        assert child.pid is not None
        return child.pid

    yield start
    for child in children:
        child.kill()
        child.join()


def test_no_torn_record_under_a_hammering_writer_even_when_it_is_killed(
    path: Path, hammer: Callable[[], int]
) -> None:
    writer_id = hammer()
    samples = 0
    with RingReader.attach(path, timeout_s=20) as reader:
        newest = 0
        while samples < 200:
            sample = reader.newest()
            if sample is None:
                continue
            samples += 1
            assert sample.sequence > newest
            newest = sample.sequence
            assert (sample.values == sample.sequence % 256).all()
            assert sample.exposed_ns == sample.sequence

        os.kill(writer_id, signal.SIGKILL)
        os.waitpid(writer_id, 0)
        reader.unseen()
        assert reader.newest() is None

        with RingWriter(path, shape=SHAPE, dtype=np.uint8, slots=2) as successor:
            write(successor, 5)  # a reader goes on with the next writer of the same ring
        last = reader.newest()
        assert last is not None
        assert (last.values == 5).all()


def _read_for_ever(path: Path) -> None:
    with RingReader(path) as reader:
        while True:
            reader.latest()


def test_a_killed_reader_disturbs_neither_writer_nor_file(path: Path) -> None:
    with RingWriter(path, shape=SHAPE, dtype=np.uint8) as writer:
        write(writer, 1)
        child = SPAWN.Process(target=_read_for_ever, args=(path,), daemon=True)
        child.start()
        time.sleep(0.3)
        child.kill()
        child.join()
        write(writer, 2)
        with RingReader(path) as reader:
            sample = reader.newest()
        assert sample is not None
        assert sample.sequence == 2
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_was_exposed_until_an_instant_can_be_found_again(path: Path) -> None:
    with RingWriter(path, shape=(1,), dtype=np.float64, slots=4) as writer:
        reader = RingReader(path)
        assert reader.newest_until(100) is None
        for number in range(1, 7):
            stamp_ns = 10 * number
            values = np.array([number], np.float64)
            writer.write(values, exposed_ns=stamp_ns, received_ns=stamp_ns, sequence=number)
        found = [reader.newest_until(stamp_ns) for stamp_ns in (29, 30, 45, 99)]
        assert [sample and sample.sequence for sample in found] == [None, 3, 4, 6]
        reader.close()
