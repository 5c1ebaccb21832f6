"""A camera's process: each frame of the device goes into the stream's ring, and nothing else."""

from contextlib import ExitStack
from pathlib import Path

from robot_io.interfaces import Camera
from robot_io.ring import RingWriter
from robot_io.session.child import Line
from robot_io.session.directory import camera_path
from robot_io.session.processes import ChildSpec
from robot_io.types import Frame

READ_TIMEOUT_S = 0.1  # the longest time that a note of the session waits
SLOTS = 16


def run(spec: ChildSpec, line: Line) -> None:
    stream = spec.settings["stream"]
    with ExitStack() as stack:
        camera: Camera = stack.enter_context(spec.make("camera"))
        line.say("ready")
        ring = None
        while not line.ending.is_set():
            _answer(camera, line)
            frame = camera.read(READ_TIMEOUT_S)
            if frame is None:
                continue
            if ring is None:
                ring = stack.enter_context(_ring_for(frame, camera_path(spec.directory, stream)))
            _write(ring, frame)


def _answer(camera: Camera, line: Line) -> None:
    """A new episode: cameras that draw may have something to prepare (`reset(seed)`)."""
    note = line.heard()
    if note is None or note.kind != "begin":
        return
    reset = getattr(camera, "reset", None)
    if reset is not None:
        reset(int(note.values["seed"]))
    line.say("begun")


def _ring_for(frame: Frame, path: Path) -> RingWriter:
    image = frame.image_HWC
    return RingWriter(path, shape=image.shape, dtype=image.dtype.str, slots=SLOTS)


def _write(ring: RingWriter, frame: Frame) -> None:
    ring.write(
        frame.image_HWC,
        exposed_ns=frame.exposed_ns,
        received_ns=frame.received_ns,
        sequence=frame.sequence,
    )
