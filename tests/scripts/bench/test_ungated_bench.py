"""What the gate costs: counted in pairs, and what goes without a gate is a simulation."""

import numpy as np
import pytest

from robot_io.control.loop import Rung, Tick
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict, VerdictKind
from scripts.bench.episode_log import Played
from scripts.bench.ungated import GATED, UNGATED, Condition, Judged, Ungated, compare
from scripts.tasks.report import EpisodeResult

HOME_8 = np.array([0.45, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.04])
STATE = ArmState(MonoNs(0), HOME_8, np.zeros(7))


def command(row_D: np.ndarray) -> Command:
    return Command(1, MonoNs(0), row_D, Provenance("policy"))


def tick(kind: VerdictKind, *reasons: str, moved_m: float = 0.0) -> Tick:
    verdict = Verdict(kind, HOME_8, reasons, moved_m)
    return Tick(MonoNs(0), command(HOME_8), verdict, Rung.PLAN)


def judged(*ticks: Tick) -> dict[str, float]:
    counts = Judged()
    for each in ticks:
        counts.look(each)
    return counts.scores()


def played(condition: Condition, seed: int, *, success: bool) -> Played[Condition]:
    scores = judged(
        tick(VerdictKind.ACCEPTED),
        tick(VerdictKind.ACCEPTED),
        tick(VerdictKind.MODIFIED, "speed", "jerk", moved_m=0.002),
        tick(VerdictKind.HOLD, "expired"),
    )
    reason = "success" if success else "time_out"
    return Played(condition, EpisodeResult(seed, reason, 90, scores))


def test_the_cost_counts_pairs_and_says_which_way_they_fell() -> None:
    on = [played(GATED, seed, success=seed not in (0, 1, 2)) for seed in range(10)]
    off = [played(UNGATED, seed, success=seed != 3) for seed in range(10)]
    found = compare(on + off)
    assert (found.pairs, found.both, found.ungated_only, found.gated_only) == (10, 6, 3, 1)
    assert found.successes == {"gate on": 7, "gate off": 9}
    assert found.cost == pytest.approx(0.2)
    low, high = found.cost_ci95
    assert -0.25 < low < 0.2 < high < 0.6
    assert not found.kept


def test_a_seed_that_was_played_one_way_only_is_no_pair() -> None:
    found = compare([played(GATED, s, success=True) for s in range(3)] + [
        played(UNGATED, 0, success=True)
    ])  # fmt: skip
    assert (found.pairs, found.both) == (1, 1)


def test_shares_are_of_the_commands_before_the_gate() -> None:
    found = compare([played(c, 0, success=True) for c in (GATED, UNGATED)])
    assert (found.modified, found.held) == (0.25, 0.25)
    assert found.modified_by == {"speed": 0.25, "jerk": 0.25}
    assert found.moved_m == 0.002


def test_without_a_gate_a_leap_passes_and_nothing_is_hidden() -> None:
    gate = Ungated(gate=None)  # type: ignore[arg-type]
    leap_8 = HOME_8 + np.array([1.0, *[0.0] * 7])
    verdict = gate.check(command(leap_8), STATE, 0)
    assert verdict.kind is VerdictKind.ACCEPTED
    assert verdict.row_D is leap_8
    assert gate.hold("no_plan", STATE, 0).row_D is leap_8


def test_without_a_gate_a_stop_still_ends_the_episode() -> None:
    gate = Ungated(gate=None)  # type: ignore[arg-type]
    gate.stop("no_plan")
    verdict = gate.check(command(HOME_8 + 1), STATE, 0)
    assert verdict.kind is VerdictKind.STOPPED
    np.testing.assert_array_equal(verdict.row_D, HOME_8)
