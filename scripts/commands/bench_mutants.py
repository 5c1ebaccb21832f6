"""`feelforward bench mutants`: does a test notice when the gate is broken?"""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from robot_io.errors import FeelforwardError


@dataclass(frozen=True, slots=True)
class BenchMutants:
    """Break the gate and the buffer in every small way, one at a time, and run their tests.

    Checks are removed, comparisons flipped, limits multiplied by ten, clamps turned round, early
    returns dropped, each in a process of its own. Prints every mutant with its fate; exits with 1
    when one survived that scripts/bench/gate/mutants.toml does not explain as equivalent.

    Examples:
      feelforward bench mutants
      feelforward bench mutants --only buffer --json out/mutants.json
    """

    only: str = ""
    """Break files with this in their path only."""
    workers: int = len(os.sched_getaffinity(0))
    """Mutants that are tried at the same time."""
    json: Path | None = None
    """File for one JSON object with every mutant."""
    log_folder: Path = Path("out/bench_mutants")
    """What was tried already, so that a run that was cut goes on; void when any source changes."""

    def run(self) -> None:
        if self.workers < 1:
            raise FeelforwardError(f"--workers {self.workers}, allowed: 1 or more.")
        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.gate.mutant_log import MutantLog
        from scripts.bench.gate.mutants import Config, run

        check_writable(self.json)
        check_writable(self.log_folder / "probe")
        log, outcomes = MutantLog(self.log_folder), []
        known = log.known()
        tried = run(Config.read(), workers=self.workers, only=self.only, known=known)
        for outcome in log.kept(tried, known):
            print(f"{outcome.fate:10} {outcome.mutant}", flush=True)
            outcomes.append(outcome)
        if not outcomes:
            raise FeelforwardError(f"--only {self.only} fits no file of the config.")
        fates = Counter(outcome.fate for outcome in outcomes)
        survivors = [outcome.mutant for outcome in outcomes if outcome.fate == "survived"]
        print(f"\n{len(outcomes)} mutants: {dict(fates)}")
        print("\n".join(f"survived   {mutant}" for mutant in survivors))
        if self.json is not None:
            told = [{"fate": each.fate, **asdict(each.mutant)} for each in outcomes]
            for each in told:
                del each["source"]
            content = {"fates": dict(fates), "mutants": told, "machine": machine()}
            with replacing(self.json) as path:
                path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if survivors:
            sys.exit(1)
