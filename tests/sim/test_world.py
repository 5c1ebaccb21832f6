import mujoco
import numpy as np
import pytest

from sim.expert import CapExpert
from sim.fr3 import MAX_TORQUE_NM
from sim.tighten_cap import BAND_NM, Outcome, Thread
from sim.world import CapWorld, Snapshot, layout_of

TICK_NS = 10_000_000


@pytest.fixture(scope="module")
def world() -> CapWorld:
    return CapWorld()


def play(world: CapWorld, seed: int, *, until_s: float = 40.0) -> np.ndarray:
    """Lets the expert play an episode; returns the measured rows (T, 8)."""
    world.reset(seed, start_ns=0)
    expert, rows = CapExpert(world), []
    for tick in range(round(until_s * 100)):
        world.command(expert.sample(tick * TICK_NS).row_D)
        world.advance_to((tick + 1) * TICK_NS)
        rows.append(world.state().row_D)
        if world.outcome is not Outcome.RUNNING:
            break
    return np.array(rows)


def test_the_expert_tightens_the_cap_within_the_band(world: CapWorld):
    play(world, 3)
    assert world.outcome is Outcome.SUCCESS
    assert BAND_NM[0] <= world.tightening_nm <= BAND_NM[1]


def test_the_same_seed_gives_the_same_bits_twice(world: CapWorld):
    first = play(world, 4, until_s=3.0)
    play(world, 5, until_s=0.5)
    assert np.array_equal(first, play(world, 4, until_s=3.0))


@pytest.mark.slow
def test_an_idle_arm_times_out_at_its_start_pose(world: CapWorld):
    world.reset(1, start_ns=0)
    before = world.state().row_D
    world.advance_to(36_000_000_000)
    assert world.outcome is Outcome.TIME_OUT
    assert np.abs(world.state().row_D - before).max() < 1e-3


def test_a_command_beyond_the_table_is_a_force_of_stiffness_times_distance(world: CapWorld):
    world.reset(2, start_ns=0)
    row = world.state().row_D
    row[:3] = (0.60, -0.2, 0.08)
    world.command(row)
    world.advance_to(2_000_000_000)
    row[2], row[7] = -0.03, 0.0
    world.command(row)
    world.advance_to(4_500_000_000)
    depth_m = world.state().row_D[2] - row[2]
    force_n, total_n = np.zeros(6), 0.0
    for index in range(world.data.ncon):
        names = {world.model.geom(g).name for g in world.data.contact.geom[index]}
        if "table" in names and names & {"pad_left", "pad_right"}:
            mujoco.mj_contactForce(world.model, world.data, index, force_n)
            total_n += force_n[0]
    assert depth_m > 0.02
    assert total_n == pytest.approx(700 * depth_m, rel=0.1)


def test_motors_keep_the_torque_limits_of_the_joints_whatever_is_commanded(world: CapWorld):
    world.reset(2, start_ns=0)
    row, largest_7 = world.state().row_D, np.zeros(7)
    row[0] += 0.6  # 420 N at the tool ask the shoulder for more than it has
    world.command(row)
    for _ in range(60):
        world.step()
        largest_7 = np.maximum(largest_7, np.abs(world.data.qfrc_actuator[:7]))
    assert (largest_7 <= MAX_TORQUE_NM + 1e-9).all()
    assert (largest_7 > 0.999 * MAX_TORQUE_NM).any()


def test_turning_on_after_the_seat_ends_in_over_torque(world: CapWorld):
    world.reset(3, start_ns=0)
    expert = CapExpert(world)
    limp = 0
    for tick in range(3000):
        row = expert.sample(tick * TICK_NS).row_D
        if world.tightening_nm > 0.1:  # an expert that feels nothing turns on
            limp += 1
            break
        world.command(row)
        world.advance_to((tick + 1) * TICK_NS)
    yaw_rad = 2 * np.arctan2(row[5], row[4])
    for tick in range(300):
        angle = yaw_rad - 0.01 * tick
        row[3:7] = (0.0, np.cos(angle / 2), np.sin(angle / 2), 0.0)
        world.command(row)
        world.advance_to(world.now_ns + TICK_NS)
    assert limp
    assert world.outcome is Outcome.OVER_TORQUE


def test_a_knocked_over_bottle_is_a_failure(world: CapWorld):
    world.reset(3, start_ns=0)
    at = int(world.model.joint("bottle").qposadr[0])
    world.data.qpos[at + 2] += 0.08
    world.data.qpos[at + 3 : at + 7] = (np.cos(0.4), np.sin(0.4), 0, 0)
    world.advance_to(1_000_000_000)
    assert world.outcome is Outcome.BOTTLE_TILTED


def test_tightening_torque_is_what_the_deepest_angle_took():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='cap_hinge' type='hinge'/>"
        "<geom size='0.1'/></body></worldbody></mujoco>"
    )
    data, layout = mujoco.MjData(model), layout_of(7)
    thread = Thread(model, layout)
    for angle_rad in (0.1, layout.seat_rad + 0.2, layout.seat_rad - 0.3):
        data.qpos[0] = angle_rad
        thread.apply(data)
    expected_nm = layout.running_torque_nm + 0.2 * layout.seat_nm_per_rad
    assert thread.tightening_nm == pytest.approx(expected_nm)


def test_a_tightened_cap_stays_where_it_was_left(world: CapWorld):
    play(world, 3)
    at = int(world.model.joint("cap_hinge").qposadr[0])
    left_rad = float(world.data.qpos[at])
    world.advance_to(world.now_ns + 1_000_000_000)
    assert world.layout.seat_rad < left_rad
    assert float(world.data.qpos[at]) == pytest.approx(left_rad, abs=0.02)


def test_a_snapshot_survives_packing(world: CapWorld):
    play(world, 3, until_s=4.0)
    snapshot = world.snapshot()
    again = Snapshot.unpack(snapshot.pack())
    assert again.seed == 3
    assert np.array_equal(again.contacts_PN5, snapshot.contacts_PN5)
    assert np.array_equal(again.qpos, snapshot.qpos)


def test_what_varies_shows_nowhere_but_in_the_torque():
    layouts = [layout_of(seed) for seed in range(400)]
    seat = np.array([layout.seat_rad for layout in layouts])
    for name in ("cap_radius_m", "bottle_height_m", "bottle_x_m", "bottle_yaw_rad"):
        seen = np.array([getattr(layout, name) for layout in layouts])
        assert abs(np.corrcoef(seat, seen)[0, 1]) < 0.2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_expert_succeeds_in_95_percent_of_episodes(world: CapWorld):
    outcomes = []
    for seed in range(500, 540):
        play(world, seed)
        outcomes.append(world.outcome)
    assert outcomes.count(Outcome.SUCCESS) >= 38
