"""The first hour of a newcomer, in small: collect, go on, look, train, evaluate."""

import json
from pathlib import Path

import pytest

from policy.data import open_dataset
from scripts.checkpoints import REPOSITORY
from scripts.cli import main

TIGHTEN_CAP = REPOSITORY / "configs" / "tighten_cap.toml"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "tighten_cap"
    for episodes in ("2", "3"):
        main(["collect", "--episodes", episodes, "--out", str(out), "--workers", "2"])
    return out


def test_collecting_goes_on_where_it_ended(demonstrations: Path) -> None:
    dataset = open_dataset(demonstrations)
    assert dataset.extra("seed") == [0, 1, 2]
    assert dataset.extra("success") == [True, True, True]


def test_a_policy_comes_out_of_demonstrations_and_can_be_evaluated(
    demonstrations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, run = tmp_path / "quick.toml", str(tmp_path / "run")
    recipe.write_text(f'extends = "{TIGHTEN_CAP}"\n[policy]\nsampling = {{ evaluations = 2 }}\n')
    config = ["--config", str(recipe)]
    main(["train", *config, "--data", str(demonstrations), "--out", run, "--steps", "5"])
    reports = []
    for name in ("once", "again"):
        report = tmp_path / f"{name}.json"
        main(["evaluate", "--checkpoint", run, "--episodes", "1", "--json", str(report)])
        reports.append(json.loads(report.read_text()))
    assert "TightenCap" in capsys.readouterr().out
    assert reports[0]["episodes"] == 1
    assert reports[0]["results"] == reports[1]["results"], "lockstep repeats itself"
