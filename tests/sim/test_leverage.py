"""What a spring at the tool presses with elsewhere: rails, levers, and the arm itself."""

from math import cos, radians, sin

import numpy as np
import pytest

from sim.fr3 import GRIPPER
from sim.impedance import Stiffness
from sim.leverage import least_leverage
from sim.wall import Plate, WallWorld

CEILINGS = (60.0, 9.0)
START = np.array([0.45, 0.0, 0.30, 0.0, 1.0, 0.0, 0.0, 0.04])
DOWN = np.array([0.0, 0.0, -1.0])
NOTHING_ELSE = np.zeros(6)


def test_a_hand_that_is_free_presses_with_the_force_of_its_spring_wherever_it_touches():
    """Beside the tool point the contact has a moment; going straight in does no work against it."""
    lever_3 = np.array([0.03, 0.05, -0.02])
    contact_J = np.concatenate([-DOWN, np.cross(lever_3, -DOWN)])
    lever = least_leverage(np.eye(6), contact_J, NOTHING_ELSE, inwards_3=DOWN, ceilings=(60.0, 1e6))
    assert lever == pytest.approx((1.0, 0.0, 0.0), abs=1e-6)
    assert lever.most_n(*CEILINGS) == pytest.approx(60.0)


@pytest.mark.parametrize("slope_deg", [10.0, 30.0, 80.0])
def test_a_tool_on_a_slope_is_a_wedge(slope_deg: float):
    """A joint at its stop leaves it one way, down a slope: the flatter, the harder it presses."""
    slope = radians(slope_deg)
    way_6 = np.array([cos(slope), 0.0, -sin(slope), 0.0, 0.0, 0.0])
    contact_J = np.array([-way_6 @ np.concatenate([DOWN, np.zeros(3)])])
    lever = least_leverage(
        way_6[:, None], contact_J, np.zeros(1), inwards_3=DOWN, ceilings=CEILINGS
    )
    assert lever.most_n(*CEILINGS) == pytest.approx(60.0 / sin(slope))


def test_a_link_that_touches_near_its_joint_presses_harder_than_the_tool_pulls():
    """One joint, the tool 0.6 m from it, the contact 0.2 m."""
    jacobian_61 = np.array([[0.0, 0.0, -0.6, 0.0, 1.0, 0.0]]).T
    lever = least_leverage(
        jacobian_61, np.array([-0.2]), np.zeros(1), inwards_3=DOWN, ceilings=CEILINGS
    )
    assert lever.travel == pytest.approx(3.0)
    assert lever.turn_rad_per_m == pytest.approx(5.0)
    pushed = least_leverage(
        jacobian_61, np.array([-0.2]), np.array([4.0]), inwards_3=DOWN, ceilings=CEILINGS
    )
    assert pushed.rest_n == pytest.approx(4.0 / 0.2)


@pytest.mark.slow
def test_fingers_that_squeeze_a_plate_do_not_push_it():
    """`bench gate`, seed 0, stretch 6749: 45 N from either side are not 90 N on the table."""
    world, row_8 = WallWorld(Stiffness()), START.copy()
    row_8[3:7] = 0.0, 2**-0.5, 2**-0.5, 0.0  # the fingers open along x
    row_8[7] = 0.08
    world.reset(row_8)
    world.model.body_pos[world.model.body("wall").id] = world.state().row_D[:3] - (0.0, 0.0, 0.175)
    row_8 = world.state().row_D
    row_8[7] = 0.0
    world.command(row_8)
    for _ in range(200):
        world.step()
    assert abs(world.data.actuator_force[world.model.actuator(GRIPPER).id]) > 40.0
    assert abs(world.contact_n(Plate.WALL)) < 5.0


@pytest.mark.slow
def test_a_hand_that_presses_has_no_lever():
    world = WallWorld(Stiffness())
    world.reset(START, away_m={Plate.TABLE: 0.02})
    row_8 = world.state().row_D
    row_8[2] -= 0.06
    world.command(row_8)
    for _ in range(400):
        world.step()
    lever = world.leverage(Plate.TABLE, ceilings=CEILINGS)
    assert lever == pytest.approx((1.0, 0.0, 0.0), abs=0.5)
    assert world.contact_n(Plate.TABLE) < lever.most_n(*CEILINGS)
