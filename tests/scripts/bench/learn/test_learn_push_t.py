"""Trained policies in `bench learn`: who shares a training, and what the figures come to."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from policy.checkpoint import resampled
from policy.data import LeRobotWriter, open_dataset
from robot_io.errors import FeelforwardError
from scripts.bench.learn import push_t_rows
from scripts.bench.learn.evaluations import Evaluations
from scripts.bench.learn.push_t import DDPM, PushTBench, PushTCell, alone
from scripts.bench.learn.push_t_rows import ROWS, Denoisers, PushT
from scripts.stats import (
    best_by_other_starts,
    crossed_difference,
    crossed_interval,
    student_quantile,
)

BENCH = PushTBench(data=(Path("none"),), runs=Path("none"))
OF_TRAININGS = [name for name in ROWS if name != "plans"]  # a cell is one, not several


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("name", OF_TRAININGS)
def test_every_cell_is_a_sound_recipe_that_can_be_drawn_so(name: str, size: str) -> None:
    cells = ROWS[name](BENCH).cells(size)  # type: ignore[arg-type]
    assert len({(cell.name, cell.seed) for cell in cells}) == len(cells)
    for cell in cells:
        resampled(cell.trained_recipe().policy, dict(cell.sampling))


def test_ways_of_drawing_share_a_training_and_seeds_do_not() -> None:
    cells = Evaluations(BENCH).cells("full")
    assert len({cell.run_name for cell in cells}) == 6 * 3  # what is learnt × seeds
    flow = [cell for cell in Denoisers(BENCH).cells("full") if cell.name == "U-Net, flow"]
    assert {cell.run_name for cell in flow[:3]} < {cell.run_name for cell in cells}


def test_the_full_size_trains_the_recipe_as_it_is() -> None:
    (cell, *_) = PushT(BENCH).cells("full")
    assert (cell.training, cell.episodes) == ((), 100)
    assert cell.trained_recipe().train.steps == 12_000


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("name", OF_TRAININGS)
def test_so_many_trainings_as_were_asked_for(name: str, size: str) -> None:
    bench = PushTBench(data=BENCH.data, runs=BENCH.runs, seeds=2)
    cells = ROWS[name](bench).cells(size)  # type: ignore[arg-type]
    assert [cell.seed for cell in cells] == [0, 1] * (len(cells) // 2)


def test_ddpm_for_any_network_is_ddpm_as_the_recipe_has_it() -> None:
    one, other = PushTCell("a", push_t_rows.RECIPE, DDPM), PushTCell("b", "push_t_ddpm.toml")
    assert one.trained_recipe() == other.trained_recipe()


def test_a_misspelt_key_is_a_sentence() -> None:
    cell = PushTCell("odd", "push_t.toml", training=("policy.generative.pathh=ddpm",))
    with pytest.raises(FeelforwardError, match=r"policy\.generative\.pathh is not a known key"):
        cell.trained_recipe()


def figures(rewards: Sequence[float], successes: Sequence[bool], minutes: float = 15) -> dict:
    return {
        "max_reward": list(rewards),
        "success": list(successes),
        "training_minutes": minutes,
        "parameters": 2_000_000,
    }


def played(cells: Sequence[PushTCell], rate: float, *, seed: int = 0, minutes: float = 15) -> list:
    """Made-up episodes with this rate of success; some starts are harder, for everyone."""
    rng = np.random.default_rng(seed)
    measured = []
    for cell in cells:
        hard_E = (np.arange(cell.episodes) * 0.618) % 1 + 0.05 * rng.normal(size=cell.episodes)
        success = hard_E < rate
        reward = np.where(success, 1.0, 0.9)
        told = figures(reward.tolist(), success.tolist(), minutes)
        measured.append((cell, told))
    return measured


def test_push_t_is_judged_by_reward_success_and_minutes(tmp_path: Path) -> None:
    row = PushT(BENCH)
    full = row.cells("full")
    assert [c.verdict for c in row.claims(played(full, 0.8))] == ["kept"] * 3
    bad = row.claims(played(full, 0.3, minutes=100))
    assert [c.verdict for c in bad] == ["MISSED"] * 3
    for rate in (0.0, 1.0):
        small = row.claims(played(row.cells("small"), rate))
        assert [c.verdict for c in small] == ["open"] * 3, "a small run settles nothing"
    assert row.table(played(full, 0.8)).row_count == 1
    row.plot(tmp_path / "push_t.png", played(full, 0.8))
    assert (tmp_path / "push_t.png").stat().st_size > 3000


def test_images_are_judged_by_what_the_recipe_was_made_for(tmp_path: Path) -> None:
    gpu, cores = ROWS["images"](BENCH), ROWS["images_light"](BENCH)
    for row, encoder in ((gpu, "resnet18"), (cores, "light")):
        (stream,) = row.cells("full")[0].trained_recipe().policy.images
        assert (stream.name, stream.encoder) == ("scene", encoder)
    assert gpu.cells("small") == cores.cells("small"), "both train what a processor can"

    def verdicts(row, reward: float, size: str = "full") -> list[str]:
        cells = row.cells(size)
        told = figures([reward] * cells[0].episodes, [False] * cells[0].episodes)
        return [claim.verdict for claim in row.claims([(cell, told) for cell in cells])]

    assert [verdicts(row, 0.80) for row in (gpu, cores)] == [["MISSED"], ["kept"]]
    assert [verdicts(row, 0.89) for row in (gpu, cores)] == [["kept"], ["kept"]]
    assert verdicts(gpu, 0.89, "small") == ["open"]
    gpu.plot(tmp_path / "images.png", played(gpu.cells("full"), 0.8))
    assert (tmp_path / "images.png").stat().st_size > 3000


def test_flow_and_ddpm_are_equivalent_missed_or_open(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Denoisers(BENCH)
    cells = [cell for cell in row.cells("full") if cell.name.startswith("U-Net")]
    monkeypatch.setattr(Denoisers, "NETWORKS", (("U-Net", push_t_rows.RECIPE),))
    flow, ddpm = ([c for c in cells if c.name.endswith(head)] for head in ("flow", "DDPM"))

    def verdict(of_ddpm: float) -> str:
        measured = [*played(flow, 0.6), *played(ddpm, of_ddpm, seed=1)]
        return row.claims(measured)[1].verdict  # on success

    assert verdict(0.6) == "kept"
    assert verdict(0.2) == "MISSED"
    assert verdict(0.52) == "open"


def test_few_evaluations_are_held_against_the_best(tmp_path: Path) -> None:
    row = Evaluations(BENCH)
    cells = row.cells("full")
    measured = [
        (cell, played([cell], 0.9 if cell.name == "student: 2" else 0.5)[0][1]) for cell in cells
    ]
    claims = row.claims(measured)
    assert [claim.verdict for claim in claims] == ["kept", "kept"]
    assert "student: 2" in claims[0].value
    worse = [(c, played([c], 0.9 if c.name == "data, Euler: 8" else 0.5)[0][1]) for c in cells]
    assert [claim.verdict for claim in row.claims(worse)] == ["MISSED", "kept"]
    best = "data, Euler: 8"
    most, few = (
        max(np.mean(f["success"]) for c, f in worse if hard == (c.name == best))
        for hard in (True, False)
    )
    assert f"; {100 * (most - few):.1f} against the best on the same" in row.claims(worse)[0].value
    teacher = "velocity, midpoint, late: 10"
    worse = [(c, played([c], 0.9 if c.name == teacher else 0.5)[0][1]) for c in cells]
    assert row.claims(worse)[1].verdict == "MISSED"
    assert {c.name for c in cells if c.episodes == 500} == {teacher, "student: 2"}
    assert {c.episodes for c in row.cells("small")} == {10}
    row.plot(tmp_path / "evaluations.png", measured)
    assert (tmp_path / "evaluations.png").stat().st_size > 5000


# ---- intervals


def test_the_best_of_many_equals_is_no_better_than_they_are() -> None:
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(300):
        equal_NSE = rng.random((40, 3, 20)) < 0.7
        gains.append(best_by_other_starts(equal_NSE)[0].mean() - 0.7)
    assert np.mean(gains) == pytest.approx(0, abs=0.01)
    assert (rng.random((300, 40, 60)) < 0.7).mean(2).max(1).mean() > 0.8, "chosen by the same"


def test_the_best_of_several_is_told_of_starts_that_did_not_choose_it() -> None:
    all_NSE = np.zeros((3, 1, 4))
    all_NSE[1, :, [0, 2]] = 1  # of the even starts
    all_NSE[2, :, [1]] = 1  # of the odd ones
    best_SE, chosen = best_by_other_starts(all_NSE)
    assert chosen == (1, 2)
    assert best_SE.tolist() == [[0, 0, 0, 0]]
    all_NSE[1] = 1
    assert best_by_other_starts(all_NSE)[0].tolist() == [[1, 1, 1, 1]]


def test_one_training_has_the_interval_over_starts() -> None:
    value_SE = np.random.default_rng(0).normal(size=(1, 400))
    told = crossed_interval(value_SE)
    half = 1.96 * value_SE.std() / 20
    assert told.mean == pytest.approx(value_SE.mean())
    assert (told.low, told.high) == pytest.approx((told.mean - half, told.mean + half), abs=0.02)


def test_one_start_has_no_interval() -> None:
    with pytest.raises(ValueError, match="starts = 1, allowed 2 or more"):
        crossed_interval(np.zeros((5, 1)))


def test_trainings_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike_SE = rng.normal(size=(5, 100))
    apart_SE = alike_SE + np.linspace(-1, 1, 5)[:, None]
    alike, apart = (crossed_interval(each) for each in (alike_SE, apart_SE))
    assert apart.mean == pytest.approx(alike.mean)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Trainings and starts have effects of their own; the truth is 0."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(60):
        value_SE = rng.normal(size=(8, 1)) / 4 + rng.normal(size=(1, 60)) + rng.normal(size=(8, 60))
        told = crossed_interval(value_SE)
        held += told.low < 0 < told.high
    assert held >= 51


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [(0.975, 4, 2.776), (0.95, 4, 2.132), (0.975, 9, 2.262), (0.975, 99, 1.984)],  # R: qt
)
def test_the_quantiles_of_student_are_the_published_ones(
    probability: float, degrees: float, expected: float
) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=2e-3)


def test_starts_that_both_play_cancel_in_a_difference() -> None:
    rng = np.random.default_rng(0)
    start_1E = 5 * rng.normal(size=(1, 100))
    one_SE, other_SE = (start_1E + 0.1 * rng.normal(size=(3, 100)) for _ in range(2))
    told = crossed_difference(one_SE + 0.5, other_SE)
    assert told.low > 0.4
    assert told.high < 0.6
    with pytest.raises(ValueError, match=r"trainings, starts = \(3, 100\) and \(3, 99\)"):
        crossed_difference(one_SE, other_SE[:, 1:])


# ---- all of it, in small


def test_who_needs_a_training_that_goes_on_waits_for_it(tmp_path: Path) -> None:
    entered = Event()

    def enter() -> None:
        with alone(tmp_path / "runs" / "one.lock"):
            entered.set()

    waiting = Thread(target=enter)
    with alone(tmp_path / "runs" / "one.lock"):
        waiting.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    waiting.join()


SHORT = ("train.steps=4", "train.warmup_steps=1", "train.batch_size=8")


def made_up_demonstrations(directory: Path) -> Path:
    rng = np.random.default_rng(0)
    writer = LeRobotWriter(directory, fps=10, robot_type="made up")
    for seed in range(20):
        vectors = {
            name: rng.uniform(50, 450, (24, size)).astype(np.float32)
            for name, size in (("keypoint", 18), ("agent", 2), ("action", 2))
        }
        images = {"scene": np.full((24, 96, 96, 3), 10 * seed, np.uint8)}
        stamps = {"row": 100_000_000 * np.arange(24)}
        extra = {"seed": seed, "success": True, "reason": ""}
        writer.save_episode(vectors=vectors, images=images, stamps=stamps, task="push", extra=extra)
    return directory


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("recipe", [push_t_rows.RECIPE, push_t_rows.IMAGE_LIGHT])
def test_a_cell_trains_once_and_is_played_in_several_ways(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")
    from scripts.bench.learn import push_t

    bench = PushTBench((made_up_demonstrations(tmp_path / "data"),), tmp_path / "runs")
    trained = []
    monkeypatch.setattr(push_t, "train", _counting(push_t.train, trained))
    cells = [PushTCell(f"{n}", recipe, SHORT, (("evaluations", n),), 0, 1) for n in (2, 4)]
    told = [bench.measure(cell) for cell in cells]
    assert trained == [4, 0], "steps of each call"
    assert all(0 <= each["max_reward"][0] <= 1 for each in told)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_student_learns_from_its_teachers_plays_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")
    from scripts.bench.learn import push_t

    monkeypatch.setattr(push_t, "FEW_PLAYS", 2)
    data = made_up_demonstrations(tmp_path / "data")
    bench = PushTBench((data,), tmp_path / "runs", quiet=True)
    cell = PushTCell("student", "push_t_distilled.toml", SHORT, episodes=1, settles=False)
    cell = replace(cell, teacher=push_t_rows.RECIPE)
    assert 0 <= bench.measure(cell)["max_reward"][0] <= 1
    plays = open_dataset(tmp_path / "runs" / f"{cell.taught_by().run_name}-plays")
    assert plays.extra("seed") == [500_000, 500_001]
    card = (tmp_path / "runs" / cell.run_name / "checkpoint" / "card.md").read_text()
    assert "-plays: 2 episodes" in card


def _counting(train, steps: list[int]):
    def counted(*arguments, **options):
        done = train(*arguments, **options)
        steps.append(len(done.losses))
        return done

    return counted
