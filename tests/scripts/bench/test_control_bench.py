"""The arithmetic and the short form of `feelforward bench control`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.bench import pacing_peers
from scripts.bench.control import (
    OURS,
    PEERS,
    Ages,
    Lateness,
    Phase,
    Spread,
    Verdict,
    verdicts,
)
from scripts.bench.control_phases import WITH_FIFO, WITHOUT
from scripts.cli import main

PERIOD_NS = 10_000_000
MS = 1_000_000


def lateness(*ms: float) -> Lateness:
    return Lateness(np.array(ms) * MS, 0)


def phase(ours: Lateness, *, naive: Lateness, lerobot: Lateness, age_ms: float = 80) -> Phase:
    whole = Spread.of_ns(np.array([age_ms * MS]))
    return Phase("", {OURS: ours, "naive": naive, "lerobot": lerobot}, Ages(whole, (), {}, 0))


def kept(of: Phase) -> dict[str, bool]:
    return {verdict.what: verdict.kept for verdict in verdicts(of)}


def test_a_peer_is_late_against_the_period_that_its_last_turn_began() -> None:
    began_ns_N = np.cumsum([0, 10, 10, 25, 10]) * MS
    turns = Lateness.of_turns(began_ns_N, [(0, 10**12)], PERIOD_NS)
    assert (turns.late_ns_N / MS).tolist() == [0, 0, 15, 0]
    assert turns.lost == 1  # of the six on a grid there were five


def test_a_peer_that_drifts_is_little_late_but_loses_turns() -> None:
    began_ns_N = np.arange(1000) * (PERIOD_NS + MS // 10)
    turns = Lateness.of_turns(began_ns_N, [(0, 10**12)], PERIOD_NS)
    assert turns.spread.max == pytest.approx(0.1)
    assert turns.lost == 9


def test_only_what_lies_in_a_window_counts_and_no_gap_between_two() -> None:
    began_ns_N = np.array([0, 10, 20, 500, 510, 520, 900]) * MS
    windows_ns = [(0, 100 * MS), (505 * MS, 600 * MS), (700 * MS, 800 * MS)]
    turns = Lateness.of_turns(began_ns_N, windows_ns, PERIOD_NS)
    assert (turns.late_ns_N / MS).tolist() == [0, 0, 0]
    assert turns.lost == 0


def test_every_budget_is_kept_by_a_loop_that_is_on_time() -> None:
    good = phase(lateness(0.1), naive=lateness(0.2), lerobot=lateness(0.3))
    assert set(kept(good).values()) == {True}
    assert len(verdicts(good)) == 3 + 2 * len(PEERS)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"ours": lateness(1.5)}, {"tick lateness p99"}),
        ({"ours": lateness(5.0)}, {"tick lateness p99", "tick lateness p99.9"}),
        ({"age_ms": 151.0}, {"exposure to first command p99"}),
        ({"age_ms": float("nan")}, {"exposure to first command p99"}),
        ({"naive": lateness(0.05)}, {"p99 beside naive", "p99.9 beside naive"}),
        ({"lerobot": Lateness(np.empty(0), 0)}, {"p99 beside lerobot", "p99.9 beside lerobot"}),
    ],
)
def test_each_budget_can_be_missed(change: dict, missed: set[str]) -> None:
    parts = {"ours": lateness(0.1), "naive": lateness(9.0), "lerobot": lateness(9.0)}
    found = kept(phase(**{**parts, **change}))
    assert {what for what, good in found.items() if not good} == missed


def test_a_verdict_says_what_was_measured_what_was_allowed_and_the_word() -> None:
    line = Verdict("tick lateness p99", 1.5, 1.0).line()
    assert line == "tick lateness p99: 1.500 ms, limit 1.000 ms: MISSED"


@pytest.mark.parametrize("way", PEERS)
def test_a_peer_paces_until_its_input_is_closed_and_says_when_its_turns_began(way: str) -> None:
    arguments = [sys.executable, pacing_peers.__file__, way, "500"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe) as peer:
        out, _ = peer.communicate(timeout=20)
    said = json.loads(out)
    assert said["fifo"] is False
    assert "sleep" in said["paced_by"]
    assert (np.diff(said["began_ns"]) >= 2_000_000).all()


def test_too_short_a_time_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "control", "--seconds", "nan"])
    assert "--seconds nan, allowed 4 to 86400." in capsys.readouterr().err


def test_a_python_without_lerobot_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "control", "--lerobot-python", "/bin/false"])
    assert "--lerobot-python /bin/false: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_short_form_measures_ticks_peers_and_ages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures_path, plot_path = tmp_path / "control.json", tmp_path / "control.png"
    arguments = ["--seconds", "6", "--json", str(figures_path), "--plot", str(plot_path)]
    code = 0
    try:
        main(["bench", "control", *arguments])
    except SystemExit as ended:
        code = int(str(ended.code))
    figures = json.loads(figures_path.read_text())
    assert code == (0 if all(each["kept"] for each in figures["budgets"]) else 1)
    assert "Control process: " in capsys.readouterr().out
    assert plot_path.stat().st_size > 1000
    for name in (WITH_FIFO, WITHOUT):
        found = figures["phases"][name]
        ours, age, parts = found["lateness_ms"][OURS], found["age_ms"], found["age_parts_ms"]
        assert 200 < ours["n"] + ours["lost"] < 400
        assert all(found["lateness_ms"][peer]["n"] > 50 for peer in PEERS)
        assert 0 < age["p50"] < 500
        assert age["n"] > 5
        assert all(part["p50"] <= age["max"] for part in parts.values())
