"""The fakes behave like devices."""

import numpy as np
import pytest

from robot_io.clock import NS_PER_MS, NS_PER_S, VirtualClock
from robot_io.devices.fake import HOME_ROW, CirclePlanner, FakeArm, FakeCamera
from robot_io.errors import FeelforwardError
from robot_io.session.watchdog import REQUESTED
from robot_io.types import MonoNs, Observation


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def moved(row_D: np.ndarray, *, dx_m: float = 0.0, dz_m: float = 0.0) -> np.ndarray:
    return row_D + np.array([dx_m, 0, dz_m, 0, 0, 0, 0, 0])


def test_the_arm_comes_63_percent_of_the_way_in_one_time_constant(clock: VirtualClock) -> None:
    with FakeArm(time_constant_s=0.05, clock=clock) as arm:
        home_D = arm.read().row_D
        arm.command(moved(home_D, dx_m=0.1))
        for _ in range(5):  # in steps or at once: the same
            clock.sleep_until(clock.now_ns() + 10 * NS_PER_MS)
            state = arm.read()
    assert state.stamp_ns == 50 * NS_PER_MS
    assert state.row_D[0] - home_D[0] == pytest.approx(0.1 * (1 - np.exp(-1)), rel=1e-3)
    assert np.linalg.norm(state.row_D[3:7]) == pytest.approx(1)


def test_a_wall_holds_the_arm_while_the_command_goes_on(clock: VirtualClock) -> None:
    with FakeArm(wall_z_m=0.3, clock=clock) as arm:
        arm.command(moved(np.array(HOME_ROW), dz_m=-0.2))
        clock.sleep_until(NS_PER_S)
        assert arm.read().row_D[2] == 0.3


def test_a_frozen_arm_repeats_itself_stamp_and_all(clock: VirtualClock) -> None:
    with FakeArm(clock=clock) as arm:
        arm.command(moved(np.array(HOME_ROW), dx_m=0.1))
        arm.freeze()
        before = arm.read()
        clock.sleep_until(NS_PER_S)
        after = arm.read()
    assert after.stamp_ns == before.stamp_ns
    assert (after.row_D == before.row_D).all()


def test_a_stopped_arm_takes_no_commands_until_it_is_entered_again(clock: VirtualClock) -> None:
    arm = FakeArm(clock=clock)
    with arm:
        arm.stop()
        arm.command(moved(np.array(HOME_ROW), dx_m=0.1))
        clock.sleep_until(NS_PER_S)
        assert (arm.stopped_by, arm.read().row_D[0]) == (REQUESTED, HOME_ROW[0])
    with arm:
        assert arm.stopped_by is None


def test_leaving_the_arm_stops_it_where_it_is(clock: VirtualClock) -> None:
    arm = FakeArm(clock=clock)
    with arm:
        arm.command(moved(np.array(HOME_ROW), dx_m=0.1))
        clock.sleep_until(20 * NS_PER_MS)
    arm.__exit__()
    assert arm.stops == 1
    with pytest.raises(FeelforwardError, match="not connected"):
        arm.read()


def test_the_camera_exposes_on_its_grid_and_loses_what_was_not_read(clock: VirtualClock) -> None:
    with FakeCamera("wrist", rate_hz=10, shape=(2, 2, 3), clock=clock) as camera:
        assert camera.read(0.05) is None
        frame = camera.read(0.1)
        assert frame is not None
        assert (frame.sequence, frame.exposed_ns) == (1, 100 * NS_PER_MS)
        clock.sleep_until(450 * NS_PER_MS)
        frame = camera.read(0.0)
        assert frame is not None
        assert (frame.sequence, frame.exposed_ns) == (4, 400 * NS_PER_MS)
        assert (frame.image_HWC == 4).all()
        assert camera.read(0.0) is None


def test_a_frozen_camera_repeats_its_last_frame(clock: VirtualClock) -> None:
    with FakeCamera("wrist", freeze_after=2, clock=clock) as camera:
        frames = [camera.read(1.0) for _ in range(5)]
    assert [frame and frame.sequence for frame in frames] == [1, 2, 2, 2, 2]


def test_the_planner_begins_where_the_arm_is_and_goes_round(clock: VirtualClock) -> None:
    planner = CirclePlanner(rows=41, radius_m=0.02, turn_s=4.0, inference_s=0.02, clock=clock)
    planner.reset(seed=0)
    home_D = np.array(HOME_ROW)
    row_HD = planner.plan(Observation(MonoNs(5), {"measured": home_D[None]}))
    assert clock.now_ns() == 20 * NS_PER_MS
    assert row_HD.shape == (41, 8)
    assert np.allclose(row_HD[[0, 40]], home_D)
    assert row_HD[20, 0] == pytest.approx(home_D[0] - 0.04)
