"""Mutants of some files, each in a fork of one pytest session that has collected the tests already.

    collect the tests ──▶ fork: run them all, note how long each takes
                     ├──▶ fork: put the first mutant's code into the functions, run until one fails
                     ├──▶ fork: the second's …

Starting Python, importing and collecting take a hundred times longer than most mutants live. In the
fork the functions of the file get the mutant's code objects; who holds a function already, holds
the mutant's. The quickest tests come first, and hypothesis does not look for smaller examples.
"""

import gc
import json
import os
import resource
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from hypothesis import Phase, settings

LIMIT_S = 60  # on the core, per mutant: one that loops for ever is noticed as well
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
OPTIONS = (
    "-q", "--no-header", "--no-summary", "-o", "timeout=0",
    "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:rerunfailures",
    "-k", "not takes_a_small_part",  # of a tick: a busy machine would kill mutants
    "--hypothesis-seed=0",  # the same examples for every mutant, or a test is luck
)  # fmt: skip


def try_mutants(
    root: str, tests: Sequence[str], mutants: Sequence[tuple[str, str]], teller: Connection
) -> None:
    """Tells the fate of each mutant: (file, its changed source), relative to `root`.

    Tells None instead, once, where the tests fail without a mutant.
    """
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.chdir(root)
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("mutants")
    paths = [(Path(root) / file, source) for file, source in mutants]
    session = _Trials(paths, teller)
    pytest.main([*OPTIONS, f"--rootdir={root}", *tests], plugins=[session])
    if not session.begun:
        teller.send(None)


class _Trials:
    """A plugin of pytest that runs the collected tests in its own way."""

    def __init__(self, mutants: Sequence[tuple[Path, str]], teller: Connection) -> None:
        self._mutants, self._teller = mutants, teller
        self._took_s: dict[str, float] = {}
        self.begun = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._took_s[report.nodeid] = self._took_s.get(report.nodeid, 0.0) + report.duration

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True  # could not be imported
        self.begun = True
        items, took_s = session.items, self._measured(session)
        if took_s is None:
            self._teller.send(None)
            return True
        items.sort(key=lambda item: took_s[item.nodeid])
        for path, source in self._mutants:
            fate = _forked(lambda path=path, source=source: _passes(session, path, source))
            self._teller.send(fate)
        return True

    def _measured(self, session: pytest.Session) -> dict[str, float] | None:
        """Seconds of each test; None where one fails."""
        reader, writer = os.pipe()

        def measure() -> bool:
            passed = _run(session)
            with os.fdopen(writer, "w") as file:
                json.dump(self._took_s, file)
            return passed

        fate = _forked(measure, limit_s=10 * LIMIT_S)
        os.close(writer)
        with os.fdopen(reader) as file:
            return json.load(file) if fate == SURVIVED else None


def _passes(session: pytest.Session, path: Path, source: str) -> bool:
    put_code(path, source)
    return _run(session)


def _run(session: pytest.Session) -> bool:
    """Runs the tests up to the first that fails."""
    for item, following in zip(session.items, [*session.items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return False
    return True


def _forked(passes: Callable[[], bool], *, limit_s: int = LIMIT_S) -> str:
    """What a fork of this process comes to."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        outcome = 2  # a trial that breaks by itself proves nothing
        try:
            outcome = 0 if passes() else 1
        finally:
            os._exit(outcome)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return TIMED_OUT
    outcome = os.WEXITSTATUS(status)
    assert outcome < 2, "the trial itself broke"
    return KILLED if outcome else SURVIVED


def put_code(path: Path, source: str) -> None:
    """Gives the functions that came from a file the code that they have in another source of it.

    Both must have the same functions in the same order; new ones of the module become known to all.
    """
    kept = _by_name(_inside(compile(path.read_text(encoding="utf-8"), str(path), "exec")))
    changed = _by_name(_inside(compile(source, str(path), "exec")))
    new_code = {
        (name, old.co_firstlineno): new
        for name, olds in kept.items()
        if len(olds) == len(changed.get(name, ()))  # else a generator went with its check
        for old, new in zip(olds, changed[name], strict=True)
    }
    added = [code for name, (code, *_) in changed.items() if name not in kept]
    for function in [each for each in gc.get_objects() if type(each) is FunctionType]:
        code = function.__code__
        if code.co_filename == str(path):
            function.__code__ = new_code.get((code.co_qualname, code.co_firstlineno), code)
            for new in added:
                function.__globals__[new.co_name] = FunctionType(new, function.__globals__)


def _inside(code: CodeType) -> Iterable[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inside(constant)


def _by_name(codes: Iterable[CodeType]) -> dict[str, list[CodeType]]:
    found = defaultdict(list)
    for code in codes:
        found[code.co_qualname].append(code)
    return found
