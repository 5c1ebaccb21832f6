"""One episode as an MCAP file, which Foxglove, PlotJuggler and Rerun open.

    /arm            what the arm measured
    /command        what was sent, what was proposed, what the gate said, where it came from
    /chunk          each plan that was accepted, in the tick that took it
    /refused        what came and was not taken, in that tick: a plan and why, or no message at all
    /camera/NAME    frames (PNG)

Every message is JSON with its schema. `log_time` is when it happened: measured, due, exposed;
`publish_time` when it was passed on. Both by the host's monotonic clock, ns. JSON has no NaN: such
a number is null. Metadata records: `clock` maps the stamps to the wall clock, `made_by` has the
machine and the versions, `policy_link` how the line to a policy elsewhere did.
"""

import base64
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from mcap.writer import Writer

from robot_io import wire
from robot_io.clock import NS_PER_S, MonotonicClock, wall_clock_minus_monotonic_ns
from robot_io.types import ActionChunk, ArmState, Command, Frame, Provenance

REFUSALS = {"refused": "plan", "garbage": "no message"}  # kinds of notes -> what came

Schema = Mapping[str, object]
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string"}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _list(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items, "description": description}


_ROW = _list(_NUMBER, "tool in base: x y z (m), quaternion w x y z, opening of the hand (m)")
_ARM = _object(stamp_ns=_WHOLE, row=_ROW, joint_rad=_list(_NUMBER))
_COMMAND = _object(
    sequence=_WHOLE,
    due_ns=_WHOLE,
    late_ns=_WHOLE,
    row=_ROW,
    proposed=_ROW,
    rung=_TEXT,
    verdict=_TEXT,
    reasons=_list(_TEXT),
    moved_m=_NUMBER,
    turned_rad=_NUMBER,
    provenance=_object(
        source=_TEXT,
        chunk_id=_WHOLE,
        row=_WHOLE,
        observed_ns=_WHOLE,
        estimated_delay_rows=_WHOLE,
        actual_delay_rows=_WHOLE,
    ),
)
_CHUNK = _object(
    chunk_id=_WHOLE,
    source=_TEXT,
    observed_ns=_WHOLE,
    start_ns=_WHOLE,
    step_ns=_WHOLE,
    rows=_list(_ROW),
)
_REFUSED = _object(what=_TEXT, why=_TEXT, count=_WHOLE)
_IMAGE = _object(  # the names and types that Foxglove's image panel looks for
    timestamp=_object(sec=_WHOLE, nsec=_WHOLE),
    frame_id=_TEXT,
    format=_TEXT,
    data={"type": "string", "contentEncoding": "base64"},
)


class FlightFile:
    """Every method raises OSError when the disk refuses: then `abandon` it.

    A file that was never closed lacks its index only: what was flushed can be read.
    """

    def __init__(self, path: Path) -> None:
        self._judgement: wire.Note | None = None  # of the command that comes next
        self._chunks: list[ActionChunk] = []  # taken in the tick whose command comes next
        self._refusals: list[wire.Note] = []  # likewise
        self._topics: dict[str, int] = {}
        self._path = path
        self._flushed_bytes = 0
        self._file = path.open("wb")
        self._writer = Writer(self._file)
        self._writer.start(library="feelforward")
        self.describe("clock", _clock_now())
        self._arm = self._channel("/arm", "feelforward.ArmState", _ARM)
        self._command = self._channel("/command", "feelforward.Command", _COMMAND)
        self._chunk = self._channel("/chunk", "feelforward.ActionChunk", _CHUNK)
        self._refused = self._channel("/refused", "feelforward.Refusal", _REFUSED)
        self._image_schema = self._schema("foxglove.CompressedImage", _IMAGE)
        self.flush()

    def describe(self, name: str, facts: Mapping[str, object]) -> None:
        """A metadata record: facts about the whole episode."""
        self._writer.add_metadata(name, {key: str(value) for key, value in facts.items()})

    def add(self, message: wire.Message) -> None:
        """One message of the feedback stream, in its order."""
        if isinstance(message, ArmState):
            self._write(self._arm, message.stamp_ns, _arm_content(message))
        elif isinstance(message, ActionChunk):
            self._chunks.append(message)
        elif isinstance(message, wire.Note) and message.kind == "verdict":
            self._judgement = message
        elif isinstance(message, wire.Note) and message.kind in REFUSALS:
            self._refusals.append(message)
        elif isinstance(message, Command):
            self._add_command(message)

    def add_frame(self, frame: Frame) -> None:
        topic = f"/camera/{frame.stream}"
        if topic not in self._topics:
            channel = self._writer.register_channel(topic, "json", self._image_schema)
            self._topics[topic] = channel
        self._write(self._topics[topic], frame.exposed_ns, _image_content(frame), frame.received_ns)

    def flush(self) -> None:
        """Hands all that was added to the system: it survives the death of this process."""
        self._writer.flush()
        self._flushed_bytes = self._file.tell()

    def close(self) -> None:
        """Writes the index."""
        self._writer.finish()
        self._file.close()

    def abandon(self) -> None:
        """Lets go of a file that cannot be written any more. What was flushed stays in it."""
        with suppress(OSError):  # it tries once more, and closes in any case
            self._file.close()
        with suppress(OSError):
            os.truncate(self._path, self._flushed_bytes)

    def _add_command(self, command: Command) -> None:
        for chunk in self._chunks:
            self._write(self._chunk, command.due_ns, _chunk_content(chunk))
        for note in self._refusals:
            self._write(self._refused, command.due_ns, _refusal_content(note))
        self._chunks.clear()
        self._refusals.clear()
        judgement = self._judgement
        if judgement is None or judgement.values["sequence"] != command.sequence:
            judgement = wire.Note("verdict", {})  # it was dropped on the way
        late_ns = judgement.values.get("late_ns", 0)
        assert isinstance(late_ns, int)
        content = _command_content(command, judgement.values)
        self._write(self._command, command.due_ns, content, command.due_ns + late_ns)

    def _channel(self, topic: str, name: str, schema: Schema) -> int:
        return self._writer.register_channel(topic, "json", self._schema(name, schema))

    def _schema(self, name: str, schema: Schema) -> int:
        data = json.dumps({"title": name, **schema}).encode()
        return self._writer.register_schema(name, "jsonschema", data)

    def _write(
        self,
        channel: int,
        happened_ns: int,
        content: Mapping[str, object],
        passed_on_ns: int | None = None,
    ) -> None:
        published_ns = happened_ns if passed_on_ns is None else passed_on_ns
        data = json.dumps(content, allow_nan=False).encode()
        self._writer.add_message(channel, happened_ns, data, published_ns)


def _clock_now() -> dict[str, str]:
    monotonic_ns = MonotonicClock().now_ns()
    ahead_ns = wall_clock_minus_monotonic_ns()
    wall = datetime.fromtimestamp((monotonic_ns + ahead_ns) / NS_PER_S, UTC)
    return {
        "monotonic_ns": str(monotonic_ns),
        "wall_clock_minus_monotonic_ns": str(ahead_ns),
        "utc": wall.isoformat(timespec="milliseconds"),
    }


def _arm_content(state: ArmState) -> dict[str, object]:
    joints = _numbers(state.joint_rad_J)
    return {"stamp_ns": int(state.stamp_ns), "row": _numbers(state.row_D), "joint_rad": joints}


def _command_content(command: Command, judged: Mapping[str, wire.NoteValue]) -> dict[str, object]:
    proposed = judged.get("proposed")
    return {
        "sequence": command.sequence,
        "due_ns": int(command.due_ns),
        "late_ns": judged.get("late_ns"),
        "row": _numbers(command.row_D),
        "proposed": _numbers(proposed) if isinstance(proposed, np.ndarray) else None,
        "rung": judged.get("rung"),
        "verdict": judged.get("verdict"),
        "reasons": str(judged.get("reasons", "")).split(),
        "moved_m": judged.get("moved_m"),
        "turned_rad": judged.get("turned_rad"),
        "provenance": _origin(command.provenance),
    }


def _origin(origin: Provenance) -> dict[str, object]:
    return {name: getattr(origin, name) for name in Provenance.__dataclass_fields__}


def _chunk_content(chunk: ActionChunk) -> dict[str, object]:
    return {
        "chunk_id": chunk.chunk_id,
        "source": chunk.source,
        "observed_ns": int(chunk.observed_ns),
        "start_ns": int(chunk.start_ns),
        "step_ns": chunk.step_ns,
        "rows": [_numbers(row_D) for row_D in chunk.row_HD],
    }


def _refusal_content(note: wire.Note) -> dict[str, object]:
    why, count = note.values["why"], note.values.get("count", 1)
    return {"what": REFUSALS[note.kind], "why": why, "count": count}


def _image_content(frame: Frame) -> dict[str, object]:
    seconds, rest_ns = divmod(int(frame.exposed_ns), NS_PER_S)
    blue_first_HWC = frame.image_HWC[..., ::-1]  # as OpenCV has it
    _, png = cv2.imencode(".png", blue_first_HWC, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return {
        "timestamp": {"sec": seconds, "nsec": rest_ns},
        "frame_id": frame.stream,
        "format": "png",
        "data": base64.b64encode(png.tobytes()).decode(),
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
