"""`feelforward bench stopping`: how far does the arm still go, whatever makes it stop?"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BenchStopping:
    """Measure distance and time from an event until the simulated FR3 stands.

    The arm moves straight at 5 to 50 cm/s, or turns at 0.25 to 2 rad/s, under the real control loop
    and gate, when its plan ends, somebody presses stop, the plan becomes NaN or freezes, the
    measurement freezes, or the control process dies. Prints a table in Markdown; exits with 1 when
    the arm does not come to rest.

    Examples:
      feelforward bench stopping
      feelforward bench stopping --json out/stopping.json
    """

    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.gate import stopping
        from scripts.tasks.progress import episode_progress

        check_writable(self.json)
        stops = []
        with episode_progress() as progress:
            bar = progress.add_task("stops", total=stopping.COUNT, note="")
            for stop in stopping.measure():
                stops.append(stop)
                progress.update(bar, advance=1, note=stop.cause)
        print(stopping.table(stops))
        if self.json is not None:
            figures = {"stops": [asdict(stop) for stop in stops], "machine": machine()}
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        if not all(stop.stood for stop in stops):
            sys.exit(1)
