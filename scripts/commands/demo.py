"""`feelforward demo`: watch the shipped policy tighten caps by touch."""

from dataclasses import dataclass
from pathlib import Path

from robot_io.errors import FeelforwardError
from scripts.checkpoints import SHIPPED_DEFAULT


@dataclass(frozen=True, slots=True)
class Demo:
    """Run the shipped checkpoint in real time; write a film, a timing plot and the table.

    Every process of a real robot runs: control, cameras, tactile sensors and policy; only the arm
    and the bottle are simulated. In a terminal it has the keys of `feelforward run`.

    Example: feelforward demo --episodes 2
    """

    episodes: int = 5
    """How many caps to tighten."""
    seed: int = 100_000
    """Seed of the first episode; the others follow."""
    checkpoint: str = SHIPPED_DEFAULT
    """A checkpoint or run folder, or the name of a shipped checkpoint."""
    out: Path = Path("out/demo")
    """Folder for the results."""

    def run(self) -> None:
        if self.episodes < 1:
            raise FeelforwardError(f"--episodes {self.episodes}, allowed: 1 or more.")
        from rich.console import Console

        from scripts.bench.plots import plot_timing
        from scripts.evaluation import evaluate
        from scripts.tasks.cap_film import write_film

        report, episodes = evaluate(
            checkpoint=self.checkpoint,
            task="TightenCap",
            seeds=range(self.seed, self.seed + self.episodes),
            mode="realtime",
            film=True,
        )
        Console().print(report.table())
        film, plot, json = (self.out / name for name in ("film.mp4", "timing.png", "report.json"))
        report.save(json)
        plot_timing(plot, [each.outcome for each in episodes if each.outcome is not None])
        write_film(film, episodes)
        print(f"Film:        {film.resolve()}")
        print(f"Timing plot: {plot.resolve()}")
        print(f"Report:      {json.resolve()}")
