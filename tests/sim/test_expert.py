import mujoco
import numpy as np
import pytest

from sim.expert import CapExpert, Manner
from sim.tighten_cap import Outcome
from sim.world import CapWorld, tool_down_quat_wxyz

TICK_NS = 10_000_000


@pytest.fixture(scope="module")
def world() -> CapWorld:
    return CapWorld()


class Hand:
    """Brings the arm where an expert is to find it, tick by tick."""

    def __init__(self, world: CapWorld, seed: int = 3) -> None:
        world.reset(seed, start_ns=0)
        self.world, self.row_8 = world, world.state().row_D

    def go(self, row_8: np.ndarray) -> None:
        self.world.command(row_8)
        self.world.advance_to(self.world.now_ns + TICK_NS)
        self.row_8 = row_8

    def move(self, from_cap_m: tuple[float, float, float], yaw_rad: float = 0.5) -> None:
        start_3, end_3 = self.row_8[:3], self.world.cap_position + from_cap_m
        for share in np.linspace(0.0, 1.0, 200):
            at_3 = start_3 + share * (end_3 - start_3)
            self.go(np.concatenate([at_3, tool_down_quat_wxyz(yaw_rad), self.row_8[7:]]))

    def close(self, width_m: float = 0.0) -> None:
        for share in np.linspace(0.0, 1.0, 100):
            row_8 = self.row_8.copy()
            row_8[7] += share * (width_m - row_8[7])
            self.go(row_8)

    def follow(self, expert: CapExpert, until_nm: float) -> None:
        while self.world.tightening_nm < until_nm and self.world.outcome is Outcome.RUNNING:
            self.go(expert.sample(self.world.now_ns).row_D)

    def rescued(self, expert: CapExpert | None = None) -> list[np.ndarray]:
        """Lets an expert, by default a new one, play to the end; returns what it intended."""
        rows = [self.row_8]
        expert = expert or CapExpert(self.world, commanded_8=self.row_8)
        while self.world.outcome is Outcome.RUNNING:
            self.go(expert.sample(self.world.now_ns).row_D)
            rows.append(expert.intended_8)
        return rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("from_cap_m", "width_m"),
    [
        ((0.0, 0.0, 0.03), 0.0),  # closed on nothing, above
        ((0.05, 0.0, 0.02), 0.03),  # half closed, beside
        ((0.0, 0.09, -0.07), 0.0),  # closed, low beside the bottle
        ((0.0, 0.0, 0.0), 0.05),  # half closed, around the cap
    ],
)
def test_it_comes_back_from_where_a_policy_went_astray(
    world: CapWorld, from_cap_m: tuple[float, float, float], width_m: float
):
    hand = Hand(world)
    x, y, _ = from_cap_m
    hand.move((x, y, 0.06))
    hand.move(from_cap_m)
    hand.close(width_m)
    hand.rescued()
    assert world.outcome is Outcome.SUCCESS


def test_it_turns_on_where_it_takes_over_in_mid_stroke(world: CapWorld):
    hand = Hand(world)
    hand.follow(CapExpert(world), until_nm=0.15)
    rows = hand.rescued()
    widths_m = np.array([row[7] for row in rows])
    yaws_rad = np.round([2 * np.arctan2(row[5], row[4]) for row in rows], 6)
    assert world.outcome is Outcome.SUCCESS
    assert np.argmax(widths_m > 0.01) > np.argmin(yaws_rad) > 10


def test_it_lets_go_of_a_tight_cap_and_retreats_without_turning(world: CapWorld):
    hand = Hand(world)
    enough_nm = Manner.sample(np.random.default_rng([world.seed, 100])).stop_nm
    hand.follow(CapExpert(world), until_nm=enough_nm)
    tight_nm = world.tightening_nm
    assert hand.row_8[7] < 0.02
    rows = hand.rescued()
    assert world.outcome is Outcome.SUCCESS
    assert world.tightening_nm == pytest.approx(tight_nm, abs=0.02)
    assert np.ptp([2 * np.arctan2(row[5], row[4]) for row in rows]) < 1e-6


def test_it_notices_that_the_cap_slipped_out_of_the_hand(world: CapWorld):
    hand = Hand(world)
    expert = CapExpert(world)
    hand.follow(expert, until_nm=0.1)
    pull_8 = np.array([0.02, 0, 0, 0, 0, 0, 0, 0.05])
    for _ in range(60):  # somebody pulls the hand off, against its will
        row_8 = expert.sample(world.now_ns).row_D
        hand.go(row_8 + pull_8)
    hand.row_8 = row_8
    rows = hand.rescued(expert)
    opened = int(np.argmax([row[7] > 0.05 for row in rows]))
    assert 0 < opened < 100
    assert world.outcome is Outcome.SUCCESS


def test_its_first_commands_go_on_from_a_tilted_hand_without_a_jump(world: CapWorld):
    hand = Hand(world)
    hand.move((0.03, 0.0, 0.06), yaw_rad=-1.2)
    hand.row_8 = hand.row_8.copy()
    mujoco.mju_quatIntegrate(hand.row_8[3:7], np.array([0.03, -0.02, 0.0]), 1.0)
    rows = np.array(hand.rescued())
    speeds = np.abs(np.diff(rows[:60], axis=0)) / 0.01
    accels = np.abs(np.diff(rows[:60], n=2, axis=0)) / 0.01**2
    assert speeds[:, :3].max() < 0.5
    assert accels[:, :3].max() < 3.0
    assert accels[:, 3:7].max() < 7.0  # half angles
    assert abs(rows[-1, 3]) + abs(rows[-1, 6]) < 1e-9


def test_it_strays_around_what_it_intends_and_intends_what_it_would_do_steadily(world: CapWorld):
    hand, off = Hand(world), []
    expert = CapExpert(world)
    for _ in range(400):
        hand.go(expert.sample(world.now_ns).row_D)
        off.append(hand.row_8 - expert.intended_8)
    assert np.abs(off[0]).max() == 0
    assert 0.0005 < np.std(off, axis=0)[:3].min() < np.std(off, axis=0)[:3].max() < 0.005
    assert np.abs(np.mean(off, axis=0)[:3]).max() < 0.003
