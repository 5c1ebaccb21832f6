"""What a session knows of its streams, and what it tells the operator about them."""

from collections.abc import Callable, Iterator, Mapping

from robot_io import wire
from robot_io.clock import NS_PER_S
from robot_io.rows import ToolRows
from robot_io.session.processes import is_suspended
from robot_io.session.spec import SessionSpec
from robot_io.session.streams import ARM, CHUNKS, COMMANDS, WORLD, StreamWatch, stream_table
from robot_io.session.view import View
from robot_io.types import ActionChunk, ArmState, Command

Tell = Callable[[str], None]  # shows one line to the operator; must not wait for anything
REFUSED = "refused"  # the control process's note about a chunk: values "why"


class Supervisor:
    """Watches the streams of one episode through what its session looks at."""

    def __init__(
        self, spec: SessionSpec, begin_ns: int, *, process_ids: Mapping[str, int], tell: Tell
    ) -> None:
        self._watch = StreamWatch(stream_table(spec), begin_ns)
        self._has_world = spec.world is not None
        self._rows = ToolRows()
        self._process_ids = process_ids
        self._tell = tell
        self._stop_after_ns = round(spec.control.loop.stop_after_s * NS_PER_S)

    def look(self, view: View, now_ns: int, looked_ns: int) -> None:
        """Takes what is new, seen between `now_ns` and `looked_ns`.

        Ages count from before the look, so that our own stall ages nothing; what happened during it
        is no stamp from the future.
        """
        for stream, stamp_ns, fault in self._samples(view):
            during = now_ns < stamp_ns <= looked_ns
            self._watch.add(stream, now_ns if during else stamp_ns, fault)
        for news in self._watch.news(now_ns):
            self._tell(news.line + self._state_of(news.stream.producer))

    def commands_have_ended(self, now_ns: int) -> bool:
        """Whether the control process has been silent for as long as the loop waits for plans."""
        age_s = self._watch.health(COMMANDS).age_s(now_ns)
        return age_s * NS_PER_S > self._stop_after_ns

    def _samples(self, view: View) -> Iterator[tuple[str, int, str | None]]:
        """Stream, stamp, and what is wrong with the sample."""
        for frame in view.frames:
            yield frame.stream, frame.exposed_ns, None
        for message in view.messages:
            yield from self._samples_of(message)
        if self._has_world:
            for sample in view.snapshots:
                yield WORLD, sample.exposed_ns, None

    def _samples_of(self, message: wire.Message) -> Iterator[tuple[str, int, str | None]]:
        if isinstance(message, ArmState):
            yield ARM, message.stamp_ns, self._rows.fault(message.row_D)
        elif isinstance(message, Command):
            yield COMMANDS, message.due_ns, None
        elif isinstance(message, ActionChunk):  # a person's too: whoever leads the arm
            yield CHUNKS, message.observed_ns, None
        elif isinstance(message, wire.Note) and message.kind == REFUSED:
            yield CHUNKS, 0, str(message.values["why"])

    def _state_of(self, process: str) -> str:
        process_id = self._process_ids.get(process)
        if process_id is None or not is_suspended(process_id):
            return ""
        return f" Process {process!r} is suspended; `kill -CONT {process_id}` continues it."
