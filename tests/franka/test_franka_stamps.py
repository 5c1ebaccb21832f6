"""Stamps and velocities of the Franka driver, without an arm."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from franka_parts import CLOCK, ROBOT, arm_on

from robot_io.clock import NS_PER_MS
from robot_io.devices.franka import FrankaArm
from robot_io.devices.franka_faults import import_sdk
from robot_io.devices.franka_impedance import References
from robot_io.types import ArmState
from sim.franka_process import FrankaProcess

START_D = np.array([0.4, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.04])


@dataclass
class State:
    """A state as franky gives it."""

    time_ms: int
    q: tuple[float, ...] = (0.0,) * 7
    O_F_ext_hat_K: tuple[float, ...] = (0.0,) * 6
    O_T_EE: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            translation=START_D[:3], quaternion=np.array([1.0, 0.0, 0.0, 0.0])
        )
    )

    @property
    def time(self) -> SimpleNamespace:
        return SimpleNamespace(to_msec=lambda: self.time_ms)


def taken(arm: FrankaArm, time_ms: int) -> ArmState:
    arm._take(State(time_ms))
    assert arm._newest is not None
    return arm._newest


@pytest.fixture
def arm() -> FrankaArm:
    return arm_on(FrankaProcess())


def test_a_state_that_comes_late_is_as_old_as_it_is(arm: FrankaArm) -> None:
    first = taken(arm, 1000)
    CLOCK.sleep_until(CLOCK.now_ns() + 40 * NS_PER_MS)
    late = taken(arm, 1010)
    assert late.stamp_ns - first.stamp_ns == 10 * NS_PER_MS


def test_a_state_that_repeats_never_becomes_younger(arm: FrankaArm) -> None:
    first = taken(arm, 1000)
    CLOCK.sleep_until(CLOCK.now_ns() + 20 * NS_PER_MS)
    for _ in range(1000):
        assert taken(arm, 1000).stamp_ns == first.stamp_ns


def test_a_steady_motion_is_told_with_its_velocity() -> None:
    references = References(import_sdk(), (0.3, 1.0))
    row_D = START_D.copy()
    references.take(row_D, 0)
    row_D[1] += 0.001
    twist = references.take(row_D, 10 * NS_PER_MS).target_twist
    assert np.ravel(twist.linear) == pytest.approx([0.0, 0.1, 0.0])


def test_a_jump_is_no_velocity() -> None:
    references = References(import_sdk(), (0.3, 1.0))
    references.take(START_D, 0)
    far_D = START_D.copy()
    far_D[0] += 1.0
    far_D[3:7] = (0.0, 0.0, 1.0, 0.0)  # turned by pi
    twist = references.take(far_D, 10 * NS_PER_MS).target_twist
    assert np.linalg.norm(twist.linear) == pytest.approx(0.3)
    assert np.linalg.norm(twist.angular) == pytest.approx(1.0)


def test_rows_long_apart_tell_no_velocity() -> None:
    references = References(import_sdk(), (0.3, 1.0))
    references.take(START_D, 0)
    row_D = START_D.copy()
    row_D[1] += 0.001
    twist = references.take(row_D, 200 * NS_PER_MS).target_twist
    assert np.linalg.norm(twist.linear) == 0


def test_the_damper_of_the_shipped_arm_pulls_no_harder_than_the_leash_allows() -> None:
    assert ROBOT.franka is not None
    fastest = arm_on(FrankaProcess())._impedance.fastest
    force_n = fastest[0] * ROBOT.franka.damping_n_s_per_m
    assert force_n == pytest.approx(ROBOT.gate.force_max_n)
    assert fastest[0] >= ROBOT.gate.max_speed_m_per_s
