from pathlib import Path

import numpy as np
import pytest

from policy.checkpoint import read_recipe
from robot_io.clock import NS_PER_MS
from robot_io.errors import FeelforwardError
from robot_io.types import Observation
from scripts import collection
from scripts.checkpoints import find_checkpoint
from scripts.collection import collect
from scripts.graphics import need_rendering
from scripts.robot import RobotConfig, load_robot
from scripts.tasks import cap
from scripts.tasks.cap import CapStage


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


@pytest.mark.parametrize("added_ms", [(), (-1.0,), (0.0, float("nan")), (1e5,)])
def test_a_delay_that_cannot_be_is_refused(tmp_path: Path, added_ms: tuple[float, ...]):
    with pytest.raises(FeelforwardError, match=r"--added-ms .*, allowed: one or more from 0 to"):
        collect(
            tmp_path,
            task="TightenCap",
            episodes=1,
            first_seed=0,
            workers=1,
            takeover="tighten_cap",
            added_ms=added_ms,
        )
    assert not list(tmp_path.iterdir())


def test_the_policy_plays_as_on_the_robot_and_its_plans_come_late(monkeypatch: pytest.MonkeyPatch):
    """Which joining is loaded, and when plans arrive; nothing is simulated."""
    loaded: list[str] = []
    played: dict[str, object] = {}

    class Policy:
        config = read_recipe(find_checkpoint("tighten_cap")).policy

    class Stage:
        def __init__(self, robot: RobotConfig) -> None:
            pass

        def take_over(self, seed: int, source: Policy, history: dict, **settings: object) -> None:
            played.update(settings)

    monkeypatch.setattr(
        collection, "load_policy", lambda folder, way: loaded.append(way) or Policy()
    )
    monkeypatch.setattr(cap, "CapStage", Stage)
    collection.make_supervisor(Path("there"), (0.0, 400.0))(7)
    assert loaded == [load_robot().buffer.joining]
    assert played["added_ms"] == (0.0, 400.0)


@pytest.mark.slow
@pytest.mark.parametrize("added_ms", [(0.0,), (300.0,)])
def test_at_a_takeover_plans_take_what_is_added(added_ms: tuple[float, ...]):
    need_rendering()
    robot = load_robot()
    asked_ns: list[int] = []

    class Stamped(Astray):
        def plan(self, observation: Observation) -> np.ndarray:
            asked_ns.append(observation.observed_ns)
            return super().plan(observation)

    CapStage(robot).take_over(5, Stamped(), {"commanded": 2}, after_s=3.0, added_ms=added_ms)
    between_ms = np.diff(asked_ns) / NS_PER_MS  # the next plan begins when the last has arrived
    least_ms = min(robot.lockstep_inference_ms) + added_ms[0]
    assert least_ms <= between_ms.min() < least_ms + 200


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
