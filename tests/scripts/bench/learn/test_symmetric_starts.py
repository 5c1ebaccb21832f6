"""Row `symmetric` of `bench learn`: starts look the same in the mirror, plans are told apart."""

from pathlib import Path

import numpy as np
import pytest

from policy.checkpoint import resampled
from scripts.bench.learn.push_t import PushTBench
from scripts.bench.learn.symmetric_starts import ALONG, STARTS, Start, SymmetricStarts, side_of
from sim.pusht_field import MARK_3, in_block, outline_of_block

BENCH = PushTBench(data=Path("none"), runs=Path("none"))


def mirrored(point_N2: np.ndarray) -> np.ndarray:
    """In the line x + y = 512."""
    return 512 - point_N2[:, ::-1]


def as_set(point_N2: np.ndarray) -> set[tuple[float, float]]:
    return {(float(x), float(y)) for x, y in point_N2.round(6) + 0.0}


@pytest.mark.parametrize("start", STARTS)
def test_a_start_and_the_mark_look_the_same_in_the_mirror(start: Start) -> None:
    for outline_82 in (outline_of_block(MARK_3), outline_of_block(start.block_3)):
        assert as_set(mirrored(outline_82)) == as_set(outline_82)
    np.testing.assert_allclose(mirrored(start.agent_2[None])[0], start.agent_2)
    assert start.observation()["keypoint"].shape == (2, 18)


@pytest.mark.parametrize("start", STARTS)
def test_straight_on_the_agent_would_push_the_block_from_its_mark(start: Start) -> None:
    ahead = np.linspace(start.agent_2, start.block_3[:2], 400)
    (first, *_) = ahead[in_block(ahead, start.block_3)]
    push = (first - start.agent_2) @ ALONG
    assert np.sign(push) == np.sign((start.block_3 - MARK_3)[:2] @ ALONG)


@pytest.mark.parametrize("start", STARTS)
def test_plans_go_left_right_or_through_the_block(start: Start) -> None:
    facing = (start.block_3[:2] - start.agent_2) / np.linalg.norm(start.block_3[:2] - start.agent_2)
    left = np.array([facing[1], -facing[0]])  # where y points down
    way = np.linspace(0, 1, 16)[:, None]
    beside = start.agent_2 + 80 * way * facing, 90 * np.sin(np.pi * way) * left
    into_it = start.agent_2 + 200 * way * facing + 20 * way * left
    plans = np.stack([beside[0] + beside[1], beside[0] - beside[1], into_it])
    hurried = np.repeat(start.agent_2[None] + 600 * facing, 16, 0)  # jumps over the block
    told = side_of(np.concatenate([plans, hurried[None]]), start)
    assert told.tolist() == ["left", "right", "between", "between"]


def test_a_head_is_judged_by_the_ways_it_takes(tmp_path: Path) -> None:
    row = SymmetricStarts(BENCH)
    cells = row.cells("full")
    assert {cell.seed for cell in cells} == set(range(3))
    for cell in row.cells("small") + cells:
        resampled(cell.trained_recipe().policy, {})

    def told(left: float, between: float) -> dict:
        drawn = np.zeros((len(STARTS), 2, 16, 2)).tolist()
        return {"left": left, "right": 1 - left - between, "between": between, "drawn": drawn}

    blurring = [(cell, told(0.1, 0.8 if cell.name == "MSE" else 0.01)) for cell in cells]
    assert [claim.verdict for claim in row.claims(blurring)] == ["kept"] * 3
    one_sided = [(cell, told(0.95, 0.0)) for cell in cells]
    assert [claim.verdict for claim in row.claims(one_sided)] == ["MISSED"] * 3
    row.plot(tmp_path / "symmetric.png", blurring)
    assert (tmp_path / "symmetric.png").stat().st_size > 3000
    assert row.table(blurring).row_count == 4
