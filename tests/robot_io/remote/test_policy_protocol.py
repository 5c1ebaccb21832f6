"""The protocol: what goes in comes out, and whatever else arrives is a WireError at worst."""

import contextlib
import zlib

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from policy_parts import observation
from test_wire import same

from robot_io.remote.images import MAX_SIDE_PX, pack_images, unpack_images
from robot_io.remote.protocol import (
    MAX_BYTES,
    NONCE_BYTES,
    REPLIES,
    REQUESTS,
    Ask,
    Bye,
    Failure,
    Hello,
    Ping,
    Plan,
    Pong,
    Refusal,
    Welcome,
)
from robot_io.types import Leftover, Observation
from robot_io.wire_format import Format, WireError

INT64 = st.integers(-(2**63), 2**63 - 1)
ABOVE_0 = st.integers(1, 2**63 - 1)
NONCE = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
TEXT = st.text(max_size=30)
ROWS = hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 9)))
STEPS = st.dictionaries(TEXT, st.integers(1, 64), max_size=4)
IMAGES = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
)
LEFTOVER = st.none() | ROWS.flatmap(
    lambda row_KD: st.builds(Leftover, st.just(row_KD), st.integers(0, len(row_KD)))
)
OBSERVATION = st.builds(
    Observation,
    INT64,
    st.dictionaries(TEXT, ROWS, max_size=3),
    st.dictionaries(TEXT, IMAGES, max_size=3),
    LEFTOVER,
)
REQUEST = st.one_of(
    st.builds(Hello, ABOVE_0, NONCE, NONCE),
    st.builds(Ask, NONCE, ABOVE_0, INT64, INT64, OBSERVATION),
    st.builds(Ping, NONCE, ABOVE_0),
    st.builds(Bye, NONCE, ABOVE_0),
)
REPLY = st.one_of(
    st.builds(Welcome, NONCE, NONCE, ABOVE_0, ABOVE_0, STEPS, STEPS),
    st.builds(Refusal, NONCE, TEXT),
    st.builds(Plan, NONCE, ABOVE_0, INT64, INT64, ROWS),
    st.builds(Failure, NONCE, ABOVE_0, TEXT),
    st.builds(Pong, NONCE, ABOVE_0, INT64, INT64),
)
MESSAGE = REQUEST.map(lambda x: (REQUESTS, x)) | REPLY.map(lambda x: (REPLIES, x))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT | NONCE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(MESSAGE)
def test_what_goes_in_comes_out(case: tuple[Format, object]) -> None:
    form, message = case
    assert same(form.decode(form.encode(message)), message)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    for form in (REQUESTS, REPLIES):
        with pytest.raises(WireError):
            form.decode(data)


@settings(deadline=None)
@given(MESSAGE, st.data())
def test_a_damaged_message_is_refused_or_still_well_typed(
    case: tuple[Format, object], data: st.DataObject
) -> None:
    form, message = case
    content = bytearray(form.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for mutated in (bytes(content), bytes(content[:cut]), bytes(content) + b"\x00"):
        with contextlib.suppress(WireError):
            form.encode(form.decode(mutated))


@settings(deadline=None)
@given(MESSAGE, st.data())
def test_a_field_of_any_other_content_is_refused_or_well_typed(
    case: tuple[Format, object], data: st.DataObject
) -> None:
    form, message = case
    content = msgpack.unpackb(form.encode(message))
    place = content
    while True:
        key = data.draw(st.sampled_from(sorted(place, key=str)))
        if not (isinstance(place[key], dict) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(PLAIN)
    with contextlib.suppress(WireError):
        form.encode(form.decode(msgpack.packb(content)))


NONCE_1 = b"n" * NONCE_BYTES


def lying(**changes: object) -> bytes:
    """A request whose observation is not what it must be."""
    content = msgpack.unpackb(REQUESTS.encode(Ask(NONCE_1, 1, 1, 1, observation())))
    content["observation"].update(changes)
    return msgpack.packb(content)


def image(shape: list[object], data: object = b"") -> dict[str, object]:
    return {"wrist": {"shape": shape, "data": data}}


ROW_13 = {"dtype": "<f8", "shape": [1, 3], "data": bytes(24)}
BIG = [MAX_SIDE_PX, MAX_SIDE_PX, 3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lying(images=image([1, MAX_SIDE_PX + 1, 9, 3])), "images of 1 to 2048 px"),
        (lying(images=image([1, 9, 9, 2])), "channels"),
        (lying(images=image([0, 9, 9, 3])), "allowed 1 to 16 images"),
        (lying(images=image([2**40, 9, 9, 3])), "allowed sizes"),
        (lying(images=image([True, 9, 9, 3])), "allowed sizes"),
        (lying(images=image([2, *BIG])), "allowed 16777216 together"),
        (lying(images={**image([1, *BIG]), **{"b": image([1, *BIG])["wrist"]}}), "together"),
        (lying(images=image([1, 2, 2, 1], b"raw.")), "images are damaged"),
        (lying(images=image([1, 2, 2, 1], "text")), "images are damaged"),
        (lying(images=image([1, 2, 2, 1], zlib.compress(bytes(3)))), "another length"),
        (lying(images=image([1, 2, 2, 1], zlib.compress(bytes(10**6)))), "another length"),
        (lying(images=image([1, 2, 2, 1], zlib.compress(bytes(4)) + b"x")), "another length"),
        (lying(images=image([1, 2, 2, 1], zlib.compress(bytes(4))[:-1])), "another length"),
        (lying(images={str(k): 0 for k in range(17)}), "at most 16 streams"),
        (lying(vectors={"measured": [[1.0]]}), "allowed a map of dtype, shape and data"),
        (lying(leftover={"row_KD": 1}), "fields of Leftover"),
        (lying(leftover={"row_KD": ROW_13, "delay_rows": 2}), r"delay_rows = 2, allowed \[0, 1\]"),
        (lying(leftover={"row_KD": ROW_13, "delay_rows": -1}), "delay_rows = -1"),
        (REQUESTS.encode(Ping(b"short", 1)), "allowed 16 bytes"),
        (REQUESTS.encode(Ping(NONCE_1, 0)), "allowed above 0"),
        (lying(more=1), "fields of Observation"),
        (lying(observed_ns=1.0), "whole number"),
        (lying(observed_ns=msgpack.ExtType(5, b"x")), "not msgpack as agreed"),
        (b"x" * (MAX_BYTES + 1), "allowed 8388608"),
        (REPLIES.encode(Refusal(NONCE_1, "no")), "allowed hello, ask, ping, bye"),
    ],
)
def test_each_lie_gets_its_own_sentence(data: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words):
        REQUESTS.decode(data)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self._inflate = real()

        def decompress(self, data: bytes, limit: int) -> bytes:
            asked.append(limit)
            return self._inflate.decompress(data, limit)

        eof, unused_data = False, b""

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(WireError, match="another length"):
        unpack_images({"shape": [1, 2, 2, 1], "data": zlib.compress(bytes(10**8))})
    assert asked == [5]


def test_a_request_too_large_to_be_read_is_not_sent() -> None:
    image_THWC = np.random.default_rng(0).integers(0, 256, (16, 512, 512, 3), np.uint8)
    big = Observation(observation().observed_ns, {}, {"scene": image_THWC})
    with pytest.raises(WireError, match="allowed 8388608"):
        REQUESTS.encode(Ask(NONCE_1, 1, 1, 1, big))


def test_what_is_no_image_is_not_packed() -> None:
    for bad in (np.zeros((2, 2, 3), np.uint8), np.zeros((1, 2, 2, 3))):
        with pytest.raises(WireError, match="of uint8"):
            pack_images(bad)
