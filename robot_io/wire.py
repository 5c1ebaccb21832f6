"""Messages between processes: ZMQ sockets that never block, msgpack maps with strict types.

What a message may hold is in one table; `robot_io.wire_format` turns it into bytes and back.
"""

import socket as unix
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zmq

from robot_io import wire_format as checks
from robot_io.types import POLICY, TELEOP, ActionChunk, ArmState, Command, MonoNs, Provenance
from robot_io.wire_format import (
    MAX_ENTRIES,
    MAX_TEXT,  # noqa: F401  # part of this module
    POSITIVE,
    ROW,
    ROWS,
    TEXT,
    WHOLE,
    Format,
    Part,
    WireError,
)

MAX_BYTES = 1 << 20
QUEUE = 64  # messages that wait on either side; further ones are dropped
FEEDBACK_QUEUE = 4096  # the same for PUB and SUB: what happens during 20 s of inference


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asks the control process for a latched stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A person takes the arm: chunks of the teleoperator are executed, those of the policy not."""

    asked_ns: MonoNs  # when the person did so


@dataclass(frozen=True, slots=True)
class HandBack:
    """The person gives it back to the policy."""

    asked_ns: MonoNs


NoteValue = bool | int | float | str | np.ndarray


@dataclass(frozen=True, slots=True)
class Note:
    """What a session and its processes tell each other: a kind and plain values."""

    kind: str
    values: Mapping[str, NoteValue] = field(default_factory=dict)  # arrays are float64 (N,)


Message = ActionChunk | ArmState | Command | Stop | TakeOver | HandBack | Note


# ---- fields that only these messages have


def _planner(value: object) -> str:
    if value not in (POLICY, TELEOP):
        raise WireError(f"got {value!r:.60}, allowed {POLICY!r} or {TELEOP!r}")
    return str(value)


def _pack_provenance(value: Provenance) -> dict[str, object]:
    return {name: getattr(value, name) for name in Provenance.__dataclass_fields__}


def _provenance(value: object) -> Provenance:
    if not isinstance(value, dict) or value.keys() != Provenance.__dataclass_fields__.keys():
        raise WireError(f"got {value!r:.60}, allowed the fields of Provenance")
    observed_ns = checks.optional_whole(value["observed_ns"])
    return Provenance(
        source=checks.text(value["source"]),
        chunk_id=checks.optional_whole(value["chunk_id"]),
        row=checks.optional_whole(value["row"]),
        observed_ns=None if observed_ns is None else MonoNs(observed_ns),
        estimated_delay_rows=checks.optional_whole(value["estimated_delay_rows"]),
        actual_delay_rows=checks.optional_whole(value["actual_delay_rows"]),
    )


def _pack_note(values: Mapping[str, NoteValue]) -> dict[str, object]:
    return {k: checks.pack_array(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _note_values(value: object) -> dict[str, NoteValue]:
    if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
        raise WireError(f"got {value!r:.60}, allowed a map of at most {MAX_ENTRIES} entries")
    return {checks.text(name): _note_value(entry) for name, entry in value.items()}


def _note_value(value: object) -> NoteValue:
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return checks.whole(value)
    return checks.row(value) if isinstance(value, dict) else checks.text(value)


# ---- one table says what each message is made of

_FORMAT: Format[Message] = Format(
    {
        "chunk": (
            ActionChunk,
            {
                "chunk_id": WHOLE,
                "observed_ns": WHOLE,
                "start_ns": WHOLE,
                "step_ns": POSITIVE,
                "row_HD": ROWS,
                "estimated_delay_rows": Part(checks.optional_whole),
                "source": Part(_planner),
            },
        ),
        "arm_state": (ArmState, {"stamp_ns": WHOLE, "row_D": ROW, "joint_rad_J": ROW}),
        "command": (
            Command,
            {
                "sequence": WHOLE,
                "due_ns": WHOLE,
                "row_D": ROW,
                "provenance": Part(_provenance, _pack_provenance),
            },
        ),
        "stop": (Stop, {"reason": TEXT}),
        "take_over": (TakeOver, {"asked_ns": WHOLE}),
        "hand_back": (HandBack, {"asked_ns": WHOLE}),
        "note": (Note, {"kind": TEXT, "values": Part(_note_values, _pack_note)}),
    },
    max_bytes=MAX_BYTES,
)


def encode(message: Message) -> bytes:
    """The message as bytes; WireError when it is too large to be read again."""
    return _FORMAT.encode(message)


def decode(data: bytes) -> Message:
    """The message in these bytes; WireError when they are not exactly one known message."""
    return _FORMAT.decode(data)


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
