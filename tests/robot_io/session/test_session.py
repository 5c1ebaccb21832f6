"""Sessions of real processes: they run on time, end with one sentence, and leave nothing."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from robot_io import wire
from robot_io.clock import NS_PER_S
from robot_io.control.replay import replay
from robot_io.session import directory as session_directory
from robot_io.session.processes import Factory, SessionError
from robot_io.session.session import EpisodeCutError, Session
from robot_io.session.spec import SessionSpec
from robot_io.session.timing import timing_of
from robot_io.session.view import View
from robot_io.session.watchdog import REQUESTED
from robot_io.types import ActionChunk, ArmState, Command

MakeSpec = Callable[..., SessionSpec]


def session_processes() -> list[psutil.Process]:
    """Children of sessions that this process started."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "robot_io.session.child" in " ".join(child.cmdline())]


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place in memory of the test's own: it must be empty in the end."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="test-") as root:
        monkeypatch.setattr(session_directory, "SHARED_MEMORY", Path(root))
        yield
        assert list(Path(root).iterdir()) == []
    assert session_processes() == []


def test_two_episodes_of_fakes_flow_on_time(make_spec: MakeSpec) -> None:
    views: list[View] = []
    with Session(make_spec()) as session:
        assert session.directory.stat().st_mode & 0o777 == 0o700
        outcomes = [
            session.run_episode(seed=seed, limit_s=1.2, watch=views.append, released=True)
            for seed in (1, 2)
        ]
    first = outcomes[0].record
    periods_N = np.diff(first.stamp_ns_N) // 10_000_000
    assert (np.diff(first.stamp_ns_N) % 10_000_000 == 0).all()
    assert periods_N.sum() >= 100  # the limit says when to end; a busy parent ends later
    missed_inside = int((periods_N - 1).sum())
    assert missed_inside <= outcomes[0].missed_ticks <= missed_inside + 1
    assert len(np.unique(first.chunk_N[first.chunk_N >= 0])) >= 5
    assert (first.rung_N == "plan").mean() > 0.5
    assert np.ptp(first.sent_ND[:, 1]) > 0.005
    timing = timing_of(outcomes)
    assert timing.ticks > 150
    assert timing.tick_lateness_ms.p50 < 5
    assert 0 < timing.observation_age_ms.p50 < 500
    assert 20 <= timing.inference_ms.p50 < 100
    assert {frame.stream for view in views for frame in view.frames} == {"wrist", "scene"}
    kinds = {type(message) for view in views for message in view.messages}
    assert kinds == {ArmState, Command, ActionChunk, wire.Note}


def test_after_the_death_of_the_policy_the_tail_is_executed_and_the_arm_holds(
    make_spec: MakeSpec,
) -> None:
    killed_ns = []

    def kill_policy(view: View) -> None:
        chunks = [message for message in view.messages if isinstance(message, ActionChunk)]
        if chunks and not killed_ns:
            policy = next(c for c in session_processes() if "policy.json" in c.cmdline()[-1])
            policy.kill()
            killed_ns.append(time.monotonic_ns())

    with Session(make_spec()) as session, pytest.raises(EpisodeCutError) as cut:
        session.run_episode(seed=1, limit_s=20, watch=kill_policy)
    assert "Process 'policy' was ended by SIGKILL" in str(cut.value)
    record = cut.value.record
    assert record is not None
    tail = record.rung_N[record.stamp_ns_N > killed_ns[0] + NS_PER_S // 4]
    assert tail[0] == "plan"
    assert tail[-1] == "hold"
    last_move_m = np.linalg.norm(np.diff(record.sent_ND[-3:, :3], axis=0), axis=1)
    assert last_move_m.max() < 1e-4


@pytest.mark.slow
def test_a_session_that_is_suspended_lets_the_arm_come_to_rest_and_goes_on(
    make_spec: MakeSpec,
) -> None:
    """As Ctrl-Z does: only the session sleeps, its children go on."""
    away_ns: list[int] = []

    def look_away_once(view: View) -> None:
        if not away_ns and any(isinstance(message, ActionChunk) for message in view.messages):
            away_ns.append(time.monotonic_ns())
            time.sleep(3.0)
            away_ns.append(time.monotonic_ns())

    with Session(make_spec()) as session:
        record = session.run_episode(seed=1, limit_s=5.0, watch=look_away_once).record
    away_N = (record.stamp_ns_N > away_ns[0] + 2.5 * NS_PER_S) & (record.stamp_ns_N < away_ns[1])
    assert set(record.rung_N[away_N]) == {"hold"}  # 1 s, and the tail of the last plan
    assert record.rung_N[record.stamp_ns_N > away_ns[1] + NS_PER_S // 2][0] == "plan"


def test_a_world_ends_its_episodes_and_begins_new_ones(make_spec: MakeSpec) -> None:
    camera = Factory(
        "transport_world:SnapshotCamera", {"name": "wrist", "snapshots": "{session}/world.ring"}
    )
    spec = make_spec(
        arm=Factory("robot_io.session.remote_arm:RemoteArm", {"directory": "{session}"}),
        world=Factory("transport_world:ReachWorld"),
        cameras={"wrist": camera},
        images={"wrist": 1},
    )
    views: list[View] = []
    with Session(spec) as session:
        for seed in (7, 9):
            views.clear()
            outcome = session.run_episode(seed=seed, limit_s=10, watch=views.append)
            assert outcome.result == {"success": True, "reason": "reached", "seed": seed}
            assert outcome.record.measured_ND[0, 1] < 0.005
            frames = [frame for view in views for frame in view.frames]
            assert {int(frame.image_HWC[1, 1, 0]) for frame in frames} == {seed}
            snapshots = [sample for view in views for sample in view.snapshots]
            assert {int(sample.values[-1]) for sample in snapshots} == {seed}
        assert frames[-1].image_HWC[0, 0, 0] == 2  # resets
        session.stop("tired")  # waits in the inbox until the next episode
        outcome = session.run_episode(seed=1, limit_s=10)
        assert outcome.result == {"success": False, "reason": "stopped (tired)"}


def test_a_stopped_arm_without_a_world_is_not_started_again(make_spec: MakeSpec) -> None:
    with Session(make_spec()) as session:
        session.stop("tired")
        assert session.run_episode(seed=1, limit_s=5).result["reason"] == "stopped (tired)"
        with pytest.raises(SessionError, match="The gate has stopped the arm"):
            session.run_episode(seed=2, limit_s=1)


def test_an_arm_that_fails_ends_the_session_and_leaves_a_record_of_what_led_to_it(
    make_spec: MakeSpec,
) -> None:
    spec = make_spec(arm=Factory("transport_world:FailingArm"))
    with Session(spec) as session, pytest.raises(EpisodeCutError, match="met something") as cut:
        session.run_episode(seed=1, limit_s=20)
    record = cut.value.record
    assert record is not None and len(record.stamp_ns_N) > 90
    assert replay(record).first is None


def test_an_arm_without_a_world_is_stopped_in_the_end_and_begins_by_a_persons_word(
    make_spec: MakeSpec,
) -> None:
    told: list[str] = []
    with Session(make_spec(), tell=told.append) as session:
        first = session.run_episode(seed=1, limit_s=1.2).record
        with pytest.raises(SessionError, match="The gate has stopped the arm"):
            session.run_episode(seed=2, limit_s=1.2)
    assert first.rung_N[-1] == "stopped"
    assert first.reasons_N[-1] == "episode_over"
    assert first.arm_stopped_by == REQUESTED
    assert np.array_equal(first.sent_ND[-1], first.sent_ND[-2])
    assert told == ["The arm stands still by its own stop: requested."]
    assert replay(first).first is None


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"policy": Factory("nowhere:make")}, "Process 'policy': Cannot load 'nowhere:make'"),
        (
            {"policy": Factory("robot_io.devices.fake:CirclePlanner", {"rows": "many"})},
            "Process 'policy' failed: ",
        ),
    ],
)
def test_a_process_that_cannot_start_is_one_sentence(
    make_spec: MakeSpec, part: dict, sentence: str
) -> None:
    with pytest.raises(SessionError) as error, Session(make_spec(**part)):
        pass
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from transport_parts import CONTROL, STREAMS
from robot_io.session.processes import Factory
from robot_io.session.session import Session
from robot_io.session.spec import SessionSpec
camera = Factory("robot_io.devices.fake:FakeCamera", {"name": "wrist"})
spec = SessionSpec(
    arm=Factory("robot_io.devices.fake:FakeArm"),
    policy=Factory("robot_io.devices.fake:CirclePlanner"),
    control=CONTROL, step_ns=100_000_000, vectors={"measured": 1}, images={"wrist": 1},
    cameras={"wrist": camera}, streams=STREAMS, max_target_age_s=0.2,
)
with Session(spec) as session:
    print(session.directory, flush=True)
    session.run_episode(seed=1, limit_s=60)
"""


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_whatever_ends_the_session_no_process_and_no_file_remains(how: signal.Signals) -> None:
    parts = Path(__file__).parent.parent  # with transport_parts
    arguments = [sys.executable, "-c", SCRIPT, str(parts)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        directory = Path(owner.stdout.readline().decode().strip())
        assert directory.exists()
        children = psutil.Process(owner.pid).children(recursive=True)
        assert len(children) == 3
        time.sleep(0.3)
        owner.send_signal(how)
        owner.wait(10)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert not directory.exists()


def test_what_a_massacre_left_is_removed_by_the_next_session() -> None:
    left = session_directory.SHARED_MEMORY / f"{session_directory.PREFIX}left"
    left.mkdir()
    (left / "camera.ring").touch()
    with session_directory.session_directory() as mine:
        assert not left.exists()
        with session_directory.session_directory() as other:
            assert mine.exists()
            assert other != mine


def test_what_the_control_process_imports_is_little_and_fast() -> None:
    code = (
        "import sys, time;"
        "import robot_io.session.child, robot_io.session.control, robot_io.session.remote_arm;"
        "print(time.process_time(), {'torch', 'mujoco', 'cv2', 'scipy'} & set(sys.modules))"
    )
    arguments = [sys.executable, "-c", code]
    cpu_s, heavy = subprocess.check_output(arguments, text=True).split(maxsplit=1)
    assert heavy == "set()\n"
    assert float(cpu_s) < 1.0  # of the processor: neighbours do not count
