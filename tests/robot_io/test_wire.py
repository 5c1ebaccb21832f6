"""The wire: what goes in comes out, and nothing else is believed."""

import contextlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robot_io import wire
from robot_io.types import POLICY, TELEOP, ActionChunk, ArmState, Command, MonoNs, Provenance
from robot_io.wire import HandBack, Note, Stop, TakeOver, WireError, decode, encode

INT64 = st.integers(-(2**63), 2**63 - 1)
STAMP = INT64.map(MonoNs)
ROW = hnp.arrays(np.float64, st.integers(0, 20))
ROWS = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 12)))
TEXT = st.text(max_size=50)
PROVENANCE = st.builds(Provenance, TEXT, st.none() | INT64, st.none() | INT64, st.none() | STAMP)
MESSAGE = st.one_of(
    st.builds(
        ActionChunk,
        INT64,
        STAMP,
        STAMP,
        st.integers(1, 2**62),
        ROWS,
        st.none() | INT64,
        st.sampled_from((POLICY, TELEOP)),
    ),
    st.builds(ArmState, STAMP, ROW, ROW),
    st.builds(Command, INT64, STAMP, ROW, PROVENANCE),
    st.builds(Stop, TEXT),
    st.builds(TakeOver, STAMP),
    st.builds(HandBack, STAMP),
    st.builds(
        Note,
        TEXT,
        st.dictionaries(TEXT, st.booleans() | INT64 | st.floats() | TEXT | ROW, max_size=8),
    ),
)


def same(a: object, b: object) -> bool:
    """Equal in type and value, arrays bit for bit."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float) and isinstance(b, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if hasattr(a, "__dataclass_fields__"):
        names = a.__dataclass_fields__
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in names)
    return type(a) is type(b) and a == b


def chunk(**changes: object) -> ActionChunk:
    fields = {
        "chunk_id": 1,
        "observed_ns": MonoNs(5),
        "start_ns": MonoNs(5),
        "step_ns": 100,
        "row_HD": np.ones((16, 8)),
    }
    return ActionChunk(**{**fields, **changes})


@settings(deadline=None)
@given(MESSAGE)
def test_what_goes_in_comes_out(message: wire.Message) -> None:
    assert same(decode(encode(message)), message)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


@settings(deadline=None)
@given(MESSAGE, st.data())
def test_a_damaged_message_is_refused_or_still_well_typed(
    message: wire.Message, data: st.DataObject
) -> None:
    content = bytearray(encode(message))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        encode(decode(bytes(content)))


def damaged(**changes: object) -> bytes:
    content = msgpack.unpackb(encode(chunk()))
    content.update(changes)
    return msgpack.packb(content)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (damaged(chunk_id=1.5), "chunk_id: got 1.5"),
        (damaged(chunk_id=True), "chunk_id: got True"),
        (damaged(step_ns=0), "step_ns: got 0, allowed above 0"),
        (damaged(source="expert"), "source: got 'expert', allowed 'policy' or 'teleop'"),
        (damaged(source=["teleop"]), "source: got .'teleop'., allowed 'policy'"),
        (damaged(extra=1), "has fields"),
        (damaged(type="pickle"), "allowed chunk"),
        (damaged(row_HD=[[1.0]]), "allowed a map of dtype, shape and data"),
        (damaged(row_HD={"dtype": "|O", "shape": [1, 1], "data": b"x" * 8}), "allowed '<f8'"),
        (damaged(row_HD={"dtype": "<f8", "shape": [2**40, 8], "data": b""}), "allowed sizes"),
        (damaged(row_HD={"dtype": "<f8", "shape": [2, 8], "data": b""}), "another length"),
        (damaged(row_HD={"dtype": "<f8", "shape": [0, 8], "data": b""}), "rows"),
        (damaged(row_HD={"dtype": "<f8", "shape": [8], "data": b""}), "2 dimensions"),
        (damaged(chunk_id=msgpack.ExtType(5, b"x")), "not msgpack as agreed"),
        (damaged(chunk_id=msgpack.Timestamp(5)), "not msgpack as agreed"),
        (b"\x81" + msgpack.packb(1) + msgpack.packb(2), "not msgpack as agreed"),
        (msgpack.packb([1, 2]), "allowed a map"),
        (b"\x91" * 600_000, "not msgpack as agreed"),
        (b"\xdf\xff\xff\xff\xff", "not msgpack as agreed"),
        (b"x" * (wire.MAX_BYTES + 1), "allowed 1048576"),
    ],
)
def test_each_lie_gets_its_own_sentence(data: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words):
        decode(data)


def test_a_message_too_large_to_be_read_is_not_sent() -> None:
    with pytest.raises(WireError, match="allowed 1048576"):
        encode(chunk(row_HD=np.ones((4096, 100))))


def test_an_endpoint_in_use_is_named_and_its_owner_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "chunks.sock"
    with zmq.Context() as context:
        owner = wire.listen(context, zmq.PULL, path)
        with pytest.raises(WireError, match=r"chunks\.sock is in use"):
            wire.listen(context, zmq.PULL, path)
        sender = wire.connect(context, zmq.PUSH, path)
        sender.poll(1000, zmq.POLLOUT)
        assert wire.send(sender, Stop("asked"))
        assert owner.poll(1000)
        assert wire.receive(owner) == Stop("asked")
        context.destroy()


def test_a_leftover_of_a_killed_owner_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "chunks.sock"
    path.touch()
    with zmq.Context() as context:
        wire.listen(context, zmq.PULL, path)
        context.destroy()


def test_an_impossible_endpoint_is_one_sentence(tmp_path: Path) -> None:
    with zmq.Context() as context:
        with pytest.raises(WireError, match="Cannot listen at"):
            wire.listen(context, zmq.PULL, tmp_path / ("long" * 50))
        with pytest.raises(WireError, match="Cannot listen at"):
            wire.listen(context, zmq.PULL, tmp_path / "missing" / "a.sock")
        context.destroy()


def test_a_full_queue_drops_and_never_blocks(tmp_path: Path) -> None:
    with zmq.Context() as context:
        sender = wire.connect(context, zmq.PUSH, tmp_path / "nobody.sock")
        sent = [wire.send(sender, Stop("asked")) for _ in range(2 * wire.QUEUE)]
        assert sent == [True] * wire.QUEUE + [False] * wire.QUEUE
        assert wire.receive(wire.connect(context, zmq.PULL, tmp_path / "nobody.sock")) is None
        context.destroy()
