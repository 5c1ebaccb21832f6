"""`feelforward run` with a real arm: what it refuses before anything moves."""

from pathlib import Path

import pytest

from robot_io.errors import FeelforwardError
from scripts.commands.run import Run
from scripts.live import arm_run
from scripts.live.arm_run import NOBODY, run_on_arm, spec_for
from scripts.robot import SIM_FR3, load_robot

FR3 = SIM_FR3.parent / "fr3.toml"
ALONE = {"policy": NOBODY, "checkpoint": "", "keys": None, "joining": None}


def test_without_a_policy_a_session_needs_no_camera_and_no_checkpoint() -> None:
    spec = spec_for(load_robot(FR3), **ALONE)
    assert (dict(spec.images), spec.world) == ({}, None)
    assert spec.policy.target == "robot_io.devices.fake:StillPlanner"
    assert spec_for(load_robot(), **ALONE).world is not None


def test_a_checkpoint_that_sees_needs_the_cameras_of_the_config() -> None:
    shipped = {**ALONE, "policy": None, "checkpoint": "tighten_cap"}
    with pytest.raises(FeelforwardError, match=r"add \[cameras.wrist\], \[cameras.scene\]"):
        spec_for(load_robot(FR3), **shipped)


def test_several_episodes_of_a_real_arm_need_somebody_who_lets_them_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arm_run, "terminal_fd", lambda: None)
    spec = spec_for(load_robot(FR3), **ALONE)
    with pytest.raises(FeelforwardError, match="needs a terminal"):
        run_on_arm(spec, seeds=range(2), seconds=1.0, record=None)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e9])
def test_an_episode_without_a_sensible_end_is_refused(seconds: float) -> None:
    with pytest.raises(FeelforwardError, match="--seconds"):
        Run(robot=Path(FR3), policy=NOBODY, seconds=seconds).run()
