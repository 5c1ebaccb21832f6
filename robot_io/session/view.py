"""Looking at a running session without being able to hold anything up."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import zmq

from robot_io import wire
from robot_io.ring import RingReader, Sample, frame_of
from robot_io.session.directory import camera_path, feedback_path, world_path
from robot_io.types import Frame


@dataclass(frozen=True, slots=True)
class View:
    """What happened since the last look, for films and consoles. Lossy by design."""

    frames: list[Frame]
    messages: list[wire.Message]  # measured, sent; accepted: chunks and hand-overs
    snapshots: list[Sample]  # of the simulated world


class Viewer:
    """Attaches to every stream of a session, as far as it is there yet."""

    def __init__(self, streams: Iterable[str], directory: Path, context: zmq.Context) -> None:
        self._paths = {stream: camera_path(directory, stream) for stream in streams}
        self._world_path = world_path(directory)
        self._feedback = wire.connect(context, zmq.SUB, feedback_path(directory))
        self._rings: dict[Path, RingReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for ring in self._rings.values():
            ring.close()

    def look(self) -> View:
        frames = [
            frame_of(stream, sample)
            for stream, path in self._paths.items()
            for sample in self._unseen(path)
        ]
        messages = []
        while (message := wire.receive(self._feedback)) is not None:
            messages.append(message)
        return View(frames, messages, self._unseen(self._world_path))

    def _unseen(self, path: Path) -> list[Sample]:
        if path not in self._rings:
            if not path.exists():
                return []
            self._rings[path] = RingReader(path)
        return self._rings[path].unseen()
