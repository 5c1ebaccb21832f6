"""What a session knows of its streams, and what it tells the operator about them."""

from collections.abc import Callable, Mapping

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

    def look(self, view: View, now_ns: int) -> None:
        """Takes what is new. `now_ns` is from before the look: our own stall ages nothing."""
        for frame in view.frames:
            self._watch.add(frame.stream, frame.exposed_ns)
        for message in view.messages:
            self._add(message)
        if self._has_world:
            for sample in view.snapshots:
                self._watch.add(WORLD, sample.exposed_ns)
        for news in self._watch.news(now_ns):
            self._tell(news.line + self._state_of(news.stream.producer))

    def commands_have_ended(self, now_ns: int) -> bool:
        """Whether the control process has been silent for as long as the loop waits for plans."""
        age_s = self._watch.health(COMMANDS).age_s(now_ns)
        return age_s * NS_PER_S > self._stop_after_ns

    def _add(self, message: wire.Message) -> None:
        if isinstance(message, ArmState):
            self._watch.add(ARM, message.stamp_ns, self._rows.fault(message.row_D))
        elif isinstance(message, Command):
            self._watch.add(COMMANDS, message.due_ns)
        elif isinstance(message, ActionChunk):  # a person's too: whoever leads the arm
            self._watch.add(CHUNKS, message.observed_ns)
        elif isinstance(message, wire.Note) and message.kind == REFUSED:
            self._watch.add(CHUNKS, 0, fault=str(message.values["why"]))

    def _state_of(self, process: str) -> str:
        process_id = self._process_ids.get(process)
        if process_id is None or not is_suspended(process_id):
            return ""
        return f" Process {process!r} is suspended; `kill -CONT {process_id}` continues it."
