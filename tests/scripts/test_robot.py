from pathlib import Path

import pytest

from robot_io.errors import FeelforwardError
from scripts.live.parts import arm_of, camera_of
from scripts.robot import SIM_FR3, load_robot


def changed(folder: Path, old: str, new: str) -> Path:
    text = SIM_FR3.read_text().replace('"../bodies', f'"{SIM_FR3.parent.parent}/bodies')
    assert old in text
    path = folder / "robot.toml"
    path.write_text(text.replace(old, new))
    return path


def test_the_simulated_robot_runs_at_100_hz() -> None:
    assert load_robot().period_ns == 10_000_000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_speed_m_per_s = 0.5", "max_speed_m_per_s = 500", "is the unit right?"),
        ("max_speed_m_per_s = 0.5", "max_speed_mm_per_s = 500", "one is gate.max_speed_m_per_s."),
        ("force_max_n = 60.0", "force_max_n = nan", "finite number, in N."),
        ("force_max_n = 60.0", "", "gate.force_max_n is missing."),
        ("max_state_age_s", "state_age_s", "one is loop.max_state_age_s."),
        ("[0.25, -0.30, 0.05]", "[0.25, -0.30]", "gate.workspace_low_m"),
    ],
)
def test_a_wrong_limit_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(FeelforwardError) as caught:
        load_robot(changed(tmp_path, old, new))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


WRIST = """
[cameras.wrist]
driver = "realsense"
serial = "123"
width_px = 640
height_px = 480
rate_hz = 30
image_px = 96
max_age_ms = 200.0
"""


def real(folder: Path, cameras: str = "") -> Path:
    path = folder / "mine.toml"
    path.write_text(f'extends = "{SIM_FR3.parent}/fr3.toml"\n{cameras}')
    return path


def test_a_real_robot_has_the_cameras_of_its_config_and_no_simulated_ones(tmp_path: Path) -> None:
    robot = load_robot(real(tmp_path, WRIST))
    assert not robot.is_simulated
    assert robot.stream_limits(["wrist"])["wrist"].max_age_s == 0.2
    made = camera_of(robot, "wrist")
    assert made.target == "robot_io.devices.policy_camera:make_camera"
    assert made.kwargs["settings"]["serial"] == "123"
    with pytest.raises(FeelforwardError, match=r"sees scene, .* add \[cameras.scene\]"):
        robot.stream_limits(["wrist", "scene"])


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("sim_fr3", "robot_io.session.remote_arm:RemoteArm"),
        ("fr3", "robot_io.devices.franka:make_arm"),
        ("ur5e", "robot_io.devices.ur:make_arm"),
    ],
)
def test_each_shipped_config_makes_its_own_arm(name: str, target: str) -> None:
    robot = load_robot(SIM_FR3.parent / f"{name}.toml")
    assert arm_of(robot).target == target


@pytest.mark.parametrize(
    ("old", "new"), [('"realsense"', '"webcam"'), ("image_px = 96", ""), ("96", "true")]
)
def test_a_wrong_camera_is_one_sentence(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(FeelforwardError, match=r"cameras.wrist"):
        load_robot(real(tmp_path, WRIST.replace(old, new)))
