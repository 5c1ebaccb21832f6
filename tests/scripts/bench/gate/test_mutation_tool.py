"""The mutation tool breaks what it says it breaks, and says whether a test noticed."""

from pathlib import Path

import pytest

from robot_io.errors import FeelforwardError
from scripts.bench.gate import mutant_log, mutants
from scripts.bench.gate.mutant_log import MutantLog
from scripts.bench.gate.mutants import Config, Target, mutants_of, run

SOURCE = """
FAR = 3

class Gate:
    def check(self, x):
        if x is None or x < 0:
            return "bad"
        return min(x, self._limits.highest_m)
"""


def changes(source: str = SOURCE) -> set[tuple[str, str, str]]:
    return {(m.operator, m.before, m.after) for m in mutants_of("gate.py", source)}


def test_every_check_comparison_clamp_limit_and_early_return_is_broken_once():
    assert changes() == {
        ("check off", "x is None or x < 0", "False"),
        ("check off", "x is None", "False"),
        ("check off", "x < 0", "False"),
        ("flip", "x is None", "x is not None"),
        ("flip", "x < 0", "x >= 0"),
        ("no return", "return 'bad'", "pass"),
        ("clamp off", "min(x, self._limits.highest_m)", "max(x, self._limits.highest_m)"),
        ("limit x 10", "self._limits.highest_m", "_ten_times(self._limits.highest_m)"),
    }


def test_constants_of_the_module_are_limits():
    assert ("limit x 10", "FAR", "_ten_times(FAR)") in changes(
        "FAR = 3\ndef f(x):\n    return x < FAR"
    )


def test_a_mutant_is_python_and_differs_in_one_place():
    for mutant in mutants_of("gate.py", SOURCE):
        compile(mutant.source, mutant.file, "exec")
        assert mutant.place == "Gate.check"


def test_ten_times_a_limit_of_several_numbers_is_ten_times_each():
    scope: dict = {}
    exec(mutants.TEN_SOURCE, scope)
    ten = scope[mutants.TEN]
    assert ten((1.0, (2, 3))) == (10.0, (20, 30))
    assert ten("none") == "none"


@pytest.mark.slow  # it makes each mutant once
def test_the_config_names_files_that_exist_and_mutants_that_exist():
    config = Config.read()
    keys = set()
    for target in config.targets:
        assert all(Path(path).exists() for path in (target.file, *target.tests))
        keys |= {m.key for m in mutants_of(target.file, Path(target.file).read_text())}
    assert set(config.equivalent) <= keys, "an equivalent mutant that no longer exists"
    assert all(len(reason) > 10 for reason in config.equivalent.values())


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project whose test notices one of two checks."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "checks.py").write_text(
        "def ok(x):\n    if x < 0:\n        return False\n    if x > 9:\n        return False\n"
        "    return True\n"
    )
    (repository / "test_checks.py").write_text(
        "from checks import ok\n\ndef test_low():\n    assert not ok(-1) and ok(1)\n"
    )
    for module in (mutants, mutant_log):
        monkeypatch.setattr(module, "REPOSITORY", repository)
    return repository


@pytest.mark.slow
def test_what_a_test_notices_is_killed_and_the_rest_survives(tree: Path):
    config = Config((Target("checks.py", ("test_checks.py",)),), {})
    fates = {(o.mutant.operator, o.mutant.before): o.fate for o in run(config, workers=1)}
    assert fates["check off", "x < 0"] == fates["flip", "x > 9"] == "killed"
    assert fates["check off", "x > 9"] == "survived"


@pytest.mark.slow
def test_a_check_that_goes_with_its_generator_is_a_mutant_like_any_other(tree: Path):
    checks = tree / "checks.py"
    checks.write_text("def ok(x):\n    return x != 5 and all(y < 9 for y in (x, x + 1))\n")
    (tree / "test_checks.py").write_text(
        "from checks import ok\n\ndef test_it():\n    assert ok(1)\n"
    )
    config = Config((Target("checks.py", ("test_checks.py",)),), {})
    fates = {(o.mutant.operator, o.mutant.after): o.fate for o in run(config, workers=1)}
    assert fates["check off", "True"] == "survived" and fates["flip", "y >= 9"] == "killed"


@pytest.mark.slow
def test_what_was_tried_is_not_tried_again_until_a_source_changes(tree: Path):
    config = Config((Target("checks.py", ("test_checks.py",)),), {})
    log, source = MutantLog(tree / "log"), tree / "robot_io" / "checks.py"
    first = list(log.kept(run(config, workers=1), {}))
    with log.path.open("a") as file:
        file.write('{"key": ["half')
    known = log.known()
    assert known == {each.mutant.key: each.fate for each in first}
    (tree / "test_checks.py").write_text("def test_it():\n    assert False\n")
    assert list(log.kept(run(config, workers=1, known=known), known)) == first, "no test was run"
    source.parent.mkdir()
    source.write_text("LIMIT = 3\n")
    assert MutantLog(tree / "log").known() == {}


@pytest.mark.slow
def test_tests_that_fail_already_are_refused(tree: Path):
    (tree / "test_checks.py").write_text("def test_it():\n    assert False\n")
    config = Config((Target("checks.py", ("test_checks.py",)),), {})
    with pytest.raises(FeelforwardError, match="repair them first"):
        list(run(config, workers=1))
