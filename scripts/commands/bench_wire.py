"""`feelforward bench wire`: what a policy on another machine costs, apart from the network."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from robot_io.errors import FeelforwardError


@dataclass(frozen=True, slots=True)
class BenchWire:
    """Time the way to a policy server on this machine and back, with CURVE and without.

    An observation like TightenCap's (two cameras of 96x96, two tactile sensors of 32x32, two frames
    of each, 8 steps of measured and commanded rows, sensor noise of 2 counts) goes to a server in
    another process, which answers at once with 16 rows. Prints round trips and their parts; exits
    with 1 when the p99 with CURVE is above 5 ms.

    Examples:
      feelforward bench wire
      feelforward bench wire --seconds 60 --json out/bench_wire.json
    """

    seconds: float = 10.0
    """Time to measure in all; starting the servers comes on top."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        from rich.console import Console

        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.percentiles import percentile_table
        from scripts.bench.wire import BUDGET_MS, CURVE, measure
        from scripts.tasks.report import LoadWatch

        if not 1 <= self.seconds <= 86_400:
            raise FeelforwardError(f"--seconds {self.seconds:g}, allowed 1 to 86400.")
        check_writable(self.json)
        load = LoadWatch()
        spreads, count, sizes = measure(self.seconds)
        Console().print(percentile_table(f"A plan over loopback (ms, n = {count})", spreads))
        facts = {**machine(), **load.facts()}
        p99_ms = spreads[f"round trip {CURVE}"].p99
        passed = p99_ms <= BUDGET_MS
        print(
            f"{sizes['raw']} bytes of images, {sizes['message']} bytes of message. p99 with CURVE "
            f"{p99_ms:.2f} ms, budget {BUDGET_MS:.0f} ms: {'kept' if passed else 'MISSED'}\n{facts}"
        )
        if self.json is not None:
            figures = {
                "ms": {name: asdict(spread) for name, spread in spreads.items()},
                "budget_ms": BUDGET_MS,
                "round_trips": count,
                "bytes": sizes,
                "machine": facts,
            }
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n")
        if not passed:
            sys.exit(1)
