"""`feelforward bench stop`: its budget, and its short form on the real processes."""

import json
from pathlib import Path

import numpy as np
import pytest

from scripts import stop_bench
from scripts.cli import main
from scripts.stop_bench import BUDGET_MS, WAYS, StopTime

MS = 1_000_000


def figures_of(folder: Path, monkeypatch: pytest.MonkeyPatch, last_ms: float) -> tuple[int, dict]:
    """Exit code and figures when one of 50 messages took that long."""
    quick = [StopTime(0, 5 * MS, 6 * MS)] * 49
    slow = StopTime(0, 1 * MS, round(last_ms * MS))
    found = {WAYS[0]: [*quick, quick[0]], WAYS[1]: [*quick, slow]}
    monkeypatch.setattr(stop_bench, "measure", lambda times, seed: found)
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
def test_the_short_form_stops_a_real_session_with_a_key_and_with_a_message() -> None:
    stops = stop_bench.measure(3, seed=1)
    assert {way: len(found) for way, found in stops.items()} == dict.fromkeys(WAYS, 3)
    for found in stops.values():
        took_ms = np.array([stop.sent_ns - stop.pressed_ns for stop in found]) / MS
        assert (took_ms > 0).all()
        assert np.median(took_ms) < BUDGET_MS
        assert all(stop.begun_ns <= stop.sent_ns for stop in found)
