"""Rows of `bench learn`: what is right is kept, what is wrong is missed, and tables come out."""

import json
import math
from pathlib import Path

import pytest
import torch

from robot_io.errors import FeelforwardError
from scripts.bench.learn import conversions, modes, samplers
from scripts.bench.learn.cell_log import CellLog
from scripts.bench.learn.modes import Demonstrations, Modes, ModesCell
from scripts.bench.learn.order import Order, OrderCell
from scripts.bench.learn.pictures import PICTURES
from scripts.bench.learn.row import judge
from scripts.bench.learn.samplers import SamplerCell, Samplers
from scripts.bench.learn.targets import FreshSets, seeded, target
from scripts.cli import main

# ---- the log


def test_a_cut_run_measures_only_what_is_missing(tmp_path: Path) -> None:
    asked = []

    def measure(cell: OrderCell) -> dict:
        asked.append(cell.solver)
        return {"order": 1.0, "steps": (20, 40)}

    cells = [OrderCell(solver, "CondOT", 1) for solver in ("Euler", "DDIM", "Heun")]
    first = CellLog(tmp_path / "order.jsonl").measure(cells, lambda: measure)
    next(first)
    next(first)
    again = list(CellLog(tmp_path / "order.jsonl").measure(cells, lambda: measure))
    assert asked == ["Euler", "DDIM", "Heun"]
    assert [cell for cell, _ in again] == cells
    assert again[0][1] == {"order": 1.0, "steps": [20, 40]}


def test_other_settings_are_other_cells(tmp_path: Path) -> None:
    log = CellLog(tmp_path / "modes.jsonl")
    for plans in (10, 20):
        list(log.measure([ModesCell("flow", 0, plans)], lambda: lambda cell: {"plans": cell.plans}))
    assert len((tmp_path / "modes.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_cells_measured_by_several_processes_come_in_order(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        where = ["--out", str(tmp_path / workers), "--json", str(tmp_path / f"{workers}.json")]
        main(["bench", "learn", "order", "--workers", workers, *where])
    one, two = (json.loads((tmp_path / f"{n}.json").read_text())["rows"]["order"] for n in (1, 2))
    assert [cell["solver"] for cell in one["cells"]] == [cell["solver"] for cell in two["cells"]]
    orders = [[cell["order"] for cell in log["cells"]] for log in (one, two)]
    assert orders[0] == pytest.approx(orders[1], abs=1e-6)


def test_a_log_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "order.jsonl").write_text('{"cell": 3')
    with pytest.raises(FeelforwardError, match=r"order\.jsonl, line 1: .*Use a new --out"):
        CellLog(tmp_path / "order.jsonl")


# ---- samplers


def test_fresh_samples_have_the_ratio_1_and_moved_ones_more() -> None:
    data = target("mixture", 2)
    fresh = FreshSets(data, sets=60, samples=125)
    generator = seeded(5)
    sets = [data.sample(125, generator=generator) for _ in range(60)]
    same = fresh.ratio(torch.stack([fresh.sorted(x) for x in sets]))
    moved = fresh.ratio(torch.stack([fresh.sorted(x + 0.1) for x in sets]))
    assert same.low < 1 < same.high
    assert same.high - same.low < 0.3
    assert moved.low > 1.1


def test_a_few_fresh_sets_give_the_same_unit_as_many() -> None:
    """A set is no pair with itself: otherwise the unit would be a quarter too small here."""
    data, generator = target("gaussian", 64), seeded(5)
    fresh = FreshSets(data, sets=4, samples=60)
    sets = [fresh.sorted(data.sample(60, generator=generator)) for _ in range(30)]
    assert fresh.ratio(torch.stack(sets)).value == pytest.approx(1, abs=0.05)


def test_a_sampler_with_too_few_steps_is_missed_and_one_with_enough_kept(tmp_path: Path) -> None:
    row = Samplers()

    def claimed(evaluations: int) -> str:
        cells = [
            SamplerCell(
                kind, 2, sampler, 0.1 if sampler == samplers.ADAPTIVE else evaluations, 20, 60
            )
            for kind in ("gaussian", "mixture")
            for sampler in samplers.SAMPLERS
        ]
        euler = [cell for cell in cells if cell.sampler == "ODE, Euler"]
        return row.claims([(cell, row.measure(cell)) for cell in euler])[0].verdict

    assert claimed(2) == "MISSED"
    assert claimed(60) in ("kept", "open")


def test_every_sampler_has_its_line_and_its_curve(tmp_path: Path) -> None:
    row, figures = Samplers(), {"value": 1.0, "low": 0.9, "high": 1.05, "evaluations": 40.0}
    measured = [(cell, figures) for cell in row.cells("small")]
    assert row.table(measured).row_count == len(samplers.SAMPLERS)
    assert row.claims(measured)[0].verdict == "kept"
    row.plot(tmp_path / "samplers.png", measured)
    assert (tmp_path / "samplers.png").stat().st_size > 5000


@pytest.mark.parametrize("bad", [1.2, math.nan])
def test_one_bad_sampler_among_all_is_enough(bad: float) -> None:
    row, fine = Samplers(), {"value": 1.0, "low": 0.9, "high": 1.05, "evaluations": 40.0}
    measured = [(cell, fine) for cell in row.cells("small")]
    measured[-1] = (measured[-1][0], {**fine, "value": bad, "low": bad, "high": bad})
    assert row.claims(measured)[0].verdict == "MISSED"


def test_what_chance_may_have_done_is_open() -> None:
    assert judge(False, certain=False) == "open"
    assert judge(False) == "MISSED"
    assert judge(True, certain=False) == "kept"


# ---- order, conversions, diffusers


@pytest.mark.parametrize("solver", ["Euler", "DPM-Solver++(2M)", "SDE, Heun"])
def test_a_wrong_order_is_missed(solver: str) -> None:
    row, right = Order(), {"Euler": 1}.get(solver, 2)
    figures = row.measure(OrderCell(solver, "CondOT", right))
    assert row.claims([(OrderCell(solver, "CondOT", right), figures)])[0].verdict == "kept"
    assert row.claims([(OrderCell(solver, "CondOT", 3), figures)])[0].verdict == "MISSED"


def test_an_order_that_is_no_number_is_missed() -> None:
    fine, nan = {"order": 1.0}, {"order": math.nan}
    cell = OrderCell("Euler", "CondOT", 1)
    for measured in ([(cell, fine), (cell, nan)], [(cell, nan), (cell, fine)]):
        assert Order().claims(measured)[0].verdict == "MISSED"


def test_a_conversion_that_loses_digits_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    row = conversions.Conversions()
    cells = row.cells("small")[:1]
    assert {c.verdict for c in row.claims([(c, row.measure(c)) for c in cells])} == {"kept"}
    right = conversions.convert
    monkeypatch.setattr(conversions, "convert", lambda *a, **k: right(*a, **k) + 1e-5)
    assert row.claims([(c, row.measure(c)) for c in cells])[0].verdict == "MISSED"


def test_a_sampler_unlike_diffusers_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    from scripts.bench.learn import against_diffusers
    from scripts.bench.learn.against_diffusers import AgainstDiffusers, SchedulerCell

    row, cell = AgainstDiffusers(), SchedulerCell("DDIM", "squaredcos_cap_v2", 10, "leading")
    assert row.claims([(cell, row.measure(cell))])[0].verdict == "kept"
    right = against_diffusers.ddim
    monkeypatch.setattr(against_diffusers, "ddim", lambda *a, **k: right(*a, **k) + 1e-4)
    assert row.claims([(cell, row.measure(cell))])[0].verdict == "MISSED"


# ---- modes


def test_demonstrations_go_round_the_obstacle_on_both_sides() -> None:
    batch = Demonstrations(2000, seed=0).sample(0)
    row_BH2 = torch.from_numpy(batch.action_BHD)
    assert row_BH2.norm(dim=-1).min() > modes.RADIUS + 0.1
    left = (row_BH2[:, modes.HORIZON // 2, 1] > 0).double().mean().item()
    assert left == pytest.approx(modes.LEFT_SHARE, abs=0.04)
    assert (row_BH2.mean(0).norm(dim=-1).min() < modes.RADIUS).item(), "their mean hits it"


def shares(left: float, right: float) -> dict:
    plan = [[[-1.0, 0.0]] * modes.HORIZON]
    return {"left": left, "right": right, "between": 1 - left - right, "drawn": plan}


def test_a_head_that_drops_a_mode_or_cuts_through_is_missed(tmp_path: Path) -> None:
    row = Modes()
    fine = {"flow": (0.6, 0.39), "DDPM": (0.6, 0.38), "mixture": (0.6, 0.4), "MSE": (0.0, 0.0)}

    def verdicts(**changed: tuple[float, float]) -> list[str]:
        told = {**fine, **changed}
        measured = [(ModesCell(head, 0, 10), shares(*told[head])) for head in modes.HEADS]
        return [claim.verdict for claim in row.claims(measured)]

    assert verdicts() == ["kept", "kept", "kept"]
    assert verdicts(flow=(1.0, 0.0))[0] == "MISSED"
    assert verdicts(DDPM=(0.6, 0.3))[1] == "MISSED"
    assert verdicts(MSE=(0.6, 0.4))[2] == "MISSED"
    measured = [(ModesCell(head, 0, 10), shares(*fine[head])) for head in modes.HEADS]
    assert row.table(measured).row_count == len(modes.HEADS)
    row.plot(tmp_path / "modes.png", measured)
    assert (tmp_path / "modes.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_least_squares_cuts_through_the_obstacle() -> None:
    figures = Modes().measure(ModesCell("MSE", 0, plans=40, steps=200))
    assert figures["between"] > 0.9
    assert len(figures["drawn"]) == 40


# ---- the command


def test_the_command_measures_judges_and_remembers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--out", str(tmp_path), "--json", str(tmp_path / "all.json")]
    main(["bench", "learn", "conversions", *options])
    assert "round trips within 1e-06" in capsys.readouterr().out
    rows = json.loads((tmp_path / "all.json").read_text())["rows"]
    assert {claim["verdict"] for claim in rows["conversions"]["claims"]} == {"kept"}
    monkeypatch.setattr(conversions, "LIMIT", 1e-20)
    with pytest.raises(SystemExit) as left:  # from the log: nothing is measured again
        main(["bench", "learn", "conversions", *options])
    assert left.value.code == 1


def test_rows_that_learn_from_demonstrations_ask_for_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "learn", "push_t", "--out", str(tmp_path)])
    assert "No --data for push_t: give" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "learn", "push_t", "--data", "none", "--seeds", "0"])
    assert "--seeds 0: at least 1." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_pictures_of_the_theory_are_those_that_it_shows(tmp_path: Path) -> None:
    main(["bench", "learn", "--pictures", str(tmp_path)])
    shown = (Path(__file__).parents[4] / "docs" / "theory.md").read_text()
    for name in PICTURES:
        assert f"(theory_{name}.png)" in shown
        assert (tmp_path / f"theory_{name}.png").stat().st_size > 10_000
