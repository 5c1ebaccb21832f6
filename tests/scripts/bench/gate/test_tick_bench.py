"""`feelforward bench tick`: its budgets, and its short form on the real gate."""

from collections.abc import Callable

import pytest

from robot_io.session.timing import Percentiles
from scripts.bench.gate import tick
from scripts.bench.gate.tick import BUDGET_MS
from scripts.cli import main

ONE_TICK, A_PLAN = BUDGET_MS
MOST_MS = 20  # of a median beside whatever else a test machine does


@pytest.mark.parametrize(
    ("one_tick_ms", "a_plan_ms", "kept"),
    [(0.5, 15.0, [True, True]), (0.51, 15.0, [False, True]), (0.5, 15.1, [True, False])],
)
def test_a_tick_and_a_plan_have_a_budget_each(
    bench: Callable,
    monkeypatch: pytest.MonkeyPatch,
    one_tick_ms: float,
    a_plan_ms: float,
    kept: list[bool],
) -> None:
    spreads = {
        "nearest": Percentiles(1.0, 99.0, 99.0),  # has none
        ONE_TICK: Percentiles(0.1, one_tick_ms, 99.0),
        A_PLAN: Percentiles(1.0, a_plan_ms, 99.0),
    }
    monkeypatch.setattr(tick, "measure", lambda ticks: spreads)
    monkeypatch.setattr(tick, "import_ms", lambda: 100.0)
    code, figures = bench("tick")
    assert [each["kept"] for each in figures["budgets"]] == kept
    assert code == (0 if all(kept) else 1)


@pytest.mark.parametrize("ticks", ["0", "99", "2000000"])
def test_too_few_ticks_are_one_sentence(ticks: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "tick", "--ticks", ticks])
    assert f"--ticks {ticks}, allowed 100 to 1000000." in capsys.readouterr().err


@pytest.mark.slow
def test_the_short_form_times_the_real_gate_and_what_a_tick_consists_of(bench: Callable) -> None:
    code, figures = bench("tick", "--ticks", "100")
    assert code == (0 if all(each["kept"] for each in figures["budgets"]) else 1)
    ms = figures["ms"]
    assert {ONE_TICK, A_PLAN, "nearest", "joints for one tick", "one tick, all three"} < set(ms)
    for spread in ms.values():
        assert 0 < spread["p50"] <= spread["p99"] <= spread["max"]
        assert spread["p50"] < MOST_MS
    assert ms["one tick, all three"]["p50"] > ms["nearest"]["p50"]
    assert ms[A_PLAN]["p50"] > ms[ONE_TICK]["p50"]
