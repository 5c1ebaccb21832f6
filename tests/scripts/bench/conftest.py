"""A bench as its user calls it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.cli import main

Bench = Callable[..., tuple[int, dict]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """`feelforward bench NAME --json FILE ...`: exit code and figures."""

    def run(name: str, *arguments: str) -> tuple[int, dict]:
        path, code = tmp_path / f"{name}.json", 0
        try:
            main(["bench", name, "--json", str(path), *arguments])
        except SystemExit as ended:
            code = int(str(ended.code))
        return code, json.loads(path.read_text())

    return run
