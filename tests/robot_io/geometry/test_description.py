"""A description of an arm is refused when it cannot be one."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from robot_io.geometry.description import ArmDescription

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
JOINT = {"position_m": (0, 0, 0.3), "quat_wxyz": UPRIGHT, "low_rad": -1.0, "high_rad": 1.0}
CAPSULE = {"from_m": (0, 0, 0), "to_m": (0, 0, 0.1), "radius_m": 0.05}
ARM = {
    "joints": ({"name": "one", **JOINT}, {"name": "two", **JOINT}),
    "tool": {"position_m": (0, 0, 0.1), "quat_wxyz": UPRIGHT},
    "links": (
        {"name": "base", "behind": 0, "capsules": (CAPSULE,)},
        {"name": "hand", "behind": 2, "capsules": (CAPSULE,)},
    ),
    "kept_apart": (),
}


def test_a_description_survives_being_told_to_a_process():
    arm = ArmDescription.model_validate(ARM)

    assert ArmDescription.model_validate(arm.model_dump(mode="json")) == arm


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ({"name": "one", **JOINT, "low_rad": 1.0},)}, "must be below"),
        ({"joints": ({"name": "one", **JOINT, "high_rad": float("nan")},)}, "finite"),
        ({"joints": ({"name": "one", **JOINT}, {"name": "one", **JOINT})}, "there twice"),
        ({"joints": ()}, "at least 1"),
        ({"tool": {"position_m": (0, 0, 0), "quat_wxyz": (0, 0, 0, 0)}}, "allowed: 1"),
        ({"links": ({"name": "hand", "behind": 3, "capsules": (CAPSULE,)},)}, "allowed: 0 to 2"),
        ({"links": ({"name": "hand", "behind": 1, "capsules": ()},)}, "at least 1"),
        ({"kept_apart": (("base", "elbow"),)}, "allowed: base, hand"),
        ({"reach_m": 1.0}, "not permitted"),
    ],
)
def test_a_description_that_cannot_be_an_arm_is_refused(change: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        ArmDescription.model_validate({**ARM, **change})


@pytest.mark.parametrize("missing", ["low_rad", "high_rad"])
def test_a_joint_without_a_limit_is_refused(missing: str):
    joint = {"name": "one", **JOINT}
    del joint[missing]

    with pytest.raises(ValidationError, match="Field required"):
        ArmDescription.model_validate({**ARM, "joints": (joint,)})


def test_a_process_that_only_passes_a_body_on_does_not_load_pinocchio():
    code = (
        "import sys, robot_io.geometry.config;"
        "sys.exit('loaded' if {'pinocchio', 'coal', 'daqp'} & set(sys.modules) else 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
