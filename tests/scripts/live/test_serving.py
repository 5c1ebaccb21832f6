"""Serving a checkpoint: who gets the place, how the command begins and ends."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from policy.config import PolicyConfig
from robot_io.clock import NS_PER_MS
from robot_io.remote.protocol import (
    NOBODY,
    VERSION,
    Ask,
    Bye,
    Hello,
    Ping,
    Refusal,
    Welcome,
    fresh_nonce,
)
from robot_io.types import MonoNs, Observation
from scripts.cli import main
from scripts.commands.evaluate import Evaluate
from scripts.commands.run import Run
from scripts.live.serving import REMEMBERED, SILENCE_NS, Offer, Place, offer_of

OFFER = Offer(100 * NS_PER_MS, 16, {"measured": 8}, {"wrist": 1})


def hello(previous: bytes = NOBODY) -> Hello:
    return Hello(VERSION, fresh_nonce(), previous)


def taken_at(now_ns: int) -> Place:
    place = Place(OFFER)
    assert isinstance(place.admit(hello(), now_ns), Welcome)
    return place


# ---- the place


def test_a_welcome_says_what_the_policy_wants_and_names_a_fresh_session() -> None:
    sessions = set()
    for _ in range(10):
        place, greeting = Place(OFFER), hello()
        welcome = place.admit(greeting, 0)
        assert isinstance(welcome, Welcome)
        assert (welcome.nonce, welcome.session) == (greeting.nonce, place.session)
        assert (welcome.step_ns, welcome.rows) == (OFFER.step_ns, 16)
        assert (welcome.vectors, welcome.images) == (OFFER.vectors, OFFER.images)
        sessions.add(welcome.session)
    assert len(sessions) == 10


def test_the_place_is_free_again_only_after_a_silence() -> None:
    place = taken_at(0)
    refusal = place.admit(hello(), SILENCE_NS)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "it serves another robot"
    assert isinstance(place.admit(hello(), SILENCE_NS + 1), Welcome)


def test_every_message_of_the_session_breaks_the_silence() -> None:
    place = taken_at(0)
    assert place.is_news(Ping(place.session, 1), SILENCE_NS)
    assert isinstance(place.admit(hello(), 2 * SILENCE_NS), Refusal)
    place.excuse(3 * SILENCE_NS)  # we were busy
    assert isinstance(place.admit(hello(), 4 * SILENCE_NS), Refusal)


def test_who_knows_the_session_replaces_it_at_once() -> None:
    place = taken_at(0)
    old = place.session
    assert isinstance(place.admit(hello(previous=fresh_nonce()), 1), Refusal)
    assert isinstance(place.admit(hello(previous=old), 1), Welcome)
    assert not place.is_news(Ping(old, 100), 2)
    assert place.dropped == {"foreign": 1}


def test_numbers_must_rise_strictly() -> None:
    place = taken_at(0)
    ask = Ask(place.session, 7, 1, 1, Observation(MonoNs(1), {}))
    assert place.is_news(ask, 1)
    for sequence in (7, 6, 1):
        assert not place.is_news(replace(ask, sequence=sequence), 2)
        assert not place.is_news(Bye(place.session, sequence), 2)
    assert place.is_news(replace(ask, sequence=8), 3)
    assert place.dropped == {"replayed": 6}


def test_a_session_that_is_over_is_foreign() -> None:
    place = taken_at(0)
    session = place.session
    place.leave()
    assert not place.is_news(Ping(session, 1), 1)
    assert not place.is_news(Ping(NOBODY, 1), 1)
    assert isinstance(place.admit(hello(), 1), Welcome)


def test_a_hello_is_answered_once() -> None:
    place, greeting = Place(OFFER), hello()
    assert isinstance(place.admit(greeting, 0), Welcome)
    place.leave()
    for _ in range(REMEMBERED - 1):
        place.admit(replace(hello(), version=VERSION + 1), 0)
    assert place.admit(greeting, 0) is None
    assert not place.taken


def test_what_is_offered_is_what_the_config_says() -> None:
    config = PolicyConfig.model_validate(
        {
            "action": "tool",
            "vectors": [{"name": "measured", "history": 8}],
            "images": [{"name": "wrist", "history": 1}],
        }
    )
    assert offer_of(config) == OFFER


# ---- the commands


def sentence(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a failing command says on stderr: one line, with exit code 1."""
    with pytest.raises(SystemExit) as leaving:
        main(list(arguments))
    assert leaving.value.code == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_serving_beyond_this_machine_without_keys_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = sentence(capsys, "serve", "--bind", "tcp://0.0.0.0:5555")
    assert "reaches beyond this machine" in text
    assert "--keys" in text


def test_asking_beyond_this_machine_without_keys_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = sentence(capsys, "run", "--policy", "tcp://10.0.0.1:5555")
    assert "reaches beyond this machine" in text


def test_a_remote_policy_needs_real_time(capsys: pytest.CaptureFixture[str]) -> None:
    text = sentence(capsys, "evaluate", "--policy", "tcp://127.0.0.1:5555")
    assert "--mode realtime" in text


def test_joining_is_chosen_where_the_policy_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = sentence(capsys, "run", "--policy", "tcp://127.0.0.1:5555", "--joining", "guided")
    assert "feelforward serve --joining guided" in text


def test_the_address_and_the_keys_arrive_typed() -> None:
    assert Run(policy="tcp://gpu:1", keys=Path("k")).keys == Path("k")
    assert Evaluate(mode="realtime", policy="tcp://gpu:1").policy == "tcp://gpu:1"


def test_keys_are_made_once_and_the_command_says_which_file_goes_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("keys", "--out", str(tmp_path / "keys"), "--name", "robot")
    main(list(arguments))
    said = capsys.readouterr().out
    assert "robot.key_secret stays here" in said
    assert "robot.key goes into the folder of keys on the other machine" in said
    assert "exists and stays as it is" in sentence(capsys, *arguments)


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A `feelforward serve` that is ready; its process and address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    process = start_serving(endpoint, *arguments)
    try:
        assert process.stdout is not None
        assert f"at {endpoint} to " in process.stdout.readline()
        yield process, endpoint
    finally:
        process.kill()
        process.communicate()


def start_serving(endpoint: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "scripts.cli", "serve", "--bind", endpoint, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_server_ends_at_once_and_cleanly_when_asked(number: signal.Signals, code: int) -> None:
    with served() as (process, endpoint):
        other = start_serving(endpoint)
        _, said = other.communicate(timeout=60)
        assert other.returncode == 1
        assert "Address already in use. End the other server" in said
        assert said.count("\n") == 1
        process.send_signal(number)
        _, said = process.communicate(timeout=5)
        assert process.returncode == code
        assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_robot_without_a_checkpoint_tightens_a_cap_with_a_served_policy(tmp_path: Path) -> None:
    cli = [sys.executable, "-m", "scripts.cli"]
    for name in ("gpu", "robot"):
        command = [*cli, "keys", "--out", str(tmp_path / name), "--name", name]
        subprocess.run(command, check=True, capture_output=True)
    for name, other in (("gpu", "robot"), ("robot", "gpu")):
        public = (tmp_path / name / f"{name}.key").read_bytes()
        (tmp_path / other / f"{name}.key").write_bytes(public)
    with served("--keys", str(tmp_path / "gpu")) as (_, endpoint):
        keys = ["--keys", str(tmp_path / "robot")]
        command = [*cli, "run", "--policy", endpoint, *keys]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "episodes" in done.stdout
    assert "time_out" not in done.stdout
    assert "stopped" not in done.stdout
    assert "Link in episode 100000: " in done.stdout
    assert " 0 messages refused; round trip p50 " in done.stdout
