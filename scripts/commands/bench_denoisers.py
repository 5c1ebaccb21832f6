"""`feelforward bench denoisers`: what do the networks of these recipes cost?"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from scripts.bench.denoisers import Cost

BUDGET_MS = 50.0  # of a plan: half of the 100 ms until the next row is due
RECIPES = ("push_t", "push_t_mlp", "push_t_dit", "tighten_cap")


@dataclass(frozen=True, slots=True)
class BenchDenoisers:
    """Count and time the networks of recipes on one core, with weights drawn at random.

    Prints parameters, and milliseconds to encode an observation, to evaluate the denoiser once
    (batch 1), to plan (encode and evaluate as often as the recipe says), and to go forward and
    backward through 64 examples. Exits with 1 when a plan takes more than 50 ms.

    Examples:
      feelforward bench denoisers
      feelforward bench denoisers --recipes configs/tighten_cap.toml --rounds 500
    """

    recipes: tuple[Path, ...] = tuple(Path(f"configs/{name}.toml") for name in RECIPES)
    """Recipes to compare, on streams of Push-T or of TightenCap."""
    rounds: int = 100
    """Observations to encode with each network; ten evaluations follow each."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        from policy.config import Recipe
        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.denoisers import measure
        from scripts.config import load_config

        if not 1 <= self.rounds <= 10_000:
            raise FeelforwardError(f"--rounds {self.rounds}, allowed 1 to 10000.")
        check_writable(self.json)
        recipes = {path.stem: load_config(path, Recipe) for path in self.recipes}
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        costs = measure(recipes, rounds=self.rounds)
        plans_ms = {
            name: cost.plan_ms(recipes[name].policy.sampling.evaluations)
            for name, cost in costs.items()
        }
        _print(costs, plans_ms, {name: each.policy.network.kind for name, each in recipes.items()})
        passed = max(plans_ms.values()) <= BUDGET_MS
        print(f"budget of a plan {BUDGET_MS:.0f} ms: {'kept' if passed else 'MISSED'}\n{machine()}")
        if self.json is not None:
            rows = {name: {**asdict(costs[name]), "plan_ms": ms} for name, ms in plans_ms.items()}
            content = {"rows": rows, "machine": machine()}
            with replacing(self.json) as path:
                path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if not passed:
            sys.exit(1)


def _print(costs: "dict[str, Cost]", plans_ms: dict[str, float], kinds: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="One core, ms at the median", title_justify="left")
    for column in ("recipe", "denoiser"):
        table.add_column(column)
    for column in ("parameters", "encode", "evaluate (p99, max)", "plan", "train 64"):
        table.add_column(column, justify="right")
    for name, cost in costs.items():
        evaluate = cost.evaluate_ms
        table.add_row(
            name,
            kinds[name],
            f"{cost.parameters / 1e6:.2f} M",
            f"{cost.encode_ms.p50:.2f}",
            f"{evaluate.p50:.2f} ({evaluate.p99:.2f}, {evaluate.max:.1f})",
            f"{plans_ms[name]:.1f}",
            f"{cost.train_ms.p50:.0f}",
        )
    Console().print(table)
