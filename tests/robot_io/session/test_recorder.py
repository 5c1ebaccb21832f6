"""The flight recorder: all that happened is in its file, and its trouble is nobody else's."""

import base64
import json
import signal
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import psutil
import pytest
import zmq
from mcap.exceptions import EndOfFile, McapError
from mcap.reader import make_reader
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from transport_parts import GATE

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.record import NO_RECORD, EpisodeRecord
from robot_io.control.replay import replay
from robot_io.errors import FeelforwardError
from robot_io.machine import made_by
from robot_io.session import directory as session_directory
from robot_io.session import recording as session_recording
from robot_io.session.child import Line
from robot_io.session.directory import feedback_path
from robot_io.session.recorder import _Recorder
from robot_io.session.session import EpisodeCutError, Session
from robot_io.session.spec import SessionSpec
from robot_io.session.view import View, Viewer
from robot_io.types import ActionChunk, Command, MonoNs, Provenance

MakeSpec = Callable[..., SessionSpec]
WORLD_CLOCK = {"monotonic_ns", "wall_clock_minus_monotonic_ns", "utc"}


class Said(NamedTuple):
    """One message of a file."""

    topic: str
    log_ns: int
    publish_ns: int
    content: Any


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="test-") as root:
        monkeypatch.setattr(session_directory, "SHARED_MEMORY", Path(root))
        yield
        assert list(Path(root).iterdir()) == []
    assert not psutil.Process().children(recursive=True)


def recorder() -> psutil.Process:
    children = psutil.Process().children(recursive=True)
    return next(child for child in children if "recorder.json" in child.cmdline()[-1])


def whole(path: Path) -> list[Said]:
    """The messages of a file that was closed, in the order in which they were written."""
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        return [
            Said(channel.topic, message.log_time, message.publish_time, json.loads(message.data))
            for _, channel, message in reader.iter_messages(log_time_order=False)
        ]


def torn(path: Path) -> list[Said]:
    """What can still be read of a file that was not closed."""
    topics: dict[int, str] = {}
    said = []
    with path.open("rb") as file, suppress(EndOfFile, McapError, struct.error):
        for part in StreamReader(file, validate_crcs=True).records:
            if isinstance(part, Channel):
                topics[part.id] = part.topic
            elif isinstance(part, Message):
                content = json.loads(part.data)
                said.append(
                    Said(topics[part.channel_id], part.log_time, part.publish_time, content)
                )
    return said


def assert_limits_kept(record: EpisodeRecord) -> None:
    """Speed and acceleration of what was sent, by the time that the gate counts."""
    period_ns = round(GATE.period_s * NS_PER_S)
    dt_s = np.minimum(np.diff(record.stamp_ns_N), 2 * period_ns) / NS_PER_S
    velocity_N3 = np.diff(record.sent_ND[:, :3], axis=0) / dt_s[:, None]
    assert np.linalg.norm(velocity_N3, axis=1).max() <= GATE.max_speed_m_per_s * (1 + 1e-5)
    change_N = np.linalg.norm(np.diff(velocity_N3, axis=0), axis=1)
    assert (change_N <= GATE.max_accel_m_per_s2 * dt_s[1:] * (1 + 1e-5) + 1e-9).all()


def assert_went_on(record: EpisodeRecord, since_ns: int) -> None:
    """From that instant on plans were followed and new ones taken, within the limits."""
    after = record.stamp_ns_N > since_ns
    assert after.sum() > 50
    assert (record.rung_N[after] == "plan").mean() > 0.8
    assert len(np.unique(record.chunk_N[after])) >= 3
    assert_limits_kept(record)
    assert replay(record).first is None


def test_everything_that_happened_is_in_the_file_and_the_record_replays(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    lines: list[str] = []
    with Session(make_spec(record=folder), tell=lines.append) as session:
        outcomes = [session.run_episode(seed=seed, limit_s=1.0, released=True) for seed in (5, 6)]
    assert sorted(each.name for each in folder.iterdir()) == [
        "episode_5.mcap",
        "episode_5.npz",
        "episode_6.mcap",
        "episode_6.npz",
    ]
    for seed, outcome in zip((5, 6), outcomes, strict=True):
        record = EpisodeRecord.load(folder / f"episode_{seed}.npz")
        assert np.array_equal(record.sent_ND, outcome.record.sent_ND)
        assert replay(record).first is None
        assert_all_is_there(whole(folder / f"episode_{seed}.mcap"), record)
        assert_describes_itself(folder / f"episode_{seed}.mcap")
        assert json.loads(record.made_by) == made_by()
        assert json.loads(record.garbage) == {}
    assert not [line for line in lines if "recorder" in line]


def assert_all_is_there(said: list[Said], record: EpisodeRecord) -> None:
    commands = [each for each in said if each.topic == "/command"]
    assert [each.log_ns for each in commands] == record.stamp_ns_N.tolist()
    assert [each.publish_ns - each.log_ns for each in commands] == record.late_ns_N.tolist()
    assert np.array_equal([each.content["row"] for each in commands], record.sent_ND)
    assert np.array_equal([each.content["proposed"] for each in commands], record.proposed_ND)
    assert [each.content["rung"] for each in commands] == record.rung_N.tolist()
    assert [each.content["verdict"] for each in commands] == record.verdict_N.tolist()
    reasons = [" ".join(each.content["reasons"]) for each in commands]
    assert reasons == record.reasons_N.tolist()
    origins = [each.content["provenance"] for each in commands]
    assert [origin["source"] for origin in origins] == record.source_N.tolist()
    chunk_ids = [-1 if origin["chunk_id"] is None else origin["chunk_id"] for origin in origins]
    assert chunk_ids == record.chunk_N.tolist()
    states = [each for each in said if each.topic == "/arm"]
    assert [each.log_ns for each in states] == record.state_ns_N.tolist()
    assert np.array_equal([each.content["row"] for each in states], record.measured_ND)
    assert_plans_are_there([each for each in said if each.topic == "/chunk"], record)
    assert_frames_are_there([each for each in said if each.topic.startswith("/camera/")], record)


def assert_plans_are_there(said: list[Said], record: EpisodeRecord) -> None:
    accepted = [
        taken
        for taken in record.messages()
        if taken.outcome == "accepted" and isinstance(taken.message, ActionChunk)
    ]
    assert len(accepted) >= 5
    taken_ns = [record.stamp_ns_N[taken.tick] for taken in accepted]
    assert [each.log_ns for each in said] == taken_ns
    for each, taken in zip(said, accepted, strict=True):
        assert isinstance(taken.message, ActionChunk)
        assert each.content["chunk_id"] == taken.message.chunk_id
        assert each.content["source"] == taken.message.source == "policy"
        assert np.array_equal(each.content["rows"], taken.message.row_HD)


def assert_frames_are_there(said: list[Said], record: EpisodeRecord) -> None:
    seconds = (record.stamp_ns_N[-1] - record.stamp_ns_N[0]) / NS_PER_S
    counts = Counter(each.topic for each in said)
    assert counts.keys() == {"/camera/wrist", "/camera/scene"}
    assert min(counts.values()) >= 10 * seconds - 2
    for each in said:
        stamp = each.content["timestamp"]
        assert stamp["sec"] * NS_PER_S + stamp["nsec"] == each.log_ns
        png = np.frombuffer(base64.b64decode(each.content["data"]), np.uint8)
        image = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert image is not None and image.shape == (96, 96, 3)
        assert np.ptp(image) == 0, "the fake's frames are one grey"


def assert_describes_itself(path: Path) -> None:
    with path.open("rb") as file:
        reader = make_reader(file)
        metadata = {each.name: each.metadata for each in reader.iter_metadata()}
        summary = reader.get_summary()
    assert metadata["episode"]["name"] == path.stem
    assert metadata["clock"].keys() == WORLD_CLOCK
    assert metadata["clock"]["utc"].endswith("+00:00")
    assert metadata["made_by"] == made_by()
    assert summary is not None
    schemas = {schema.name: schema for schema in summary.schemas.values()}
    assert schemas.keys() == {
        "feelforward.ArmState",
        "feelforward.Command",
        "feelforward.ActionChunk",
        "feelforward.Refusal",
        "foxglove.CompressedImage",
    }
    for schema in schemas.values():
        assert schema.encoding == "jsonschema"
        assert json.loads(schema.data)["type"] == "object"


def test_what_was_not_taken_is_counted_with_its_reason(make_spec: MakeSpec, tmp_path: Path) -> None:
    told: list[str] = []
    with Session(make_spec(record=tmp_path / "run"), tell=told.append) as session:

        def disturb() -> None:
            for data in (b"no message", b"no message", b"\x80\x04."):
                session._inbox.send(data)
            far_ns = MonoNs(1 << 60)
            wire.send(session._inbox, ActionChunk(900, far_ns, far_ns, 10**8, np.zeros((4, 8))))

        disturbance = Disturbance(after_s=0.4, act=disturb)
        outcome = session.run_episode(seed=5, limit_s=1.0, watch=disturbance.look)
    counts = json.loads(outcome.record.garbage)
    assert sum(counts.values()) == 3
    assert all(why.startswith("Message is not msgpack as agreed") for why in counts)
    said = [e.content for e in whole(tmp_path / "run" / "episode_5.mcap") if e.topic == "/refused"]
    assert sum(each["count"] for each in said if each["what"] == "no message") == 3
    plans = [each for each in said if each["what"] == "plan"]
    assert plans == [{"what": "plan", "why": "malformed", "count": 1}]
    assert replay(outcome.record).first is None


@pytest.mark.slow
def test_a_killed_control_process_leaves_what_it_sent_and_the_operator_reads_so(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    def kill_control() -> None:
        children = psutil.Process().children(recursive=True)
        next(child for child in children if "control.json" in child.cmdline()[-1]).kill()

    told: list[str] = []
    killed = Disturbance(after_s=0.5, act=kill_control)
    spec = make_spec(record=tmp_path / "run")
    with Session(spec, tell=told.append) as session, pytest.raises(EpisodeCutError):
        session.run_episode(seed=5, limit_s=20, watch=killed.look)
    assert f"episode_5: {NO_RECORD}" in told
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["episode_5.mcap"]
    said = [each for each in whole(tmp_path / "run" / "episode_5.mcap") if each.topic == "/command"]
    assert said[-1].log_ns >= killed.at_ns


@dataclass
class Scripted:
    """A viewer that shows what it was told to."""

    views: list[View]

    def look(self) -> View:
        return self.views.pop(0) if self.views else View([], [], [])


class Quiet:
    """A line on which nobody listens."""

    def say(self, kind: str, **values: wire.NoteValue) -> None:
        pass


def test_the_last_commands_of_an_episode_may_still_be_on_their_way(tmp_path: Path) -> None:
    path, row_D = tmp_path / "episode_1.mcap", np.zeros(8)
    commands = [Command(n, MonoNs(n), row_D, Provenance("hold")) for n in (1, 2, 3)]
    viewer = Scripted([View([], [command], []) for command in commands])
    recorder = _Recorder(cast(Viewer, viewer), cast(Line, Quiet()), made_by={})
    recorder.begin(path, begin_ns=0)
    recorder.turn()
    recorder.end_at(3)
    recorder.turn()
    recorder.turn()
    assert [each.log_ns for each in whole(path)] == [1, 2, 3]
    assert whole(path)[0].content["verdict"] is None, "nobody said what the gate made of it"


@pytest.mark.slow
def test_a_killed_recorder_leaves_a_readable_file_and_the_arm_goes_on(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    lines: list[str] = []
    killed = Disturbance(after_s=2.0, act=lambda: recorder().kill())
    with Session(make_spec(record=tmp_path / "run"), tell=lines.append) as session:
        outcome = session.run_episode(seed=5, limit_s=3.5, watch=killed.look)
        again = session.run_episode(seed=6, limit_s=0.5, released=True)
    assert_went_on(outcome.record, killed.at_ns)
    assert len(again.record.stamp_ns_N) > 20
    told = [line for line in lines if "recorder" in line]
    assert len(told) == 1
    assert told[0].startswith("Process 'recorder' was ended by SIGKILL")
    assert told[0].endswith("The arm goes on, without a recorder.")
    said = torn(tmp_path / "run" / "episode_5.mcap")
    newest_ns = max(each.log_ns for each in said if each.topic == "/command")
    assert newest_ns > killed.at_ns - 1.5 * NS_PER_S, "flushed every second"
    assert replay(EpisodeRecord.load(tmp_path / "run" / "episode_6.npz")).first is None


@pytest.mark.slow
def test_a_suspended_recorder_holds_nobody_up(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_recording, "SILENT_NS", 2 * NS_PER_S)
    lines: list[str] = []
    stopped = Disturbance(after_s=1.0, act=lambda: recorder().send_signal(signal.SIGSTOP))
    with Session(make_spec(record=tmp_path / "run"), tell=lines.append) as session:
        outcome = session.run_episode(seed=5, limit_s=5.0, watch=stopped.look)
        session.run_episode(seed=6, limit_s=0.5, released=True)
        recorder().send_signal(signal.SIGCONT)
    assert_went_on(outcome.record, stopped.at_ns)
    assert [line for line in lines if "recorder" in line] == [
        "The flight recorder does not answer; its file has gaps. The arm goes on."
    ]
    assert [each for each in torn(tmp_path / "run" / "episode_5.mcap") if each.topic == "/command"]


@pytest.mark.slow
def test_a_full_disk_ends_the_file_and_not_the_episode(make_spec: MakeSpec, tmp_path: Path) -> None:
    lines: list[str] = []
    limit = 60_000  # bytes; about a second
    full = Disturbance(after_s=0.1, act=lambda: recorder().rlimit(psutil.RLIMIT_FSIZE, (limit, -1)))
    with Session(make_spec(record=tmp_path / "run"), tell=lines.append) as session:
        outcome = session.run_episode(seed=5, limit_s=4.0, watch=full.look)
        recorder().rlimit(psutil.RLIMIT_FSIZE, (-1, -1))
        session.run_episode(seed=6, limit_s=0.5, released=True)
    assert_went_on(outcome.record, full.at_ns + 2 * NS_PER_S)
    told = [line for line in lines if "recorder" in line]
    assert len(told) == 1
    assert told[0].startswith("The flight recorder cannot write ")
    assert told[0].endswith("episode_5.mcap: File too large. The arm goes on.")
    assert (tmp_path / "run" / "episode_5.mcap").stat().st_size <= limit
    with (tmp_path / "run" / "episode_5.mcap").open("rb") as file, pytest.raises(EndOfFile):
        assert all(StreamReader(file, validate_crcs=True).records), "ends between two records"
    assert torn(tmp_path / "run" / "episode_5.mcap")
    assert whole(tmp_path / "run" / "episode_6.mcap"), "the next episode has room again"


@pytest.mark.slow
def test_a_folder_that_goes_away_costs_the_record_and_not_the_episode(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    folder, lines = tmp_path / "run", []

    def take_away() -> None:
        folder.rename(tmp_path / "elsewhere")
        folder.touch()

    gone = Disturbance(after_s=0.5, act=take_away)
    with Session(make_spec(record=folder), tell=lines.append) as session:
        outcome = session.run_episode(seed=5, limit_s=2.0, watch=gone.look)
        session.run_episode(seed=6, limit_s=0.3, released=True)
    assert_went_on(outcome.record, gone.at_ns)
    told = [line for line in lines if "recorder" in line or "replayed" in line]
    assert len(told) == 3
    assert "episode_5.npz cannot be written" in told[0]
    assert told[1].startswith("The flight recorder cannot write ")
    assert "episode_6.npz cannot be written" in told[2]


@pytest.mark.slow
def test_what_was_done_is_kept_when_a_process_dies_or_the_session_is_interrupted(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    def kill_policy() -> None:
        children = psutil.Process().children(recursive=True)
        next(child for child in children if "policy.json" in child.cmdline()[-1]).kill()

    killed = Disturbance(after_s=0.5, act=kill_policy)
    with Session(make_spec(record=tmp_path / "cut")) as session, pytest.raises(EpisodeCutError):
        session.run_episode(seed=5, limit_s=20, watch=killed.look)
    cut = EpisodeRecord.load(tmp_path / "cut" / "episode_5.npz")
    assert cut.rung_N[-1] == "hold" and replay(cut).first is None
    assert_all_is_there(whole(tmp_path / "cut" / "episode_5.mcap"), cut)

    def interrupt() -> None:
        raise KeyboardInterrupt

    ended = Disturbance(after_s=0.7, act=interrupt)
    with (
        pytest.raises(KeyboardInterrupt),
        Session(make_spec(record=tmp_path / "ended")) as session,
    ):
        session.run_episode(seed=5, limit_s=20, watch=ended.look)
    record = EpisodeRecord.load(tmp_path / "ended" / "episode_5.npz")
    assert len(record.stamp_ns_N) > 30 and replay(record).first is None
    assert whole(tmp_path / "ended" / "episode_5.mcap")


def test_a_folder_that_holds_something_is_refused_before_anything_starts(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    (tmp_path / "episode_5.npz").touch()
    with (
        pytest.raises(FeelforwardError, match="holds something already, allowed: a new"),
        Session(make_spec(record=tmp_path)),
    ):
        pass


def test_a_listener_that_never_reads_holds_nobody_up(tmp_path: Path) -> None:
    """Ten minutes of feedback. What does not fit into its queue is dropped, not waited for."""
    with zmq.Context() as context:
        feedback = wire.listen(context, zmq.PUB, feedback_path(tmp_path))
        listener = wire.connect(context, zmq.SUB, feedback_path(tmp_path))
        note = wire.Note("verdict", {"proposed": np.zeros(8)})
        while not listener.poll(1):
            wire.send(feedback, note)
        took_ns = []
        for _ in range(60_000):
            begin_ns = time.perf_counter_ns()
            wire.send(feedback, note)
            took_ns.append(time.perf_counter_ns() - begin_ns)
        heard = sum(1 for _ in iter(lambda: wire.receive(listener), None))
        context.destroy()
    assert np.percentile(took_ns, 99) < NS_PER_MS
    assert wire.FEEDBACK_QUEUE / 2 < heard < 60_000 / 2


class Disturbance:
    """Does something once, in the middle of an episode."""

    def __init__(self, *, after_s: float, act: Callable[[], object]) -> None:
        self._after_ns = int(after_s * NS_PER_S)
        self._act = act
        self._begin_ns: int | None = None
        self.at_ns = 0

    def look(self, view: View) -> None:
        stamps_ns = [int(getattr(each, "due_ns", 0)) for each in view.messages]
        now_ns = max(stamps_ns, default=0)
        if now_ns and self._begin_ns is None:
            self._begin_ns = now_ns
        if not self.at_ns and self._begin_ns and now_ns > self._begin_ns + self._after_ns:
            self.at_ns = now_ns
            self._act()
