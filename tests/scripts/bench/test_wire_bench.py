"""`feelforward bench wire`: its budget, and its short form on real processes."""

from collections.abc import Callable

import pytest

from robot_io.session.timing import Percentiles
from scripts.bench import wire
from scripts.bench.wire import BUDGET_MS, CURVE, PLAIN
from scripts.cli import main

MOST_MS = 10 * BUDGET_MS  # of the p99 beside whatever else a test machine does


@pytest.mark.parametrize(("p99_ms", "code"), [(BUDGET_MS, 0), (BUDGET_MS + 0.1, 1)])
def test_the_budget_is_for_the_p99_with_curve(
    bench: Callable, monkeypatch: pytest.MonkeyPatch, p99_ms: float, code: int
) -> None:
    spreads = {
        f"round trip {CURVE}": Percentiles(1.0, p99_ms, 90.0),
        f"round trip {PLAIN}": Percentiles(1.0, 80.0, 90.0),
    }
    sizes = {"raw": 122_880, "message": 66_000}
    monkeypatch.setattr(wire, "measure", lambda seconds: (spreads, 700, sizes))
    got, figures = bench("wire")
    assert got == code
    assert figures["ms"][f"round trip {CURVE}"]["p99"] == p99_ms
    assert (figures["budget_ms"], figures["round_trips"]) == (BUDGET_MS, 700)


@pytest.mark.parametrize("seconds", ["0", "nan"])
def test_too_short_a_time_is_one_sentence(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "wire", "--seconds", seconds])
    assert f"--seconds {seconds}, allowed 1 to 86400." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_short_form_times_plans_over_loopback_with_curve_and_without(bench: Callable) -> None:
    code, figures = bench("wire", "--seconds", "4")
    curve, plain = (figures["ms"][f"round trip {way}"] for way in (CURVE, PLAIN))
    assert code == (0 if curve["p99"] <= BUDGET_MS else 1)
    assert figures["round_trips"] > 20
    for spread in (curve, plain):
        assert 0.2 < spread["p50"] <= spread["p99"] <= spread["max"]
        assert spread["p99"] < MOST_MS
    assert curve["p50"] < 3 * BUDGET_MS
    parts = [name for name in figures["ms"] if name.startswith("  ")]
    assert len(parts) == 4
    assert sum(figures["ms"][name]["p50"] for name in parts) == pytest.approx(curve["p50"], rel=0.5)
    assert figures["bytes"]["raw"] == 2 * 2 * 3 * (96 * 96 + 32 * 32)
    assert figures["bytes"]["raw"] / 3 < figures["bytes"]["message"] < figures["bytes"]["raw"]
    assert figures["machine"]["packages"].keys() >= {"feelforward", "numpy", "pyzmq"}
