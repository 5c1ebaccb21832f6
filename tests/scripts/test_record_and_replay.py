"""`run --record` and `replay`, as a user meets them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.controller import Controller
from robot_io.control.record import EpisodeLog, EpisodeRecord
from robot_io.machine import made_by
from robot_io.types import ArmState, MonoNs
from scripts.cli import main
from scripts.robot import load_robot


def run(*arguments: str) -> int:
    """Exit code of the command line."""
    try:
        main(list(arguments))
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of two short episodes without plans."""
    control = load_robot().control_spec()
    controller, log = Controller(control, 0), EpisodeLog(control, 0)
    home_D = np.array([0.45, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.04])
    for tick in range(20):
        state = ArmState(MonoNs(tick * 10 * NS_PER_MS), home_D, np.zeros(7))
        log.add(controller.tick(state.stamp_ns, state), state)
    for seed in (1, 2):
        log.record().save(tmp_path / f"episode_{seed}.npz")
    return tmp_path


def test_every_episode_of_a_folder_is_replayed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", str(folder)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "episode_1.npz: 20 commands, bit-identical",
        "episode_2.npz: 20 commands, bit-identical",
    ]


def test_the_first_command_that_differs_is_shown_and_the_exit_code_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "episode_2.npz"
    record = EpisodeRecord.load(path)
    sent_ND = record.sent_ND.copy()
    sent_ND[7:, 2] += 1e-9
    replace(record, sent_ND=sent_ND).save(path)
    assert run("replay", str(path)) == 1
    assert capsys.readouterr().out == (
        "episode_2.npz: 7 of 20 commands identical; the first other: tick 7 (0.07 s after the"
        " first, due at 70000000 ns): sent[2] was 0.300000001 and is now 0.3\n"
    )
    assert run("replay", str(folder)) == 1


def test_where_a_command_differs_the_other_versions_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "episode_2.npz"
    record = EpisodeRecord.load(path)
    made = json.dumps({**made_by(), "numpy": "1.0"})
    replace(record, sent_ND=record.sent_ND + 1, made_by=made).save(path)
    assert run("replay", str(path)) == 1
    assert capsys.readouterr().out.splitlines()[1] == f"  made with numpy 1.0, now {np.__version__}"


def test_an_episode_with_a_flight_record_only_is_named_and_not_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "episode_1.mcap").touch()
    (folder / "episode_0.mcap").touch()
    assert run("replay", str(folder)) == 1
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("episode_0: no record to replay. ")
    assert len(others) == 2 and all(line.endswith("bit-identical") for line in others)
    assert run("replay", str(folder / "episode_0.mcap")) == 1
    assert run("replay", str(folder / "episode_1.mcap")) == 0


def test_a_record_from_before_it_named_its_versions_still_replays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "episode_1.npz"
    with np.load(path) as stored:
        old = {name: stored[name] for name in stored if name not in ("made_by", "garbage")}
    np.savez(path, allow_pickle=False, **old)
    assert run("replay", str(path)) == 0
    assert EpisodeRecord.load(path).made_by == "{}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("replay", "none.npz"), "none.npz is cut short, or not an episode record"),
        (("replay", "."), "holds no episode_*.npz. Record a run"),
        (("evaluate", "--record", "there"), "--record there works with --mode realtime only"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_recorded_run_of_the_shipped_policy_replays_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run("run", "--episodes", "1", "--record", str(folder)) == 0
    capsys.readouterr()
    assert run("replay", str(folder)) == 0
    assert capsys.readouterr().out.endswith(" commands, bit-identical\n")
    record = EpisodeRecord.load(folder / "episode_100000.npz")
    assert (record.stamp_ns_N[-1] - record.stamp_ns_N[0]) / NS_PER_S > 5
    assert record.joint_rad_NJ.shape == (len(record.stamp_ns_N), 7)
    with (folder / "episode_100000.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None and summary.statistics is not None
    counts = summary.statistics.channel_message_counts
    topics = {channel.topic: counts.get(number, 0) for number, channel in summary.channels.items()}
    assert topics["/command"] == topics["/arm"] == len(record.stamp_ns_N)
    assert topics["/chunk"] == (record.message_outcome_M == "accepted").sum()
    streams = ("wrist", "scene", "tactile_left", "tactile_right")
    cameras = [f"/camera/{name}" for name in streams]
    assert topics.keys() == {"/command", "/arm", "/chunk", "/refused", *cameras}
