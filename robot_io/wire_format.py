"""How a message becomes bytes and back: one table of messages per format, strict types.

A message is a flat msgpack map with a `type` and the fields of one class; an array is
`{"dtype", "shape", "data"}`. There are no extension types and no objects. Decoding checks sizes
before it allocates, and refuses whatever it does not know.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgpack
import numpy as np

from robot_io.errors import FeelforwardError

MAX_TEXT = 2000
MAX_ENTRIES = 256  # of a map or list
MAX_SIZE = 1 << 20  # of one dimension of an array
MAX_ROWS = 4096


class WireError(FeelforwardError):
    """A message or an endpoint that is not what it must be."""


# ---- checks of single values: each takes what msgpack gave and returns the value, or raises


def whole(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise WireError(f"got {value!r:.60}, allowed a whole number of 64 bits")
    return value


def optional_whole(value: object) -> int | None:
    return None if value is None else whole(value)


def positive(value: object) -> int:
    if (number := whole(value)) <= 0:
        raise WireError(f"got {number}, allowed above 0")
    return number


def text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise WireError(f"got {value!r:.60}, allowed a text of at most {MAX_TEXT} characters")
    return value


def shape_of(value: object, dimensions: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != dimensions:
        raise WireError(f"shape = {value!r:.60}, allowed {dimensions} dimensions")
    if not all(type(n) is int and 0 <= n <= MAX_SIZE for n in value):
        raise WireError(f"shape = {value!r:.60}, allowed sizes in [0, {MAX_SIZE}]")
    return tuple(value)


def pack_array(values: np.ndarray) -> dict[str, object]:
    data = np.ascontiguousarray(values, dtype="<f8")
    return {"dtype": "<f8", "shape": list(data.shape), "data": data.tobytes()}


def array(value: object, dimensions: int) -> np.ndarray:
    """A private float64 array; only `<f8` travels."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data"}:
        raise WireError(f"got {value!r:.60}, allowed a map of dtype, shape and data")
    dtype, data = value["dtype"], value["data"]
    if dtype != "<f8":
        raise WireError(f"dtype = {dtype!r:.60}, allowed '<f8'")
    shape = shape_of(value["shape"], dimensions)
    if not isinstance(data, bytes) or len(data) != 8 * math.prod(shape):
        raise WireError(f"shape = {list(shape)}: the data have another length")
    return np.frombuffer(data, "<f8").reshape(shape).copy()


def row(value: object) -> np.ndarray:
    return array(value, 1)


def rows(value: object) -> np.ndarray:
    rows_HD = array(value, 2)
    if not 1 <= rows_HD.shape[0] <= MAX_ROWS or rows_HD.shape[1] < 1:
        raise WireError(f"shape = {rows_HD.shape}, allowed [1, {MAX_ROWS}] rows")
    return rows_HD


# ---- tables of messages


class Part(NamedTuple):
    """A field of a message: how what was read is checked, how what is sent is packed."""

    check: Callable[[object], object]
    pack: Callable[[Any], object] = lambda value: value


WHOLE = Part(whole)
POSITIVE = Part(positive)
TEXT = Part(text)
ROW = Part(row, pack_array)
ROWS = Part(rows, pack_array)

MessageT = TypeVar("MessageT")


class Format(Generic[MessageT]):
    """Messages of the classes in a table `name -> (class, fields)`, of at most `max_bytes`."""

    def __init__(
        self, table: Mapping[str, tuple[type, Mapping[str, Part]]], *, max_bytes: int
    ) -> None:
        self._table = table
        self._names = {kind: name for name, (kind, _) in table.items()}
        self._max_bytes = max_bytes

    def encode(self, message: MessageT) -> bytes:
        """The message as bytes; WireError when it is too large to be read again."""
        name = self._names[type(message)]
        parts = self._table[name][1]
        fields = {key: part.pack(getattr(message, key)) for key, part in parts.items()}
        data = bytes(msgpack.packb({"type": name, **fields}, use_bin_type=True) or b"")
        if len(data) > self._max_bytes:
            raise WireError(f"Message {name!r} has {len(data)} bytes, allowed {self._max_bytes}.")
        return data

    def decode(self, data: bytes) -> MessageT:
        """The message in these bytes; WireError when they are not exactly one known message."""
        content = self._unpack(data)
        name = content.pop("type", None)
        if not isinstance(name, str) or name not in self._table:
            raise WireError(f"Message type = {name!r:.60}, allowed {', '.join(self._table)}.")
        kind, parts = self._table[name]
        if content.keys() != parts.keys():
            raise WireError(
                f"Message {name!r} has fields {list(content)!r:.200}, allowed {list(parts)}."
            )
        values = {}
        for key, part in parts.items():
            try:
                values[key] = part.check(content[key])
            except WireError as error:
                raise WireError(f"Message {name!r}, {key}: {error}.") from None
        return kind(**values)

    def _unpack(self, data: bytes) -> dict[str, object]:
        if len(data) > self._max_bytes:
            raise WireError(f"Message of {len(data)} bytes, allowed {self._max_bytes}.")
        try:
            content = msgpack.unpackb(
                data,
                raw=False,
                strict_map_key=True,
                max_str_len=MAX_TEXT * 4,
                max_bin_len=self._max_bytes,
                max_array_len=MAX_ENTRIES,
                max_map_len=MAX_ENTRIES,
                max_ext_len=0,
            )
        except (ValueError, msgpack.UnpackException, RecursionError) as error:
            raise WireError(f"Message is not msgpack as agreed ({error}).") from None
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise WireError(f"Message is a {type(content).__name__}, allowed a map with text keys.")
        return content
