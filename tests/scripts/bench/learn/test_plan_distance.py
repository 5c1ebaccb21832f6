"""Row `plans` of `bench learn`: how far apart the plans of two trainings are."""

from pathlib import Path

import numpy as np
import pytest

from policy.checkpoint import resampled
from scripts.bench.learn.plan_distance import Plans, apart, energies, how_much_farther, pairs_of
from scripts.bench.learn.push_t import PushTBench
from sim.pusht_field import MARK_3, keypoints_of_block

BENCH = PushTBench(data=(Path("none"),), runs=Path("none"))
SEEDS, OBSERVATIONS, PLANS, HORIZON = 5, 30, 8, 4


def drawn(*, of_kind: float, of_training: float = 3.0, seed: int = 0) -> np.ndarray:
    """Plans (T, N, P, H, 2), px: each training strays, those of DDPM by `of_kind` more."""
    rng = np.random.default_rng(seed)
    shape = (2 * SEEDS, OBSERVATIONS, PLANS, HORIZON, 2)
    straying = of_training * rng.normal(size=(*shape[:2], 1, 1, 2))
    straying[SEEDS:] += of_kind
    return straying + rng.normal(size=shape)


def test_the_same_plans_are_no_distance_apart_and_others_as_far_as_they_lie() -> None:
    rng = np.random.default_rng(1)
    same = energies(apart(rng.normal(size=(2, 400, 8, 1, 2))))
    assert same[0, 1].mean() == pytest.approx(0, abs=0.02)
    point = np.zeros((2, 3, 4, HORIZON, 2))
    point[1, ..., 0] = 7.0  # px to the right, every plan
    np.testing.assert_allclose(energies(apart(point))[0, 1], 2 * 7.0)
    np.testing.assert_allclose(energies(apart(point))[0, 0], 0)


def test_pairs_are_of_different_seeds() -> None:
    distance_TT = np.add.outer(10 * np.arange(4), np.arange(4))  # 10 i + j
    flow, ddpm, both = pairs_of(distance_TT, 2)
    assert (flow.tolist(), ddpm.tolist(), both.tolist()) == ([1], [23], [3, 12])


def test_kinds_that_differ_no_more_than_trainings_are_once_as_far_apart() -> None:
    told = [how_much_farther(apart(drawn(of_kind=0, seed=seed))) for seed in range(20)]
    assert np.mean([each.mean for each in told]) == pytest.approx(1, abs=0.02)
    assert np.mean([each.low <= 1 <= each.high for each in told]) >= 0.8, "a 90 % interval"
    farther = how_much_farther(apart(drawn(of_kind=6)))
    assert farther.low > 2


def test_equivalent_missed_or_open(tmp_path: Path) -> None:
    row = Plans(BENCH)
    cells = row.cells("full")
    for cell in row.cells("small") + cells:
        for training in cell.trainings:
            resampled(training.trained_recipe().policy, dict(training.sampling))
    assert [len(cell.trainings) for cell in row.cells("small")] == [4, 4]
    assert [len({each.run_name for each in cell.trainings}) for cell in cells] == [2 * SEEDS] * 2

    def measured(plan_TNPH2: np.ndarray, size: str = "full") -> list:
        start = {"keypoint": [keypoints_of_block(MARK_3).tolist()] * 3, "agent": [[9.0, 9.0]] * 3}
        figures = {"apart_px": apart(plan_TNPH2).tolist(), "drawn": plan_TNPH2[:, :3].tolist()}
        return [(cell, {**figures, **start}) for cell in row.cells(size)]  # type: ignore[arg-type]

    def verdicts(measured: list) -> list[str]:
        return [claim.verdict for claim in row.claims(measured)]

    alike = measured(drawn(of_kind=0))
    assert verdicts(alike) == ["kept"] * 2
    assert verdicts(measured(drawn(of_kind=6))) == ["MISSED"] * 2
    few = np.array([0, 1, SEEDS, SEEDS + 1])  # two of each say nothing of others
    assert verdicts(measured(drawn(of_kind=6)[few], "small")) == ["open"] * 2
    row.plot(tmp_path / "plans.png", alike)
    assert (tmp_path / "plans.png").stat().st_size > 3000
    assert row.table(alike).row_count == 4
