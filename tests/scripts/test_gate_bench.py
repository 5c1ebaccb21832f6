"""`bench gate` depends on its seed alone, goes on where it was cut, and sees a bad gate."""

import json
from pathlib import Path

import numpy as np
import pytest

from robot_io.gate.gate import CommandGate
from robot_io.types import ArmState, Command, Verdict
from scripts import gate_bench
from scripts.cli import main
from scripts.gate_arms import NOTHING, Disturbance, PointArm
from scripts.gate_bench import Stage, Tally, play
from scripts.gate_streams import START
from scripts.robot import SIM_FR3


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two stretches of 50 ticks, without MuJoCo."""
    monkeypatch.setattr(gate_bench, "STRETCH_TICKS", 50)
    monkeypatch.setattr(gate_bench, "STRETCHES", 2)
    monkeypatch.setattr(gate_bench, "FR3_EVERY", 1000)


def played(folder: Path, commands: int = 400) -> list[Tally]:
    return list(play(commands, seed=3, robot=SIM_FR3, log_folder=folder, workers=1))


def outcome(tallies: list[Tally]) -> tuple[int, int, str]:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total.commands, total.violations, total.digest


def test_a_stretch_follows_from_its_seed_alone():
    first, second = (Stage(SIM_FR3, 3) for _ in range(2))
    second.play(0)
    assert first.play(7).digest == second.play(7).digest != first.play(8).digest


def test_a_run_that_was_cut_goes_on_where_it_ended(tmp_path: Path):
    whole = outcome(played(tmp_path / "whole"))
    cut = play(400, seed=3, robot=SIM_FR3, log_folder=tmp_path / "cut", workers=1)
    first = [next(cut), next(cut)]
    cut.close()
    (log,) = (tmp_path / "cut").iterdir()
    log.write_text(log.read_text() + '{"block": 2, "stret', encoding="utf-8")
    rest = played(tmp_path / "cut")
    assert [tally.digest for tally in rest[:2]] == [tally.digest for tally in first]
    assert outcome(rest) == whole
    assert not list((tmp_path / "cut").iterdir()), "a whole run leaves nothing to go on from"


def test_other_limits_are_another_run(tmp_path: Path):
    other = tmp_path / "robot.toml"
    other.write_text(
        SIM_FR3.read_text().replace("max_speed_m_per_s = 0.5", "max_speed_m_per_s = 0.4")
    )
    assert gate_bench._identity(3, other) != gate_bench._identity(3, SIM_FR3)


class Spoiled(CommandGate):
    """A gate that gives what was asked, whatever that is."""

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        verdict = super().check(command, state, now_ns)
        row = command.row_D
        return Verdict(verdict.kind, row if isinstance(row, np.ndarray) else verdict.row_D)


def test_a_gate_that_lets_everything_pass_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(gate_bench, "CommandGate", Spoiled)
    path = tmp_path / "gate.json"
    options = ["--commands", "200", "--workers", "1", "--log-folder", str(tmp_path / "log")]
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "gate", *options, "--json", str(path)])
    figures = json.loads(path.read_text())
    assert figures["commands"] == 200
    assert figures["violations"] == sum(figures["violations_by_limit"].values()) > 10
    assert len(figures["first_violations"]) == 5
    assert set(figures["tick_ms"]) == {"p50", "p90", "p99", "p99.9", "max"}
    assert "violations: " in capsys.readouterr().out


class Shy(CommandGate):
    """A gate that never lets an arm be armed: it breaks no limit, and is of no use."""

    def release(self, state: ArmState) -> None:
        self._anchor(ArmState(state.stamp_ns, np.zeros(3), state.joint_rad_J))

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        self.release(state)
        return super().check(command, state, now_ns)

    hold = check  # type: ignore[assignment]


def test_a_gate_that_arms_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gate_bench, "CommandGate", Shy)
    assert outcome(played(tmp_path, 50))[1] > 0


def test_the_streams_are_hostile_and_honest(tmp_path: Path):
    total = Tally()
    for tally in played(tmp_path, 2000):
        total.add(tally)
    assert min(total.verdicts[kind] for kind in ("accepted", "modified", "hold", "stopped")) > 20
    assert {"not_finite", "shape", "not_unit", "sequence", "expired", "clock"} <= set(total.reasons)
    assert {"workspace", "speed", "leash_force", "operator", "state_unusable"} <= set(total.reasons)


def test_the_light_arm_follows_presses_and_is_pushed():
    arm, row_8 = PointArm(700.0), START.copy()
    row_8[0] += 0.05
    arm.advance(row_8, 2000, NOTHING)
    assert np.allclose(arm.row()[:3], row_8[:3], atol=1e-4)
    row_8[0] += 0.05
    did = arm.advance(row_8, 2000, Disturbance(np.zeros(3), wall_axis=0))
    assert did.contact_n == pytest.approx(700.0 * 0.05, rel=0.01)
    arm.reset(START)
    arm.advance(START, 3000, Disturbance(np.array([0.0, 35.0, 0.0])))
    assert arm.row()[1] == pytest.approx(35.0 / 700.0, rel=0.01)


@pytest.mark.parametrize("commands", ["0", "2000000000"])
def test_a_number_of_commands_that_makes_no_sense_is_refused(
    commands: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="1"):
        main(["bench", "gate", "--commands", commands])
    assert f"--commands {commands}, allowed 1 to" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_commands_break_nothing_also_on_the_fr3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gate_bench, "STRETCH_TICKS", 500)
    monkeypatch.setattr(gate_bench, "FR3_EVERY", 10)
    total = Tally()
    for tally in played(tmp_path, 10_000):
        total.add(tally)
    assert total.details == []
    assert total.fr3_commands == 1000
