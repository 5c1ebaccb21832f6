"""`bench gate` depends on its seed alone, goes on where it was cut, and sees a bad gate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot_io.gate.gate import CommandGate
from robot_io.types import ArmState, Command, Verdict
from scripts.bench.gate import gate
from scripts.bench.gate.arms import NOTHING, Disturbance, PointArm
from scripts.bench.gate.checker import Heft, Limits
from scripts.bench.gate.gate import Stage, Stretch, Tally, play
from scripts.bench.gate.limits import tool_limits
from scripts.bench.gate.streams import START, Asked
from scripts.cli import main
from scripts.robot import SIM_FR3


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two stretches of 50 ticks, without MuJoCo."""
    monkeypatch.setattr(gate, "STRETCH_TICKS", 50)
    monkeypatch.setattr(gate, "STRETCHES", 2)
    monkeypatch.setattr(gate, "FR3_EVERY", 1000)


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
    assert gate._identity(3, other) != gate._identity(3, SIM_FR3)


class Spoiled(CommandGate):
    """A gate that gives what was asked, whatever that is."""

    def check(self, command: Command, state: ArmState, now_ns: int) -> Verdict:
        verdict = super().check(command, state, now_ns)
        row = command.row_D
        return Verdict(verdict.kind, row if isinstance(row, np.ndarray) else verdict.row_D)


def test_a_gate_that_lets_everything_pass_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(gate, "CommandGate", Spoiled)
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
    monkeypatch.setattr(gate, "CommandGate", Shy)
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


@pytest.mark.parametrize("braking_s", [0.0, 0.05, 0.5 / 3])
def test_the_light_arm_swings_beyond_a_border_as_far_as_the_checker_says(braking_s: float):
    """`bench gate`, seed 0, stretch 320: a legal stop at the border, and 15.02 mm beyond it."""
    limits = Limits.read(SIM_FR3)
    arm, row_8, furthest_m = PointArm(limits.stiffness_n_per_m), START.copy(), 0.0
    border_m = START[1] + 0.5
    for k in range(200):
        left_s = max(1.0 + braking_s / 2 - k * 0.01, 0.0)
        brakes = left_s < braking_s
        way_s = left_s**2 / (2 * braking_s) if brakes else left_s - braking_s / 2
        row_8[1] = border_m - limits.speed[0] * way_s
        arm.advance(row_8, 10, NOTHING)
        furthest_m = max(furthest_m, arm.row()[1] - border_m)
    allowed_m = limits.swing_m(Heft(*arm.advance(None, 10, NOTHING).heft))
    assert 0.85 * allowed_m < furthest_m < allowed_m
    assert braking_s > 0 or furthest_m > 0.95 * allowed_m


class Liar:
    """Ever deeper into a wall; then one false pose, far inside of it, and a late tick."""

    def tick(self, given_8: np.ndarray, measured_8: np.ndarray, *, stopped: bool) -> Asked:
        self.ticks = getattr(self, "ticks", 0) + 1
        row_8, lie_8 = given_8.copy(), measured_8.copy()
        row_8[0] += 0.004
        lie_8[0] += 0.2
        lies, late = self.ticks == 200, self.ticks == 201
        return Asked(
            ms=400 if late else 10,
            back_ms=0,
            row=row_8,
            sequence=self.ticks,
            age_s=0.0,
            measured=lie_8 if lies else None,
            joints=None,
            wrench=None,
            truthful=not lies,
            event=None,
            disturbance=Disturbance(np.zeros(3), wall_axis=0),
            mood="lies" if lies else "",
        )


def test_the_arm_is_not_blamed_for_what_it_does_while_the_gate_believes_a_lie(
    monkeypatch: pytest.MonkeyPatch,
):
    """`bench gate`, seed 0, stretch 549: a false pose, and the next, true one 400 ms later."""
    monkeypatch.setattr(gate, "STRETCH_TICKS", 400)
    limits, own = tool_limits(SIM_FR3), Limits.read(SIM_FR3)
    arm = PointArm(limits.stiffness_n_per_m)
    tally = Stretch(limits, own, arm, Liar(), body=None).play()
    assert tally.details == []
    assert tally.largest["arm_force_n"] > 0.9, "but for the rest"


def test_a_tick_in_which_no_time_goes_by_does_not_make_a_lie_forgotten():
    """`bench gate`, seed 0, stretch 1982: the arm follows what came of it afterwards."""
    liar, row_8 = Liar(), START.copy()
    arm = PointArm(700.0)
    stretch = Stretch(tool_limits(SIM_FR3), Limits.read(SIM_FR3), arm, liar, body=None)
    true = liar.tick(row_8, row_8, stopped=False)
    for asked, misled in (
        (true, False),
        (replace(true, truthful=False), True),
        (replace(true, ms=0), True),
        (true, False),
    ):
        stretch._misled = stretch._is_misled(asked)
        assert stretch._misled is misled


def test_a_false_pose_within_reach_makes_no_arm_fast(monkeypatch: pytest.MonkeyPatch):
    """`bench gate`, seed 0, stretch 1982: 0.77 m/s, of 0.65."""
    monkeypatch.setattr(gate, "STRETCH_TICKS", 500)
    tally = Stage(SIM_FR3, 0).play(1982)
    assert tally.details == []
    assert tally.reasons["state_jumped"] > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("stretch", [3739, 6749])
def test_a_strut_and_a_squeeze_are_no_breach_of_the_force(
    stretch: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gate, "STRETCH_TICKS", 500)
    monkeypatch.setattr(gate, "FR3_EVERY", 10)
    assert Stage(SIM_FR3, 0).play(stretch).details == []


def test_an_arm_that_is_heavier_where_it_folds_may_swing_further():
    """`bench gate`, seed 0, stretch 12009: 26.3 mm with 33 kg, where 14 may do 26.0."""
    assert Stage(SIM_FR3, 0).play(12009).details == []


@pytest.mark.parametrize("stretch", [281, 6245])
def test_gate_and_checker_believe_the_same_after_a_lie(stretch: int):
    """`bench gate`, seed 0: the true pose lay one whole way off, less or more by rounding."""
    assert Stage(SIM_FR3, 0).play(stretch).details == []


@pytest.mark.parametrize("stretch", [1317, 6987])
def test_a_gate_is_not_blamed_that_arms_no_arm_which_feels_nonsense(stretch: int):
    """A true pose, and beside it a wrench of infinities, or a word."""
    assert Stage(SIM_FR3, 0).play(stretch).details == []


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
    monkeypatch.setattr(gate, "STRETCH_TICKS", 500)
    monkeypatch.setattr(gate, "FR3_EVERY", 10)
    total = Tally()
    for tally in played(tmp_path, 10_000):
        total.add(tally)
    assert total.details == []
    assert total.fr3_commands == 1000
