from pathlib import Path

import pytest

from robot_io.errors import FeelforwardError
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
