"""One run of some tests in another copy of the tree, in a process that has the libraries already.

Importing NumPy, pydantic, hypothesis and pytest takes longer than most mutants live.
"""

import importlib
import os
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

LIBRARIES = ("numpy", "pydantic", "hypothesis", "hypothesis.extra.numpy", "pytest", "ruckig")
OURS = ("robot_io", "scripts", "sim", "policy")
QUIET = ("-x", "-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist")
SAME_EXAMPLES = "--hypothesis-seed=0"  # of every mutant, or a test is luck


def context() -> ForkServerContext:
    """Processes that begin as a copy of one with `LIBRARIES`."""
    forks = get_context("forkserver")
    forks.set_forkserver_preload(list(LIBRARIES))
    return forks


def run_tests(tree: str, tests: tuple[str, ...]) -> None:
    """Ends the process with pytest's exit code. All of our code comes from `tree`."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.chdir(tree)
    sys.dont_write_bytecode = True
    sys.path[:] = [tree, *(path for path in sys.path if Path(path or ".").resolve() != _here())]
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    importlib.invalidate_caches()
    import pytest

    os._exit(pytest.main([*QUIET, SAME_EXAMPLES, *tests]))


def _here() -> Path:
    return Path(__file__).resolve().parents[1]
