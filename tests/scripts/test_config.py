from pathlib import Path

import pytest
from pydantic import Field

from policy.config import Recipe
from robot_io.errors import FeelforwardError
from scripts.checkpoints import REPOSITORY
from scripts.config import StrictModel, load_config

PUSH_T = REPOSITORY / "configs" / "push_t.toml"


class Gate(StrictModel):
    max_speed_m_per_s: float = Field(gt=0, le=3)
    leash_m: float = 0.1


class Stream(StrictModel):
    name: str
    rate_hz: float = 10.0


class Config(StrictModel):
    gate: Gate
    streams: tuple[Stream, ...] = ()


def write(folder: Path, text: str, name: str = "robot.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def fault(folder: Path, text: str) -> str:
    with pytest.raises(FeelforwardError) as caught:
        load_config(write(folder, text), Config)
    message = str(caught.value)
    assert "robot.toml" in message
    assert "\n" not in message
    return message


def test_a_sound_file_becomes_a_model(tmp_path: Path) -> None:
    path = write(tmp_path, 'streams = [{name = "wrist"}]\n[gate]\nmax_speed_m_per_s = 1\n')
    config = load_config(path, Config)
    assert config.gate.max_speed_m_per_s == 1.0
    assert config.streams == (Stream(name="wrist"),)


def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_name(tmp_path: Path) -> None:
    message = fault(tmp_path, "[gate]\nmax_speed_m_per_s = 1\nleash_mm = 100\n")
    assert "gate.leash_mm is not a known key; the nearest valid one is gate.leash_m." in message


def test_an_unknown_key_in_a_list_of_tables_is_named_by_its_index(tmp_path: Path) -> None:
    text = '[gate]\nmax_speed_m_per_s = 1\n[[streams]]\nname = "wrist"\nrate_fps = 30\n'
    assert "streams.0.rate_fps is not a known key" in fault(tmp_path, text)
    assert "streams.0.rate_hz" in fault(tmp_path, text)


def test_nan_is_refused_with_the_unit(tmp_path: Path) -> None:
    message = fault(tmp_path, "[gate]\nmax_speed_m_per_s = nan\n")
    assert "gate.max_speed_m_per_s = " in message
    assert "finite number, in m/s" in message


def test_a_number_in_the_wrong_unit_is_refused_by_its_range(tmp_path: Path) -> None:
    message = fault(tmp_path, "[gate]\nmax_speed_m_per_s = 250\n")
    assert "gate.max_speed_m_per_s = 250" in message
    assert "less than or equal to 3, in m/s" in message


def test_a_number_with_its_unit_in_a_string_is_refused(tmp_path: Path) -> None:
    assert "a valid number, in m/s" in fault(tmp_path, '[gate]\nmax_speed_m_per_s = "0.2 m/s"\n')
    assert "a valid number, in m/s" in fault(tmp_path, '[gate]\nmax_speed_m_per_s = "0.2"\n')


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "gate.max_speed_m_per_s is missing." in fault(tmp_path, "[gate]\n")


def test_broken_toml_says_where(tmp_path: Path) -> None:
    assert "line 1" in fault(tmp_path, "[gate\n")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FeelforwardError, match=r"nowhere\.toml does not exist\."):
        load_config(tmp_path / "nowhere.toml", Config)


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("policy.network.kind=dit", "kind", "dit"),
        ("policy.network.widths=[96, 96]", "widths", (96, 96)),
        ('policy.network.kind="dit"', "kind", "dit"),
    ],
)
def test_a_setting_says_otherwise_than_the_file(setting: str, key: str, value: object) -> None:
    settings = ("policy.network.widths=[64]", setting)
    recipe = load_config(PUSH_T, Recipe, settings=settings)
    assert getattr(recipe.policy.network, key) == value
    assert recipe.policy.horizon == 16


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.steps", "is no setting: allowed is table.key=value"),
        ("train..steps=3", "is no setting"),
        ("train.step=3", "train.step is not a known key; the nearest valid one is train.steps"),
        ("train.steps=many", "train.steps = 'many', allowed"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(setting: str, sentence: str) -> None:
    with pytest.raises(FeelforwardError, match=sentence):
        load_config(PUSH_T, Recipe, settings=(setting,))


def test_a_file_that_extends_another_lists_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path, 'streams = [{name = "wrist"}]\n[gate]\nmax_speed_m_per_s = 1\n', "base.toml")
    path = write(tmp_path, 'extends = "base.toml"\n[gate]\nleash_m = 0.05\n')
    config = load_config(path, Config)
    assert config.gate == Gate(max_speed_m_per_s=1.0, leash_m=0.05)
    assert config.streams == (Stream(name="wrist"),)


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    assert "extends itself" in fault(tmp_path, 'extends = "robot.toml"\n')
