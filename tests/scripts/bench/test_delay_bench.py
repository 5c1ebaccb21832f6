"""The bench of delays: what joins, what jumps, and a run that goes on where it was cut."""

import json
from pathlib import Path

import numpy as np
import pytest

from robot_io.errors import FeelforwardError
from robot_io.types import Leftover, MonoNs, Observation
from scripts.bench import delay, episode_log
from scripts.bench.delay import Condition, Trial, cells, conditions, log_at, what_late_plans_cost
from scripts.bench.episode_log import Played
from scripts.bench.plots import plot_delay
from scripts.bench.seams import SeamMeter, jump_at_seam
from scripts.stats import crossed_interval, wilson_interval
from scripts.tasks.report import EpisodeResult

STEP_S = 0.1
GUIDED = Condition("guided", (400.0,))


def straight(rows: int, *, speed_m_s: float, offset_m: float = 0.0) -> np.ndarray:
    row_HD = np.zeros((rows, 8))
    row_HD[:, 0] = offset_m + speed_m_s * STEP_S * np.arange(rows)
    return row_HD


def test_a_plan_that_goes_on_straight_does_not_jump() -> None:
    leftover = Leftover(straight(10, speed_m_s=0.2), delay_rows=3)
    jump = jump_at_seam(leftover, straight(16, speed_m_s=0.2), step_s=STEP_S)
    assert jump is not None
    assert jump.velocity_m_s == pytest.approx(0)
    assert jump.acceleration_m_s2 == pytest.approx(0)


def test_a_step_of_one_centimetre_is_a_jump_of_a_tenth_of_a_metre_per_second() -> None:
    leftover = Leftover(straight(10, speed_m_s=0.2), delay_rows=3)
    jump = jump_at_seam(leftover, straight(16, speed_m_s=0.2, offset_m=0.01), step_s=STEP_S)
    assert jump is not None
    assert jump.velocity_m_s == pytest.approx(0.1)
    assert jump.acceleration_m_s2 == pytest.approx(2.0)  # +0.1 m/s, then -0.1 m/s, within 0.1 s


def test_a_seam_without_a_motion_before_it_is_not_counted() -> None:
    leftover = Leftover(straight(10, speed_m_s=0.2), delay_rows=1)
    assert jump_at_seam(leftover, straight(16, speed_m_s=0.2), step_s=STEP_S) is None


def test_the_meter_looks_on_and_changes_nothing() -> None:
    class Plan:
        def reset(self, seed: int) -> None:
            pass

        def plan(self, observation: Observation) -> np.ndarray:
            return straight(16, speed_m_s=0.2, offset_m=0.01)

    meter = SeamMeter(Plan(), step_s=STEP_S)
    meter.reset(seed=0)
    assert meter.scores() == {}
    leftover = Leftover(straight(10, speed_m_s=0.2), delay_rows=3)
    rows_HD = meter.plan(Observation(MonoNs(0), {}, leftover=leftover))
    np.testing.assert_array_equal(rows_HD, straight(16, speed_m_s=0.2, offset_m=0.01))
    assert meter.scores()["seam_velocity"] == pytest.approx(0.1)


def test_a_policy_that_was_not_trained_for_it_is_not_asked_to() -> None:
    asked = {"rows": (0, 4), "drawn_ms": (10.0, 90.0)}
    without = conditions(("overwrite", "trained"), given_rows=0, **asked)
    assert [(c.joining, c.delay) for c in without] == [
        ("overwrite", "0"), ("overwrite", "4"), ("overwrite", "drawn"),
    ]  # fmt: skip
    assert len(conditions(("overwrite", "trained"), given_rows=5, **asked)) == 6


def entry(seed: int, *, task: str = "TightenCap") -> str:
    trial = {"checkpoint": "x", "condition": {"joining": "guided", "delay_ms": [400.0]}}
    result = {"seed": seed, "reason": "success", "steps": 90, "scores": {"tightening_nm": 0.6}}
    content = {"task": task, "condition": trial, "result": result}
    return json.dumps(content)


def test_a_cut_run_goes_on_behind_its_last_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "episodes.jsonl"
    log.write_text(entry(0) + "\n" + entry(1)[:40])
    played_now = []

    def play_seeds(make: object, jobs: range, *, workers: int):
        (open_jobs,) = [a for a in make.args if isinstance(a, tuple)]  # type: ignore[attr-defined]
        for index in jobs:
            condition, seed = open_jobs[index]
            played_now.append(seed)
            yield Played(condition, EpisodeResult(seed, "time_out", 350))

    monkeypatch.setattr(episode_log, "play_seeds", play_seeds)
    options = {"task": "TightenCap", "log": log, "workers": 1}
    everything = list(delay.play([Trial("x", GUIDED)], range(3), **options))
    assert sorted(each.result.seed for each in everything) == [0, 1, 2]
    assert played_now == [1, 2]
    assert len(log_at(log, task="TightenCap").read()) == 3


def test_a_log_of_another_run_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "episodes.jsonl"
    log.write_text(entry(0, task="gym_pusht/PushT-v0") + "\n")
    with pytest.raises(FeelforwardError, match=r"Use a new --out"):
        log_at(log, task="TightenCap").read()


def played(condition: Condition, checkpoint: str, solved: str) -> list[Played[Trial]]:
    """One episode per character of `solved`, from seed 0 on; 1 is a success."""
    return [
        Played(
            Trial(checkpoint, condition),
            EpisodeResult(seed, "success" if each == "1" else "time_out", 90, {"x": seed}),
        )
        for seed, each in enumerate(solved)
    ]


def test_a_table_and_a_plot_come_out(tmp_path: Path) -> None:
    table = cells(played(GUIDED, "x", "0111"))
    (cell,) = table
    assert cell.scores == {"x": 1.5} and cell.rate.mean == 0.75
    assert cell.rate[1:] == wilson_interval(3, 4)
    plot_delay(tmp_path / "delay.png", table)
    delay.save(tmp_path / "table.json", table)
    (saved,) = json.loads((tmp_path / "table.json").read_text())["cells"]
    assert (saved["successes"], saved["episodes"], saved["trainings"]) == (3, 4, 1)
    assert (tmp_path / "delay.png").stat().st_size > 5000


def test_trainings_count_together_start_by_start_in_whichever_order_they_were_played() -> None:
    episodes = played(GUIDED, "x", "0111") + played(GUIDED, "y", "1010")
    (cell,) = cells(episodes)
    (backwards,) = cells(episodes[:4] + episodes[:3:-1])
    assert cell.success_SE.tolist() == backwards.success_SE.tolist() == [[0, 1, 1, 1], [1, 0, 1, 0]]
    mean, low, high = crossed_interval(cell.success_SE)
    assert low < 0 and cell.rate == (mean, 0.0, min(high, 1.0)), "a rate is none below 0"


def test_what_late_plans_cost_is_told_of_the_best_ways() -> None:
    on_time, late = (0.0,), (400.0,)
    told = what_late_plans_cost(
        cells(
            [
                *played(Condition("overwrite", on_time), "x", "1111101111"),
                *played(Condition("guided", on_time), "x", "0111111110"),
                *played(Condition("overwrite", late), "x", "0000011111"),
                *played(Condition("guided", late), "x", "1111001111"),
            ]
        )
    )
    (line,) = told
    assert line.startswith("added rows 4: guided does best, 80.0 %, -10.0 points (-")
    assert line.endswith("against overwrite on time")
    assert what_late_plans_cost(cells(played(GUIDED, "x", "1111"))) == []
