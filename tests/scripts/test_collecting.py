"""Who plays for `feelforward collect`, and that a student can be trained on what is saved."""

from pathlib import Path

import numpy as np
import pytest
from made_up_pushes import QUICK, write_demonstrations

from policy.data import open_dataset
from robot_io.control.loop import Tick
from robot_io.errors import FeelforwardError
from robot_io.types import Observation
from scripts.cli import main
from scripts.collection import collect
from scripts.evaluation import PUSH_T
from scripts.graphics import need_rendering
from scripts.robot import load_robot
from scripts.tasks import cap
from scripts.tasks.cap import CapStage

STUDENT = """
extends = "teacher.toml"
[policy]
generative = { distilled = true }
sampling = { solver = "euler", evaluations = 2 }
"""


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, r"has no expert, allowed: TightenCap; or --checkpoint says whose policy plays"),
        ({"takeover": "tighten_cap"}, r"has no expert"),
        ({"checkpoint": "tighten_cap"}, r"observes .*wrist.*, which gym_pusht/PushT-v0 does not"),
        ({"checkpoint": "a", "corrective": True}, r"--corrective and --checkpoint exclude"),
        ({"checkpoint": "a", "takeover": "b"}, r"--takeover and --checkpoint exclude"),
        ({"added_ms": (100.0,)}, r"--added-ms needs --takeover or --checkpoint"),
        ({"task": "PushX"}, r"--task PushX is not known, allowed: TightenCap, gym_pusht/PushT-v0"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_written(
    asked: dict, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")
    common = {"task": PUSH_T, "episodes": 1, "first_seed": 0, "workers": 1}
    with pytest.raises(FeelforwardError, match=message):
        collect(tmp_path / "out", **{**common, **asked})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_policys_own_plays_are_saved_well_or_not_and_teach_its_student(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gym_pusht", reason="Push-T needs the extra 'pusht'")
    shown = write_demonstrations(tmp_path / "shown", episodes=21, rows=20)
    for name, recipe in (("teacher", QUICK), ("student", STUDENT)):
        (tmp_path / f"{name}.toml").write_text(recipe)
    run, plays = str(tmp_path / "run"), str(tmp_path / "plays")
    train = ["train", "--steps", "2", "--data", str(shown)]
    main([*train, "--config", str(tmp_path / "teacher.toml"), "--out", run])
    whose = ["collect", "--task", PUSH_T, "--checkpoint", run, "--seed", "500000", "--out", plays]
    main([*whose, "--episodes", "1", "--workers", "1"])
    main([*whose, "--episodes", "3", "--workers", "2"])
    said = capsys.readouterr().out
    assert "2 of 2 episodes saved" in said
    assert f"train --teacher {run} --data" in said
    dataset = open_dataset(Path(plays))
    assert dataset.extra("seed") == [500_000, 500_001, 500_002]
    assert dataset.extra("success") == [False, False, False], "all of them, well or not"
    assert list(dataset.ends) == [300, 600, 900]
    taught = ["--config", str(tmp_path / "student.toml"), "--teacher", run]
    main([*train, plays, *taught, "--out", str(tmp_path / "student")])
    card = (tmp_path / "student" / "checkpoint" / "card.md").read_text()
    assert "plays: 3 episodes, 900 rows" in card


class Descending:
    """A policy that goes straight down from where it was told to be."""

    def reset(self, seed: int) -> None:
        pass

    def plan(self, observation: Observation) -> np.ndarray:
        down_8 = np.array([0, 0, -2, 0, 0, 0, 0, 0]) / 1e3
        return observation.vectors["commanded"][-1] + down_8 * np.arange(16)[:, None]


@pytest.mark.slow
def test_a_play_of_the_cap_is_kept_as_seen_by_every_sensor_and_as_commanded() -> None:
    need_rendering()
    stage, history = CapStage(load_robot()), {"commanded": 2, **dict.fromkeys(cap.IMAGES, 1)}
    sent: dict[int, np.ndarray] = {}

    def watch(tick: Tick) -> None:
        sent[tick.stamp_ns] = np.array(tick.verdict.row_D)

    plain = stage.play(5, Descending(), history, watch=watch)
    result, shown = stage.record(5, Descending(), history)
    assert result == plain.result
    assert len(shown) == pytest.approx(result.steps, abs=2)
    for seen, row_8 in shown:
        np.testing.assert_array_equal(row_8, sent[seen.observed_ns])
        assert set(seen.images) == set(cap.IMAGES)
        assert set(seen.vectors) == {"measured", "commanded"}
