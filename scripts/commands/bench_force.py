"""`feelforward bench force`: with what force does the arm push when it must not go further?"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BenchForce:
    """Push the simulated FR3 against a wall and onto a table, at every stiffness and speed.

    A hostile policy commands ever deeper, an honest one 2 cm behind the surface; both go through
    the command gate. Contact forces are MuJoCo's. Exits with 1 when a steady force is more than
    5 % above the limit. The peak of the blow is printed beside what the arm's effective mass and
    speed make unavoidable. Writes OUT/force.json and OUT/force.png.

    Examples:
      feelforward bench force
      feelforward bench force --stiffness 700 --speeds 0.1 0.5
    """

    stiffness: tuple[float, ...] = (200.0, 700.0, 1500.0, 3000.0)
    """Stiffness of the arm, N/m."""
    speeds: tuple[float, ...] = (0.01, 0.05, 0.10, 0.25, 0.50)
    """Speeds of approach, m/s."""
    out: Path = Path("out/bench_force")
    """Folder of the results."""

    def run(self) -> None:
        from rich.console import Console

        from robot_io.errors import FeelforwardError
        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.bench.gate import force
        from scripts.tasks.progress import episode_progress

        if not all(0 < value <= 20_000 for value in self.stiffness):
            raise FeelforwardError(f"--stiffness {self.stiffness}, allowed (0, 20000] N/m.")
        if not all(0 < value <= 2 for value in self.speeds):
            raise FeelforwardError(f"--speeds {self.speeds}, allowed (0, 2] m/s.")
        check_writable(self.out / "force.json")
        pushes = []
        with episode_progress() as progress:
            bar = progress.add_task(
                "pushes", total=4 * len(self.stiffness) * len(self.speeds), note=""
            )
            for push in force.measure(self.stiffness, self.speeds):
                pushes.append(push)
                progress.update(bar, advance=1, note="")
        Console().print(force.table(pushes))
        figures = {"pushes": [asdict(push) for push in pushes], "machine": machine()}
        with replacing(self.out / "force.json") as path:
            path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        force.plot(self.out / "force.png", pushes)
        broken = [push for push in pushes if not push.kept]
        worst = max(push.steady_n / push.force_max_n for push in pushes)
        print(
            f"steady force: at most {worst:.3f} of the limit, budget "
            f"{force.STEADY_SHARE}: {'MISSED' if broken else 'kept'}\n"
            f"Plot: {self.out / 'force.png'}\nJSON: {self.out / 'force.json'}"
        )
        if broken:
            sys.exit(1)
