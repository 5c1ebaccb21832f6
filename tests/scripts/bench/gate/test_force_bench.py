"""The arm against the wall: what the bench measures is what physics says, and the leash holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.bench.gate import force, stopping
from scripts.bench.gate.force import HONEST, HOSTILE, Push, push
from scripts.bench.gate.stopping import Cause, Stopped
from scripts.robot import load_robot
from sim.impedance import Stiffness
from sim.wall import Plate, WallWorld

PUSH = Push("wall", HOSTILE, 700.0, 0.1, 0.1, 7.0, 60.0, 80.0, 46.0, 60.0)


def test_a_steady_force_above_the_ceiling_is_not_kept():
    assert PUSH.kept
    assert replace(PUSH, steady_n=62.9).kept
    assert not replace(PUSH, steady_n=63.1).kept
    assert not replace(PUSH, steady_n=float("nan")).kept


def test_the_way_of_a_policy_begins_and_ends_at_rest_and_keeps_its_speed():
    way = force._Way(0.1, 2.0, 0.05)
    places = np.array([way.at(k / 1000) for k in range(1500)])
    assert places[0] == 0 and places[-1] == 0.05
    assert np.diff(places).max() == pytest.approx(1e-4, rel=1e-3)
    assert np.diff(places).min() >= 0


def test_the_leash_knows_the_stiffest_axes_of_the_simulated_arm():
    gate, diagonal_6 = load_robot().gate, Stiffness().diagonal()
    assert gate.stiffness_n_per_m == diagonal_6[:3].max()
    assert gate.stiffness_nm_per_rad == diagonal_6[3:].max()


def test_table_and_plot_come_out(tmp_path: Path):
    pushes = [replace(PUSH, plate=plate.label) for plate in Plate]
    assert force.table(pushes).row_count == 2
    force.plot(tmp_path / "force.png", pushes)
    assert (tmp_path / "force.png").stat().st_size > 5000


def test_the_table_of_stops_has_a_row_per_cause():
    stops = [Stopped(cause.value, "m/s", 0.5, 0.073, 1.2, True) for cause in Cause]
    lines = stopping.table(stops).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:8]] == [cause.value for cause in Cause]
    assert "73 mm, 1.20 s" in lines[2]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_plate_that_is_pressed_gives_way_like_its_spring():
    world = WallWorld(Stiffness())
    world.reset(force.START[Plate.WALL], away_m={Plate.WALL: 0.05})
    row_8 = world.state().row_D
    row_8[0] += 0.08
    world.command(row_8)
    for _ in range(600):
        world.step()
    travel_m = world.data.qpos[int(world.model.joint("wall").qposadr[0])]
    force_n = world.contact_n(Plate.WALL)
    assert force_n == pytest.approx(travel_m * world.plate_n_per_m, rel=0.02)
    spring_n = 700.0 * (row_8[0] - world.state().row_D[0])
    assert force_n == pytest.approx(spring_n, rel=0.05)
    assert world.contact_n(Plate.TABLE) == 0
    assert 2 < world.effective_mass_kg(Plate.WALL) < 15


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("plate", list(Plate))
def test_the_force_ceiling_holds_and_an_honest_policy_stays_below(plate: Plate):
    hostile = push(plate, HOSTILE, stiffness_n_per_m=1500.0, speed_m_per_s=0.25)
    honest = push(plate, HONEST, stiffness_n_per_m=700.0, speed_m_per_s=0.05)
    assert hostile.steady_n == pytest.approx(hostile.force_max_n, rel=0.02)
    assert hostile.kept and hostile.peak_n > hostile.force_max_n
    assert honest.steady_n == pytest.approx(700.0 * force.DEPTH_M, rel=0.1)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("cause", list(Cause))
def test_whatever_happens_the_arm_comes_to_rest(cause: Cause):
    stop = stopping._Run(WallWorld(Stiffness()), cause, "m/s", 0.25).play()
    assert stop.stood
    assert stop.speed == pytest.approx(0.25, rel=0.15)
    assert 0.005 < stop.distance < 0.10
