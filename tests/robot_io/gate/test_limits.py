"""A limit that is missing, or is none, means that nothing is armed."""

import pytest
from control_toys import LIMITS, gate_limits
from pydantic import ValidationError

from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import GateLimits
from robot_io.gate.reasons import GROUPS, Reason

NUMBERS = [name for name, value in LIMITS.items() if isinstance(value, float)]
JOINTS = {
    "low_rad": (-1.0, -2.0),
    "high_rad": (1.0, 2.0),
    "slow_down_rad": 0.2,
    "stop_rad": 0.05,
    "max_speed_rad_per_s": (1.0, 1.0),
    "max_accel_rad_per_s2": (10.0, 10.0),
    "max_jerk_rad_per_s3": (100.0, 100.0),
}
GEOMETRY = {
    "self_slow_down_m": 0.05,
    "self_stop_m": 0.01,
    "obstacle_slow_down_m": 0.1,
    "obstacle_stop_m": 0.02,
    "singular_slow_down_m_per_rad": 0.08,
    "singular_stop_m_per_rad": 0.03,
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, None, "fast"])
def test_a_limit_that_is_no_limit_refuses_to_arm(name, value):
    with pytest.raises(ValidationError, match=name):
        gate_limits(**{name: value})


@pytest.mark.parametrize("name", LIMITS)
def test_a_missing_limit_refuses_to_arm(name):
    with pytest.raises(ValidationError, match=name):
        GateLimits.model_validate({key: value for key, value in LIMITS.items() if key != name})


@pytest.mark.parametrize(
    ("table", "whole"),
    [
        ("joints", JOINTS),
        ("geometry", GEOMETRY),
        ("measured", LIMITS["measured"]),
        ("touch", LIMITS["touch"]),
        ("on_violation", LIMITS["on_violation"]),
    ],
)
def test_a_missing_limit_of_a_table_refuses_to_arm(table, whole):
    for name in whole:
        part = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(ValidationError, match=name):
            gate_limits(**{"joints": JOINTS, table: part})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"max_jerk": 1.0}, "max_jerk"),
        ({"workspace_low_m": (0.7, -0.3, 0.05)}, "workspace_low_m"),
        ({"workspace_high_m": (0.7, float("nan"), 0.05)}, "workspace_high_m"),
        ({"planes": [{"point_m": (0, 0, 0), "normal": (0, 0, 0.5)}]}, "length 0.5"),
        ({"keep_out_boxes": [{"low_m": (0, 0, 0), "high_m": (1, 0, 1)}]}, "must be below"),
        ({"keep_out_spheres": [{"centre_m": (0, 0, 0), "radius_m": 0.0}]}, "radius_m"),
        ({"joints": JOINTS | {"high_rad": (1.0,)}}, "must be below"),
        ({"joints": JOINTS | {"max_speed_rad_per_s": (1.0,)}}, "one number per joint"),
        ({"joints": JOINTS | {"stop_rad": 0.3}}, "stops at 0.3 rad"),
        ({"joints": JOINTS, "geometry": GEOMETRY | {"self_stop_m": 0.05}}, "stops at 0.05 m"),
        ({"geometry": GEOMETRY}, "joints"),
        ({"measured": LIMITS["measured"] | {"max_turn_rad_per_s": 0.0}}, "max_turn_rad_per_s"),
        ({"joints": "unknown"}, "none"),
    ],
)
def test_what_contradicts_itself_is_refused(changed, said):
    with pytest.raises(ValidationError, match=said):
        gate_limits(**changed)


def test_limits_on_geometry_without_a_model_of_the_arm_refuse_to_arm():
    with pytest.raises(FeelforwardError, match="not armed"):
        CommandGate(gate_limits(joints=JOINTS, geometry=GEOMETRY))


def test_every_reason_that_can_be_clipped_belongs_to_one_group():
    grouped = [reason for reasons in GROUPS.values() for reason in reasons]
    first, last = list(Reason).index(Reason.WORKSPACE), list(Reason).index(Reason.SINGULARITY)
    assert sorted(grouped) == sorted(list(Reason)[first : last + 1])
    assert set(GROUPS) == set(LIMITS["on_violation"])
