"""What a Franka arm is told: nothing is left out, and nothing that makes no sense gets through."""

import sys
from typing import Any

import pytest
from pydantic import ValidationError

from robot_io.devices.franka import FrankaArm
from robot_io.devices.franka_faults import import_sdk
from robot_io.devices.franka_settings import FrankaSettings
from robot_io.errors import FeelforwardError
from robot_io.session.processes import Factory
from scripts.bench.franka import FR3
from scripts.live.stage import session_around
from scripts.robot import load_robot


def shipped() -> dict[str, Any]:
    franka = load_robot(FR3).franka
    assert franka is not None
    return franka.model_dump()


@pytest.mark.parametrize("name", [name for name in FrankaSettings.model_fields if name != "hand"])
def test_there_is_no_default_for_anything(name: str) -> None:
    table = shipped()
    del table[name]
    with pytest.raises(ValidationError, match=name):
        FrankaSettings.model_validate(table)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reflex_force_n", float("nan")),
        ("reflex_force_n", 0.0),
        ("damping_n_s_per_m", float("inf")),
        ("joint_low_rad", (3.0, *[0.7] * 6)),
        ("tool_in_nominal_ee", (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
        ("load_kg", -1.0),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        FrankaSettings.model_validate({**shipped(), name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stiffness_n_per_m", float("nan")),
        ("stiffness_n_per_m", 20_000.0),
        ("stiffness_nm_per_rad", 0.1),
        ("grip_force_n", float("nan")),
        ("grip_force_n", 100.0),
    ],
)
def test_what_the_arm_does_not_have_is_refused(name: str, value: float) -> None:
    given = {
        "stiffness_n_per_m": 700.0,
        "leash_m": 0.04,
        "stiffness_nm_per_rad": 20.0,
        "leash_rad": 0.3,
        "grip_force_n": 30.0,
        "max_target_age_s": 0.2,
    }
    with pytest.raises(FeelforwardError, match=name):
        FrankaArm(FrankaSettings.model_validate(shipped()), **{**given, name: value})


def test_a_real_arm_is_not_taken_for_the_simulated_one() -> None:
    policy = Factory("robot_io.devices.fake:CirclePlanner")
    spec = session_around(policy, load_robot(FR3), history={"measured": 1})
    assert spec.arm.target == "robot_io.devices.franka:make_arm"
    assert spec.world is None


def test_a_missing_sdk_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "franky", None)
    with pytest.raises(FeelforwardError, match=r"pip install 'feelforward\[franka\]'"):
        import_sdk()
