"""Messages between processes: ZMQ sockets that never block, msgpack maps with strict types.

A message is a flat map with a `type` and the fields of one class of `robot_io.types`; an array is
`{"dtype", "shape", "data"}`. There are no extension types and no objects. Decoding checks sizes
before it allocates, and refuses whatever it does not know.
"""

import math
import socket as unix
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import zmq

from robot_io.errors import FeelforwardError
from robot_io.types import ActionChunk, ArmState, Command, MonoNs, Provenance

MAX_BYTES = 1 << 20
MAX_TEXT = 2000
MAX_ENTRIES = 256  # of a Note
MAX_ROWS = 4096
QUEUE = 64  # messages that wait on either side; further ones are dropped
FEEDBACK_QUEUE = 4096  # the same for PUB and SUB: what happens during 20 s of inference


class WireError(FeelforwardError):
    """A message or an endpoint that is not what it must be."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asks the control process for a latched stop."""

    reason: str


NoteValue = bool | int | float | str | np.ndarray


@dataclass(frozen=True, slots=True)
class Note:
    """What a session and its processes tell each other: a kind and plain values."""

    kind: str
    values: Mapping[str, NoteValue] = field(default_factory=dict)  # arrays are float64 (N,)


Message = ActionChunk | ArmState | Command | Stop | Note


# ---- checks of single values: each takes what msgpack gave and returns the value, or raises


def _int(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise WireError(f"got {value!r:.60}, allowed a whole number of 64 bits")
    return value


def _optional_int(value: object) -> int | None:
    return None if value is None else _int(value)


def _positive_int(value: object) -> int:
    if (number := _int(value)) <= 0:
        raise WireError(f"got {number}, allowed above 0")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise WireError(f"got {value!r:.60}, allowed a text of at most {MAX_TEXT} characters")
    return value


def _pack_array(values: np.ndarray) -> dict[str, object]:
    data = np.ascontiguousarray(values, dtype="<f8")
    return {"dtype": "<f8", "shape": list(data.shape), "data": data.tobytes()}


def _array(value: object, dimensions: int) -> np.ndarray:
    """A private float64 array; only `<f8` travels."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data"}:
        raise WireError(f"got {value!r:.60}, allowed a map of dtype, shape and data")
    dtype, shape, data = value["dtype"], value["shape"], value["data"]
    if dtype != "<f8":
        raise WireError(f"dtype = {dtype!r:.60}, allowed '<f8'")
    if not isinstance(shape, list) or len(shape) != dimensions:
        raise WireError(f"shape = {shape!r:.60}, allowed {dimensions} dimensions")
    if not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
        raise WireError(f"shape = {shape!r:.60}, allowed sizes in [0, {MAX_BYTES}]")
    if not isinstance(data, bytes) or len(data) != 8 * math.prod(shape):
        raise WireError(f"shape = {shape}: the data have another length")
    return np.frombuffer(data, "<f8").reshape(shape).copy()


def _row(value: object) -> np.ndarray:
    return _array(value, 1)


def _rows(value: object) -> np.ndarray:
    rows_HD = _array(value, 2)
    if not 1 <= rows_HD.shape[0] <= MAX_ROWS or rows_HD.shape[1] < 1:
        raise WireError(f"shape = {rows_HD.shape}, allowed [1, {MAX_ROWS}] rows")
    return rows_HD


def _pack_provenance(value: Provenance) -> dict[str, object]:
    return {name: getattr(value, name) for name in Provenance.__dataclass_fields__}


def _provenance(value: object) -> Provenance:
    if not isinstance(value, dict) or value.keys() != Provenance.__dataclass_fields__.keys():
        raise WireError(f"got {value!r:.60}, allowed the fields of Provenance")
    observed_ns = _optional_int(value["observed_ns"])
    return Provenance(
        source=_text(value["source"]),
        chunk_id=_optional_int(value["chunk_id"]),
        row=_optional_int(value["row"]),
        observed_ns=None if observed_ns is None else MonoNs(observed_ns),
    )


def _pack_note(values: Mapping[str, NoteValue]) -> dict[str, object]:
    return {k: _pack_array(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _note_values(value: object) -> dict[str, NoteValue]:
    if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
        raise WireError(f"got {value!r:.60}, allowed a map of at most {MAX_ENTRIES} entries")
    return {_text(name): _note_value(entry) for name, entry in value.items()}


def _note_value(value: object) -> NoteValue:
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return _int(value)
    return _row(value) if isinstance(value, dict) else _text(value)


# ---- one table says what each message is made of


class _Part(NamedTuple):
    check: Callable[[object], object]
    pack: Callable[[Any], object] = lambda value: value


_ROW = _Part(_row, _pack_array)
_INT = _Part(_int)
_TEXT = _Part(_text)

_MESSAGES: dict[str, tuple[type, dict[str, _Part]]] = {
    "chunk": (
        ActionChunk,
        {
            "chunk_id": _INT,
            "observed_ns": _INT,
            "start_ns": _INT,
            "step_ns": _Part(_positive_int),
            "row_HD": _Part(_rows, _pack_array),
        },
    ),
    "arm_state": (ArmState, {"stamp_ns": _INT, "row_D": _ROW, "joint_rad_J": _ROW}),
    "command": (
        Command,
        {
            "sequence": _INT,
            "due_ns": _INT,
            "row_D": _ROW,
            "provenance": _Part(_provenance, _pack_provenance),
        },
    ),
    "stop": (Stop, {"reason": _TEXT}),
    "note": (Note, {"kind": _TEXT, "values": _Part(_note_values, _pack_note)}),
}
_NAMES = {kind: name for name, (kind, _) in _MESSAGES.items()}


def encode(message: Message) -> bytes:
    """The message as bytes; WireError when it is too large to be read again."""
    name = _NAMES[type(message)]
    parts = _MESSAGES[name][1]
    fields = {key: part.pack(getattr(message, key)) for key, part in parts.items()}
    data = bytes(msgpack.packb({"type": name, **fields}, use_bin_type=True) or b"")
    if len(data) > MAX_BYTES:
        raise WireError(f"Message {name!r} has {len(data)} bytes, allowed {MAX_BYTES}.")
    return data


def decode(data: bytes) -> Message:
    """The message in these bytes; WireError when they are not exactly one known message."""
    content = _unpack(data)
    name = content.pop("type", None)
    if not isinstance(name, str) or name not in _MESSAGES:
        raise WireError(f"Message type = {name!r:.60}, allowed {', '.join(_MESSAGES)}.")
    kind, parts = _MESSAGES[name]
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


def _unpack(data: bytes) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise WireError(f"Message of {len(data)} bytes, allowed {MAX_BYTES}.")
    try:
        content = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_TEXT * 4,
            max_bin_len=MAX_BYTES,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(f"Message is not msgpack as agreed ({error}).") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WireError(f"Message is a {type(content).__name__}, allowed a map with text keys.")
    return content


# ---- sockets


def listen(context: zmq.Context, kind: int, path: Path) -> zmq.Socket:
    """A socket bound to `path`; WireError in one sentence when somebody else listens there."""
    if _answers(path):
        raise WireError(f"Endpoint {path} is in use. End the other session first.")
    socket = _quiet(context, kind)
    try:
        socket.bind(f"ipc://{path}")
    except zmq.ZMQError as error:
        socket.close()
        raise WireError(f"Cannot listen at {path}: {error.strerror}.") from None
    return socket


def connect(context: zmq.Context, kind: int, path: Path) -> zmq.Socket:
    """A socket that connects to `path` as soon as somebody listens there."""
    socket = _quiet(context, kind)
    try:
        socket.connect(f"ipc://{path}")
    except zmq.ZMQError as error:
        socket.close()
        raise WireError(f"Cannot connect to {path}: {error.strerror}.") from None
    return socket


def send(socket: zmq.Socket, message: Message) -> bool:
    """Hands the message over without waiting; False when the queue is full and it was dropped."""
    try:
        socket.send(encode(message), zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def receive(socket: zmq.Socket) -> Message | None:
    """The next message, or None when there is none now; WireError when it is garbage."""
    try:
        data = socket.recv(zmq.NOBLOCK)
    except zmq.Again:
        return None
    return decode(data)


def _quiet(context: zmq.Context, kind: int) -> zmq.Socket:
    """A socket that drops what does not fit and does not linger."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    queue = FEEDBACK_QUEUE if kind in (zmq.PUB, zmq.SUB) else QUEUE
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
    if kind == zmq.SUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    return socket


def _answers(path: Path) -> bool:
    """Whether somebody listens there. ZMQ would silently take a used path from its owner."""
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
