"""Fates of mutants that were tried: a run that was cut goes on, if nothing changed since."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.gate.mutants import Outcome
from scripts.checkpoints import REPOSITORY

SOURCES = ("robot_io/**/*.py", "tests/robot_io/**/*.py", "scripts/bench/gate/mutant*.py")

Key = tuple[str, str, str, str, str]


class MutantLog:
    """One line per mutant, in a file named by a hash of all sources and tests."""

    def __init__(self, folder: Path) -> None:
        content = hashlib.sha256()
        for path in sorted(each for glob in SOURCES for each in REPOSITORY.glob(glob)):
            content.update(path.read_bytes())
        self.path = folder / f"{content.hexdigest()[:16]}.jsonl"

    def known(self) -> dict[Key, str]:
        """Fates by the keys of their mutants; half a line of a run that was killed is dropped."""
        if not self.path.exists():
            return {}
        whole, _, _ = self.path.read_text(encoding="utf-8").rpartition("\n")
        self.path.write_text(whole + "\n" if whole else "", encoding="utf-8")
        entries = [json.loads(line) for line in whole.splitlines()]
        return {tuple(each["key"]): each["fate"] for each in entries}

    def kept(self, outcomes: Iterator[Outcome], known: dict[Key, str]) -> Iterator[Outcome]:
        """The outcomes, of which new ones are written down."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for outcome in outcomes:
                if outcome.fate != "equivalent" and outcome.mutant.key not in known:
                    entry = {"key": outcome.mutant.key, "fate": outcome.fate}
                    file.write(json.dumps(entry) + "\n")
                    file.flush()
                yield outcome
