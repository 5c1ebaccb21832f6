"""`feelforward bench sim`: how much faster than real time the lockstep simulation runs."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SIM_BUDGET = 5.0  # times real time that the lockstep simulation must reach on one core


@dataclass(frozen=True, slots=True)
class BenchSim:
    """Time the lockstep simulation of TightenCap on one core, without a policy.

    The scripted expert plays while two cameras (96x96) and two tactile sensors (32x32) expose at
    10 Hz. Prints how many times faster than real time the episodes ran; exits with 1 when the
    median is below the budget of 5.

    Examples:
      feelforward bench sim
      feelforward bench sim --episodes 20 --json out/bench_sim.json
    """

    episodes: int = 5
    """Episodes to time, after one that warms up."""
    seed: int = 0
    """Seed of the first episode."""
    json: Path | None = None
    """File for one JSON object with the figures."""

    def run(self) -> None:
        from robot_io.files import check_writable, replacing
        from robot_io.machine import machine
        from scripts.graphics import need_rendering

        check_writable(self.json)
        need_rendering()
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        ratios = _times_real_time(range(self.seed, self.seed + self.episodes))
        figures = {
            "times_real_time": {"median": median(ratios), "min": min(ratios), "max": max(ratios)},
            "budget": SIM_BUDGET,
            "episodes": len(ratios),
            "machine": machine(),
        }
        passed = median(ratios) >= SIM_BUDGET
        print(
            f"lockstep simulation on one core: {median(ratios):.1f} x real time (median of "
            f"{len(ratios)} episodes, {min(ratios):.1f} to {max(ratios):.1f}); budget "
            f"{SIM_BUDGET:.0f}: {'kept' if passed else 'MISSED'}\n{figures['machine']}"
        )
        if self.json is not None:
            with replacing(self.json) as path:
                path.write_text(json.dumps(figures, indent=2) + "\n")
        if not passed:
            sys.exit(1)


def _times_real_time(seeds: range) -> list[float]:
    """Simulated seconds per second of each episode."""
    from robot_io.clock import NS_PER_S, MonotonicClock
    from scripts.robot import load_robot
    from scripts.tasks.cap import CapStage

    stage, clock = CapStage(load_robot()), MonotonicClock()
    stage.show(seeds.start)
    ratios = []
    for seed in seeds:
        begun_ns = clock.now_ns()
        result, _ = stage.show(seed)
        ratios.append(result.steps * 0.1 / ((clock.now_ns() - begun_ns) / NS_PER_S))
    return ratios
