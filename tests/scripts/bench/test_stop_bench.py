"""`feelforward bench stop`: its budget, and its short form on the real processes."""

import json
from pathlib import Path

import pytest

from scripts.bench import stop
from scripts.bench.stop import BUDGET_MS, WAYS, StopTime
from scripts.cli import main

MS = 1_000_000
MOST_MS = 5 * BUDGET_MS  # of a handful of stops beside whatever else a test machine does


def figures_of(folder: Path, monkeypatch: pytest.MonkeyPatch, last_ms: float) -> tuple[int, dict]:
    """Exit code and figures when one of 50 messages took that long."""
    quick = [StopTime(0, 5 * MS, 6 * MS)] * 49
    slow = StopTime(0, 1 * MS, round(last_ms * MS))
    found = {WAYS[0]: [*quick, quick[0]], WAYS[1]: [*quick, slow]}
    monkeypatch.setattr(stop, "measure", lambda times, seed: found)
    monkeypatch.setattr("scripts.graphics.need_rendering", lambda: None)
    path, code = folder / "stop.json", 0
    try:
        main(["bench", "stop", "--json", str(path)])
    except SystemExit as ended:
        code = int(str(ended.code))
    return code, json.loads(path.read_text())


def test_quick_stops_keep_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, figures = figures_of(tmp_path, monkeypatch, 9.0)
    assert code == 0
    assert {each["kept"] for each in figures["budgets"]} == {True}
    assert figures["ms"][WAYS[1]]["max"] == 9.0
    assert figures["ms"][f"{WAYS[0]}: tick"]["p50"] == 1.0


def test_one_slow_stop_in_fifty_misses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, figures = figures_of(tmp_path, monkeypatch, 60.0)
    assert code == 1
    assert [each["kept"] for each in figures["budgets"]] == [True, False]


def test_no_stops_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "stop", "--times", "0"])
    assert "--times 0, allowed 1 to" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_short_form_stops_a_real_session_with_a_key_and_with_a_message(tmp_path: Path) -> None:
    """On a machine as slow as it may be: a stop that waits for a plan, or for a queue, shows."""
    path, code = tmp_path / "stop.json", 0
    try:
        main(["bench", "stop", "--times", "4", "--json", str(path)])
    except SystemExit as ended:
        code = int(str(ended.code))
    figures = json.loads(path.read_text())
    assert code == (0 if all(each["kept"] for each in figures["budgets"]) else 1)
    assert [each["limit_ms"] for each in figures["budgets"]] == [BUDGET_MS, BUDGET_MS]
    for way in WAYS:
        whole, wait, tick = (figures["ms"][name] for name in (way, f"{way}: wait", f"{way}: tick"))
        assert whole["n"] == wait["n"] == tick["n"] == 4
        assert 0 < whole["p50"] < BUDGET_MS
        assert whole["p50"] <= whole["p99"] < MOST_MS
        assert wait["max"] <= whole["max"]
    assert figures["machine"]["packages"].keys() >= {"feelforward", "numpy", "mujoco"}
