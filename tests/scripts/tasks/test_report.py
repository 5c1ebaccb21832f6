import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from robot_io.errors import FeelforwardError
from robot_io.files import replacing
from robot_io.session.timing import Percentiles, Timing
from scripts.tasks.report import EpisodeResult, Report

RESULTS = (
    EpisodeResult(1, "success", 200, {"torque_nm": 0.6}),
    EpisodeResult(2, "over_torque", 150, {"torque_nm": 0.9}),
    EpisodeResult(3, "success", 210, {"torque_nm": 0.6}),
    EpisodeResult(4, "over_torque", 150, {"torque_nm": 0.9}),
)


def report() -> Report:
    late = Percentiles(0.1, 1.0, 2.0)
    timing = Timing(1000, 3, late, late, inference_ms=late, first_command_ms=late)
    return Report("tighten_cap", "TightenCap", "realtime", RESULTS, timing=timing)


def test_the_json_holds_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report().save(path)
    facts = json.loads(path.read_text())
    assert (facts["episodes"], facts["successes"], facts["success_rate"]) == (4, 2, 0.5)
    assert facts["ci95"] == pytest.approx([0.150, 0.850], abs=1e-3)
    assert facts["failures"] == {"over_torque": 2}
    assert facts["tick_lateness_ms"] == {"p50": 0.1, "p99": 1.0, "max": 2.0}
    assert facts["scores"]["torque_nm"] == pytest.approx(0.75)


def test_the_table_says_how_sure_the_rate_is() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report().table())
    text = console.export_text()
    assert "2 = 50.0 %  (95 %: 15.0 to 85.0)" in text
    assert "over_torque" in text
    assert "p50 0.10, p99 1.00, max 2.00 ms" in text


def test_the_card_says_how_to_measure_again() -> None:
    text = report().markdown("feelforward evaluate")
    assert "| command | `feelforward evaluate` |" in text
    assert "| successes | 2 of 4 (95 %: 15.0 to 85.0) |" in text
    assert "| failures | over_torque 2 |" in text


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FeelforwardError, match="cannot be written"),
        replacing(tmp_path / "file" / "report.json"),
    ):
        pass
