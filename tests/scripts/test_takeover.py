from pathlib import Path

import numpy as np
import pytest

from robot_io.errors import FeelforwardError
from robot_io.types import Observation
from scripts.cap import CapStage
from scripts.collection import collect
from scripts.graphics import need_rendering
from scripts.robot import load_robot


class Astray:
    """A policy that goes down to one side, wherever the bottle is."""

    def reset(self, seed: int) -> None:
        pass

    def plan(self, observation: Observation) -> np.ndarray:
        row_8 = observation.vectors["commanded"][-1]
        return np.stack([row_8 + h * np.array([0, 3, -3, 0, 0, 0, 0, -2]) / 1e3 for h in range(16)])


def test_a_takeover_is_not_also_corrective(tmp_path: Path):
    with pytest.raises(FeelforwardError, match="exclude each other"):
        collect(
            tmp_path,
            task="TightenCap",
            episodes=1,
            first_seed=0,
            workers=1,
            corrective=True,
            takeover="tighten_cap",
        )
    assert not list(tmp_path.iterdir())


def test_only_a_policy_can_be_late(tmp_path: Path):
    with pytest.raises(FeelforwardError, match="needs --takeover"):
        collect(
            tmp_path, task="TightenCap", episodes=1, first_seed=0, workers=1, added_ms=(0.0, 400.0)
        )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_expert_takes_over_and_only_what_it_does_is_kept():
    need_rendering()
    stage = CapStage(load_robot())
    result, shown = stage.take_over(5, Astray(), {"commanded": 2}, after_s=3.0)
    meant = np.stack([row_8 for _, row_8 in shown])
    assert result.success
    assert result.scores["takeover_s"] == 3.0
    assert shown[0][0].observed_ns == 3_300_000_000  # at rest, then the next row of 100 ms
    assert len(shown) == pytest.approx(result.steps - 33, abs=1)
    assert np.abs(np.diff(meant[:, :3], axis=0)).max() < 0.05  # 0.5 m/s
    assert meant[:, 2].argmin() > 0  # it rises from where the policy left it


@pytest.mark.slow
def test_nothing_is_kept_where_the_policy_never_gave_way():
    need_rendering()
    stage = CapStage(load_robot())
    _, shown = stage.take_over(5, Astray(), {"commanded": 2}, after_s=60.0)
    assert shown == []
