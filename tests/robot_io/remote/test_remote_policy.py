"""A policy behind a wire: known partners only, nothing works twice, and it comes back by itself."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq
from mcap.reader import make_reader
from policy_parts import (
    CLOCK,
    EchoPlanner,
    Weather,
    bad_line,
    eventually,
    free_endpoint,
    key_folders,
    observation,
    pair_of,
    serving,
)
from test_wire import same

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.devices.fake import CirclePlanner
from robot_io.errors import FeelforwardError
from robot_io.interfaces import NoPlanError
from robot_io.remote import policy as remote_policy
from robot_io.remote.keys import load_keys
from robot_io.remote.policy import RemotePolicy
from robot_io.remote.protocol import (
    REPLIES,
    REQUESTS,
    VERSION,
    Ask,
    Hello,
    Ping,
    Plan,
    Pong,
    Refusal,
    Reply,
    Request,
    Welcome,
    fresh_nonce,
)
from robot_io.remote.report import LinkReport
from robot_io.remote.watch import LinkFault
from robot_io.session.processes import Factory
from robot_io.session.session import Session
from robot_io.session.spec import SessionSpec
from robot_io.session.view import View
from robot_io.types import ActionChunk, Leftover, MonoNs
from scripts.live.serving import Offer


class Stranger:
    """A client that says what it likes."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(endpoint)

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.destroy(linger=0)

    def say(self, message: Request | bytes | list[bytes]) -> None:
        if isinstance(message, list):
            self._socket.send_multipart(message)
        else:
            data = message if isinstance(message, bytes) else REQUESTS.encode(message)
            self._socket.send(data)

    def hear(self, *, limit_ms: int = 2000) -> Reply | None:
        return REPLIES.decode(self._socket.recv()) if self._socket.poll(limit_ms) else None

    def hello(self, **changes: object) -> Reply | None:
        self.say(replace(Hello(VERSION, fresh_nonce()), **changes))
        return self.hear()

    def admitted(self) -> Welcome:
        welcome = self.hello()
        assert isinstance(welcome, Welcome)
        return welcome


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has time to wait for a server that does not come."""
    monkeypatch.setattr(remote_policy, "CONNECT_TIMEOUT_NS", 300 * NS_PER_MS)


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is over soon after it was noticed last."""
    monkeypatch.setattr(LinkFault.NO_PLANS, "calm_ns", 900 * NS_PER_MS)
    monkeypatch.setattr(remote_policy, "IDLE_EVERY_S", 0.02)


def plans_again(policy: RemotePolicy, observed_ns: int, *, limit_s: float = 8.0) -> float:
    """Seconds until a plan comes; what happens before may only be `NoPlanError`."""
    begin_ns = CLOCK.now_ns()
    while CLOCK.now_ns() - begin_ns < limit_s * NS_PER_S:
        try:
            policy.plan(observation(observed_ns))
        except NoPlanError:
            continue
        return (CLOCK.now_ns() - begin_ns) / NS_PER_S
    raise AssertionError(f"no plan within {limit_s} s")


# ---- what it is for


@pytest.mark.parametrize("with_keys", [False, True])
def test_the_server_sees_what_the_robot_saw_and_the_robot_gets_its_plan(
    tmp_path: Path, with_keys: bool
) -> None:
    keys, folder = pair_of(tmp_path) if with_keys else (None, None)
    endpoint, planner = free_endpoint(), EchoPlanner()
    with serving(endpoint, planner, keys=keys), RemotePolicy(endpoint, keys=folder) as policy:
        assert policy.offer.vectors == {"measured": 2}
        assert policy.offer.images == {"wrist": 1}
        policy.reset(seed=7)
        seen = replace(observation(5), leftover=Leftover(np.ones((3, 8)), 2))
        row_HD = policy.plan(seen)
        assert row_HD.shape == (16, 8)
        assert row_HD[0, :3].tolist() == [7, 0, 5]
        assert same(planner.observations[0], seen)
        assert policy.plan(observation(6))[0, :3].tolist() == [7, 1, 6]
        policy.reset(seed=8)
        assert policy.plan(observation(9))[0, :3].tolist() == [8, 0, 9]
        assert planner.resets == [7, 8]
        offset = policy.clock_offset
        assert abs(offset.offset_ns) <= offset.uncertainty_ns  # one clock, seen from both sides
        age_ns = policy.alive_age_ns
        assert age_ns is not None
        assert age_ns < NS_PER_S
        assert policy.dropped == {}
        report = LinkReport.of(policy.link_report())
        assert report is not None
        assert (report.wanted, report.planned, report.lost, report.refused) == (1, 1, 0, 0)
        assert report.sent_bytes > 2000 > report.heard_bytes > 1000
        assert 0 < report.round_trip_p50_ms < 1000
        assert policy.news() == []


def test_what_the_robot_imports_is_little() -> None:
    code = (
        "import sys, robot_io.remote.policy;"
        "print({'torch', 'mujoco', 'cv2', 'policy', 'scripts'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


# ---- who may connect


@pytest.fixture
def guarded(tmp_path: Path, short: None) -> Iterator[tuple[str, Path]]:
    """A server with keys that trusts `robot`; its endpoint and the folder with all folders."""
    server, robot, stranger = key_folders(tmp_path, "server", "robot", "stranger")
    (server / "stranger.key").unlink()
    (robot / "stranger.key").unlink()
    (stranger / "robot.key").unlink()
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner(), keys=load_keys(server)):
        yield endpoint, tmp_path


def refusal(endpoint: str, folder: Path | None) -> str:
    with pytest.raises(FeelforwardError) as error, RemotePolicy(endpoint, keys=folder):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_known_robot_is_let_in(guarded: tuple[str, Path]) -> None:
    endpoint, root = guarded
    with RemotePolicy(endpoint, keys=root / "robot") as policy:
        policy.reset(1)
        policy.plan(observation())


def test_an_unknown_robot_is_refused_and_the_server_says_so_once(
    tmp_path: Path, short: None
) -> None:
    server, _, stranger = key_folders(tmp_path, "server", "robot", "stranger")
    (server / "stranger.key").unlink()
    (stranger / "robot.key").unlink()
    endpoint, said = free_endpoint(), []
    with serving(endpoint, EchoPlanner(), keys=load_keys(server), tell=said.append) as host:
        for count in (1, 2):
            assert "it does not know this robot's key" in refusal(endpoint, stranger)
            assert host.dropped == {"unknown key": count}
    assert said == ["A client with an unknown key was refused."]


def test_a_robot_that_expects_another_server_is_refused(guarded: tuple[str, Path]) -> None:
    endpoint, root = guarded
    other = (root / "stranger" / "stranger.key").read_bytes()
    (root / "robot" / "server.key").write_bytes(other)
    assert "its key is not the one trusted here" in refusal(endpoint, root / "robot")


def test_a_robot_without_keys_is_refused(guarded: tuple[str, Path]) -> None:
    endpoint, _ = guarded
    assert "only one side uses keys" in refusal(endpoint, None)


def test_a_server_without_keys_is_not_trusted(tmp_path: Path, short: None) -> None:
    _, folder = pair_of(tmp_path)
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner()):
        assert "No policy server" in refusal(endpoint, folder)


def test_without_a_doorkeeper_every_robot_is_refused(
    tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.live.serving.Doorkeeper", lambda *_, **__: nullcontext())
    keys, folder = pair_of(tmp_path)
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner(), keys=keys):
        assert "No policy server" in refusal(endpoint, folder)


def test_when_nobody_listens_the_robot_says_so(short: None) -> None:
    assert "nobody listens there" in refusal(free_endpoint(), None)


def test_a_robot_trusts_one_server_only(tmp_path: Path) -> None:
    _, robot, _ = key_folders(tmp_path, "server", "robot", "second")
    assert "its server only" in refusal("tcp://127.0.0.1:9", robot)


# ---- what is not believed


def test_garbage_does_no_harm_and_is_counted() -> None:
    endpoint = free_endpoint()
    with (
        serving(endpoint, EchoPlanner()) as server,
        Stranger(endpoint) as stranger,
        RemotePolicy(endpoint) as policy,
    ):
        policy.reset(3)
        for data in (b"", b"x" * 1000, b"\xdf\xff\xff\xff\xff", [b"a", b"b", b"c"]):
            stranger.say(data)
        assert eventually(lambda: server.dropped.get("garbage") == 4)
        assert policy.plan(observation())[0, 0] == 3


def test_an_oversized_message_ends_its_own_connection_only() -> None:
    endpoint = free_endpoint()
    with (
        serving(endpoint, EchoPlanner()) as server,
        RemotePolicy(endpoint) as policy,
        Stranger(endpoint) as stranger,
    ):
        policy.reset(3)
        stranger.say(bytes(1 << 24))
        assert policy.plan(observation())[0, 0] == 3
        assert stranger.hello() is not None  # ZMQ has connected anew
        assert "garbage" not in server.dropped


def test_another_version_is_told_so() -> None:
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner()), Stranger(endpoint) as stranger:
        answer = stranger.hello(version=VERSION + 1)
        assert isinstance(answer, Refusal)
        assert f"version {VERSION} of the protocol, this robot {VERSION + 1}" in answer.reason


def test_a_message_works_once_and_in_its_own_session_only() -> None:
    endpoint, planner = free_endpoint(), EchoPlanner()
    with serving(endpoint, planner) as server, Stranger(endpoint) as stranger:
        session = stranger.admitted().session
        ask = Ask(session, 5, 1, 1, observation())
        stranger.say(ask)
        assert isinstance(stranger.hear(), Plan)
        for old in (ask, replace(ask, sequence=4), Ping(session, 5)):
            stranger.say(old)
        stranger.say(replace(ask, session=fresh_nonce(), sequence=6))
        assert isinstance(stranger.hear(), Refusal)
        assert server.dropped == {"replayed": 3, "foreign": 1}
        assert len(planner.observations) == 1


def test_a_hello_works_once() -> None:
    endpoint, hello = free_endpoint(), Hello(VERSION, fresh_nonce())
    with serving(endpoint, EchoPlanner()) as server, Stranger(endpoint) as stranger:
        stranger.say(hello)
        assert isinstance(stranger.hear(), Welcome)
        stranger.say(hello)
        assert stranger.hear(limit_ms=50) is None
        assert server.dropped == {"replayed": 1}


Answer = Callable[[Ask, bytes], list[Reply | bytes]]


@pytest.fixture
def lying_server() -> Iterator[Callable[[Answer], str]]:
    """Starts a server that welcomes everybody and answers an ask with whatever it is told to."""
    ending = threading.Event()
    threads = []

    def start(answers: Answer) -> str:
        endpoint, ready = free_endpoint(), threading.Event()

        def work() -> None:
            with zmq.Context() as context:
                socket = context.socket(zmq.ROUTER)
                socket.bind(endpoint)
                ready.set()
                session = fresh_nonce()
                while not ending.is_set():
                    if not socket.poll(10):
                        continue
                    address, data = socket.recv_multipart()
                    request = REQUESTS.decode(data)
                    replies: list[Reply | bytes] = []
                    if isinstance(request, Hello):
                        replies = [Welcome(request.nonce, session, 50_000_000, 16, {}, {})]
                    elif isinstance(request, Ping):
                        replies = [Pong(session, request.sequence, 1, 1)]
                    elif isinstance(request, Ask):
                        replies = answers(request, session)
                    for reply in replies:
                        raw = reply if isinstance(reply, bytes) else REPLIES.encode(reply)
                        socket.send_multipart((address, raw))
                context.destroy(linger=0)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        assert ready.wait(5)
        return endpoint

    yield start
    ending.set()
    for thread in threads:
        thread.join()


def test_the_robot_takes_only_the_one_answer_to_its_question(
    lying_server: Callable[[Answer], str],
) -> None:
    def answers(ask: Ask, session: bytes) -> list[Reply | bytes]:
        def plan(value: float, **changes: object) -> Plan:
            row_HD = np.full((16, 8), value)
            return replace(Plan(session, ask.sequence, 1, 1, row_HD), **changes)

        right = plan(ask.sequence)
        forged = [
            b"garbage",
            plan(-1, session=fresh_nonce()),
            plan(-2, answers=ask.sequence + 1),
            Welcome(fresh_nonce(), fresh_nonce(), 1, 1, {}, {}),
            Refusal(fresh_nonce(), "go away"),
        ]
        return [*forged, right, right]

    with RemotePolicy(lying_server(answers)) as policy:
        policy.reset(1)
        first, second = (policy.plan(observation()) for _ in range(2))
        assert 0 < first[0, 0] < second[0, 0]
        dropped = policy.dropped
        assert dropped["garbage"] == 2
        assert dropped["foreign"] == 6
        (line,) = [line for line in policy.news() if "refused" in line]
        assert "a message was refused: garbage (Message is " in line
        report = LinkReport.of(policy.link_report())
        assert report is not None
        assert report.refused >= sum(dropped.values())
        assert dropped["repeated"] >= 3  # the second copy of the last plan may be unread yet


def test_no_answer_in_time_is_no_plan_and_a_late_one_is_not_taken_for_the_next(
    lying_server: Callable[[Answer], str],
) -> None:
    asked: list[Ask] = []

    def answers(ask: Ask, session: bytes) -> list[Reply | bytes]:
        asked.append(ask)
        if len(asked) == 1:
            return []
        row_HD = np.array([[1.0], [2.0]])
        return [
            Plan(session, each.sequence, 1, 1, row_HD + each.observation.observed_ns)
            for each in asked[-2:]
        ]

    with RemotePolicy(lying_server(answers)) as policy:
        policy.reset(1)
        begin_ns = CLOCK.now_ns()
        with pytest.raises(NoPlanError, match="no plan within 400 ms"):
            policy.plan(observation(100))
        assert 0.4 <= (CLOCK.now_ns() - begin_ns) / NS_PER_S < 1.5
        assert policy.plan(observation(200))[0, 0] == 201
        assert policy.dropped["late"] == 1


def test_what_the_policy_cannot_plan_from_is_no_plan_with_its_reason(
    calm: None,
) -> None:
    endpoint, planner = free_endpoint(), EchoPlanner()
    with serving(endpoint, planner), RemotePolicy(endpoint) as policy:
        policy.reset(1)
        planner.fault = "measured holds NaN\nor infinity"
        for _ in range(2):
            with pytest.raises(NoPlanError, match="cannot plan: measured holds NaN or infinity"):
                policy.plan(observation())
        planner.fault = None
        policy.plan(observation())
        lines = policy.news()
        assert eventually(lambda: lines.extend(policy.news()) or len(lines) == 2)
    assert lines[0] == (
        f"Policy server {endpoint}: it cannot plan: measured holds NaN or infinity."
    )
    assert lines[1].startswith(f"Policy server {endpoint}: well again after ")


# ---- who is served


def test_a_second_robot_is_refused_until_the_first_says_goodbye(short: None) -> None:
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner()):
        with RemotePolicy(endpoint) as first:
            assert "it serves another robot" in refusal(endpoint, None)
            first.reset(1)
            first.plan(observation())
        with RemotePolicy(endpoint):
            pass


def test_a_robot_that_vanished_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.live.serving.SILENCE_NS", 200 * NS_PER_MS)
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner()), Stranger(endpoint) as vanished:
        vanished.admitted()
        with RemotePolicy(endpoint) as policy:
            policy.reset(1)
            policy.plan(observation())


def test_an_idle_robot_keeps_its_place(monkeypatch: pytest.MonkeyPatch, short: None) -> None:
    monkeypatch.setattr("scripts.live.serving.SILENCE_NS", 200 * NS_PER_MS)
    monkeypatch.setattr("robot_io.remote.policy.IDLE_EVERY_S", 0.02)
    monkeypatch.setattr("robot_io.remote.link.PING_EVERY_NS", 20 * NS_PER_MS)
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner()), RemotePolicy(endpoint) as policy:
        assert "it serves another robot" in refusal(endpoint, None)  # tries for 300 ms
        policy.reset(1)
        policy.plan(observation())
        age_ns = policy.alive_age_ns
        assert age_ns is not None
        assert age_ns < 200 * NS_PER_MS


# ---- interruptions


def test_a_restarted_server_is_found_again_within_the_session(calm: None) -> None:
    endpoint, second = free_endpoint(), EchoPlanner()
    with serving(endpoint, EchoPlanner()):
        policy = RemotePolicy(endpoint).__enter__()
        policy.reset(seed=4)
        policy.plan(observation(1))
    with pytest.raises(NoPlanError):
        policy.plan(observation(2))
    with serving(endpoint, second):
        assert plans_again(policy, 3) < 3
        assert second.resets == [4]  # the new one has been told where the episode stands
        lines = policy.news()
        assert eventually(lambda: lines.extend(policy.news()) or len(lines) == 2)
        policy.__exit__()
    assert "no plan within 800 ms: nobody listens there." in lines[0]
    assert "well again after" in lines[1]


def test_a_server_that_goes_away_is_noticed_while_nobody_asks_for_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_policy, "IDLE_EVERY_S", 0.02)
    monkeypatch.setattr("robot_io.remote.link.PING_EVERY_NS", 20 * NS_PER_MS)
    monkeypatch.setattr("robot_io.remote.link.UNHEARD_NS", 300 * NS_PER_MS)
    endpoint = free_endpoint()
    with serving(endpoint, EchoPlanner()):
        policy = RemotePolicy(endpoint).__enter__()
        CLOCK.sleep_until(CLOCK.now_ns() + 50 * NS_PER_MS)
    lines: list[str] = []
    assert eventually(lambda: lines.extend(policy.news()) or bool(lines))
    policy.__exit__()
    assert lines == [f"Policy server {endpoint}: no answer for 0.3 s: nobody listens there."]


SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from policy_parts import EchoPlanner, OFFER
from robot_io.remote.keys import load_keys
from scripts.live.serving import PolicyServer
with PolicyServer(EchoPlanner(), OFFER, sys.argv[2], keys=load_keys(Path(sys.argv[3]))) as server:
    print("ready", flush=True)
    server.run()
"""


def test_a_slow_line_and_a_clock_that_was_set_are_told_once(
    lying_server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robot_io.remote.link.TRIPS", 3)
    clock_ns = iter(range(10**15, 10**18, 10**15))

    def answers(ask: Ask, session: bytes) -> list[Reply | bytes]:
        CLOCK.sleep_until(CLOCK.now_ns() + 60 * NS_PER_MS)  # a row is 50 ms
        stamp_ns = next(clock_ns)
        return [Plan(session, ask.sequence, stamp_ns, stamp_ns, np.zeros((16, 8)))]

    with RemotePolicy(lying_server(answers)) as policy:
        policy.reset(1)
        for _ in range(5):
            policy.plan(observation())
        lines = [line.split(": ", 1)[1] for line in policy.news()]
    assert len(lines) == 2
    assert lines[0].startswith("its clock has moved by ")
    assert lines[1].startswith("a round trip takes 6")
    assert lines[1].endswith(" ms, more than a row of 50 ms.")


@pytest.mark.slow
def test_a_server_process_killed_or_stopped_is_survived(tmp_path: Path) -> None:
    server, robot = key_folders(tmp_path, "server", "robot")
    endpoint = free_endpoint()

    def start() -> subprocess.Popen:
        arguments = [sys.executable, "-c", SERVER, str(Path(__file__).parent), endpoint, server]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    process = start()
    with RemotePolicy(endpoint, keys=robot) as policy:
        policy.reset(1)
        policy.plan(observation())
        for count in range(3):
            process.send_signal(signal.SIGKILL)
            process.wait()
            with pytest.raises(NoPlanError):
                policy.plan(observation())
            process = start()
            assert plans_again(policy, count) < 4
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(NoPlanError):
            policy.plan(observation())
        CLOCK.sleep_until(CLOCK.now_ns() + 3 * NS_PER_S)
        process.send_signal(signal.SIGCONT)
        assert plans_again(policy, 9) < 4
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    "weather",
    [
        Weather(delay_s=0.05, spread_s=0.2),
        Weather(twice=0.3, spread_s=0.05),
        Weather(loss=0.15),
        Weather(loss=0.1, delay_s=0.02, spread_s=0.1, twice=0.1),
    ],
    ids=["delay and reordering", "duplicates", "loss", "all"],
)
def test_on_a_bad_line_each_plan_is_the_right_one_or_none(weather: Weather) -> None:
    endpoint, planner = free_endpoint(), EchoPlanner()
    with (
        serving(endpoint, planner),
        bad_line(endpoint, weather) as entrance,
        RemotePolicy(entrance) as policy,
    ):
        policy.reset(seed=6)
        planned = 0
        for observed_ns in range(1, 21):
            try:
                row_HD = policy.plan(observation(observed_ns))
            except NoPlanError:
                continue
            assert row_HD[0, [0, 2]].tolist() == [6, observed_ns]
            planned += 1
        assert planned >= 10
        offset = policy.clock_offset
        assert abs(offset.offset_ns) <= offset.uncertainty_ns
        assert policy._link.offset.jumps == 0


@pytest.mark.slow
def test_after_an_outage_of_the_line_plans_come_again() -> None:
    endpoint, weather = free_endpoint(), Weather()
    with (
        serving(endpoint, EchoPlanner()),
        bad_line(endpoint, weather) as entrance,
        RemotePolicy(entrance) as policy,
    ):
        policy.reset(seed=6)
        policy.plan(observation(MonoNs(1)))
        weather.cut = True
        for _ in range(4):  # longer than either side takes the other for alive
            with pytest.raises(NoPlanError):
                policy.plan(observation(2))
        weather.cut = False
        assert plans_again(policy, 3) < 4


@pytest.mark.slow
def test_a_session_outlives_its_server_and_goes_on_with_the_next(
    make_spec: Callable[..., SessionSpec], tmp_path: Path
) -> None:
    """Plan, then the plan's tail, then hold; and plan again, in one episode."""
    spec = make_spec()
    offer = Offer(spec.step_ns, 8, dict(spec.vectors), dict(spec.images))
    endpoint, servers = free_endpoint(), ExitStack()
    policy = Factory("robot_io.remote.policy:RemotePolicy", {"endpoint": endpoint})
    away_ns: list[int] = []

    def start() -> None:
        servers.enter_context(serving(endpoint, CirclePlanner(rows=8), offer=offer))

    def interrupt(view: View) -> None:
        now_ns = CLOCK.now_ns()
        if not away_ns and any(isinstance(each, ActionChunk) for each in view.messages):
            servers.close()
            away_ns.append(now_ns)
        elif len(away_ns) == 1 and now_ns > away_ns[0] + 2 * NS_PER_S:
            start()
            away_ns.append(now_ns)

    start()
    told: list[str] = []
    spec = replace(spec, policy=policy, record=tmp_path / "run")
    with servers, Session(spec, tell=told.append) as session:
        outcome = session.run_episode(seed=1, limit_s=8, watch=interrupt)
    record, link = outcome.record, outcome.link
    rungs = [str(rung) for rung in record.rung_N]
    order = [rung for k, rung in enumerate(rungs) if k == 0 or rungs[k - 1] != rung]
    planned = [k for k, rung in enumerate(order) if rung == "plan"]
    assert len(planned) >= 2
    assert "hold" in order[planned[0] : planned[-1]]
    assert "stopped" not in order[: planned[-1]]  # in the end it is, as an arm without a world
    assert record.chunk_N.max() >= 5
    begin, end = (line for line in told if line.startswith("Policy server "))
    assert "no plan within" in begin
    assert "well again after" in end
    assert link is not None
    assert link.planned >= 5
    assert link.lost >= 1
    with (tmp_path / "run" / "episode_1.mcap").open("rb") as file:
        metadata = {each.name: each.metadata for each in make_reader(file).iter_metadata()}
    assert metadata["policy_link"]["wanted"] == str(link.wanted)


ROBOT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from policy_parts import CLOCK, observation
from robot_io.interfaces import NoPlanError
from robot_io.remote.policy import RemotePolicy
with RemotePolicy(sys.argv[2], keys=sys.argv[3]) as policy:
    policy.reset(1)
    while True:
        try:
            policy.plan(observation(CLOCK.now_ns()))
            print("plan", flush=True)
        except NoPlanError as error:
            print(error, flush=True)
        CLOCK.sleep_until(CLOCK.now_ns() + 50_000_000)
"""


def run_ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def two_machines() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: 10.90.0.1 and 10.90.0.2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the command ip")
    names = (f"ff{os.getpid()}a", f"ff{os.getpid()}b")
    try:
        try:
            for name in names:
                run_ip("netns", "add", name)
            ends = ("type", "veth", "peer", "name", "cable", "netns", names[1])
            run_ip("-n", names[0], "link", "add", "cable", *ends)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        for count, name in enumerate(names, start=1):
            run_ip("-n", name, "address", "add", f"10.90.0.{count}/24", "dev", "cable")
            run_ip("-n", name, "link", "set", "cable", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.mark.slow
def test_between_two_machines_a_pulled_cable_costs_plans_and_nothing_else(
    two_machines: tuple[str, str], tmp_path: Path
) -> None:
    server_keys, robot_keys = key_folders(tmp_path, "server", "robot")
    endpoint = "tcp://10.90.0.1:5555"

    def start(machine: str, script: str, keys: Path) -> subprocess.Popen:
        inside = ["ip", "netns", "exec", machine]
        arguments = [sys.executable, "-c", script, str(Path(__file__).parent), endpoint, keys]
        return subprocess.Popen([*inside, *arguments], stdout=subprocess.PIPE, text=True)

    with (
        start(two_machines[0], SERVER, server_keys) as server,
        start(two_machines[1], ROBOT, robot_keys) as robot,
    ):
        try:
            assert robot.stdout is not None

            def reads(word: str, *, lines: int) -> bool:
                return any(word in robot.stdout.readline() for _ in range(lines))

            for _ in range(2):
                assert reads("plan\n", lines=10)
                run_ip("-n", two_machines[0], "link", "set", "cable", "down")
                assert reads("no plan within 800 ms", lines=60)
                CLOCK.sleep_until(CLOCK.now_ns() + 4 * NS_PER_S)  # both sides give up meanwhile
                run_ip("-n", two_machines[0], "link", "set", "cable", "up")
                assert reads("plan\n", lines=20)
            assert server.poll() is None
            assert robot.poll() is None
        finally:
            server.kill()
            robot.kill()
