"""`feelforward bench learn`: what must hold of the generative core and of policies, measured."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import tyro

from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from scripts.bench.learn.row import Figures, Result, Row

WithoutData = Literal["samplers", "order", "diffusers", "conversions", "modes", "memory"]
RowName = Literal[
    WithoutData,
    "push_t",
    "images",
    "images_light",
    "denoisers",
    "plans",
    "evaluations",
    "symmetric",
]
NEED_NO_DATA: tuple[WithoutData, ...] = get_args(WithoutData)


@dataclass(frozen=True, slots=True)
class BenchLearn:
    """Measure what must hold of paths, samplers and trained policies, row by row.

    Rows:
      samplers     every sampler arrives at targets with closed forms
      order        orders of convergence, against the theory
      diffusers    DDPM, DDIM and DPM-Solver++ against the schedulers of diffusers
      conversions  velocity, score, noise, data and v turned into each other and back
      modes        left or right round an obstacle: flow, DDPM, mixture, MSE
      memory       data larger than the memory train within a limit
      push_t       human Push-T: reward and success with intervals (full: 5 trainings)
      images       the same from the camera, full for a GPU (5 trainings)
      images_light the same, full for 2 cores (5 trainings, 22 min of a core each)
      denoisers    U-Net, DiT and MLP, flow and DDPM, at equal data and compute (full: 18 trainings)
      plans        what flow and DDPM plan, against what two trainings of one do (full: 10)
      evaluations  success against network evaluations, warm and cold, and against σ_t (full: 18)
      symmetric    left or right round Push-T's block: flow, DDPM, mixture, MSE (full: 12)
    The five without images share trainings: 40 in all, a quarter of an hour of a core each.

    Without ROW, those that need no data. Writes OUT/ROW.jsonl (the same command goes on where it
    was cut), OUT/ROW.png and trainings in OUT/runs; prints a table and a verdict per row; exits
    with 1 when a claim was missed.

    Examples:
      feelforward bench learn
      feelforward bench learn push_t --data datasets/push_t datasets/push_t_mirrored
      feelforward bench learn denoisers --data datasets/push_t datasets/push_t_mirrored \
          --size full --workers 2 --out out/night
      feelforward bench learn --pictures docs
    """

    rows: tyro.conf.Positional[tuple[RowName, ...]] = ()
    """Rows to measure."""
    size: Literal["small", "full"] = "small"
    """Minutes, or a night."""
    data: tuple[Path, ...] = ()
    """Push-T's human demonstrations, and mirrored (see feelforward dataset mirror-push-t); others
    need another --out."""
    out: Path = Path("out/bench_learn")
    """Folder of the results."""
    seeds: int | None = None
    """Trainings of each kind on Push-T, instead of the size's; more later keep what was trained."""
    workers: int = 1
    """Processes, each of which trains and plays."""
    json: Path | None = None
    """File for one JSON object with all figures."""
    pictures: Path | None = None
    """Draw the pictures of docs/theory.md into this folder, and measure nothing."""

    def run(self) -> None:
        if self.pictures is not None:
            from scripts.bench.learn.pictures import draw

            draw(self.pictures)
            return
        names = self.rows or NEED_NO_DATA
        self._check(names)
        from robot_io.machine import machine

        results = {name: self._result(name) for name in names}
        for name, result in results.items():
            for claim in result.claims:
                print(f"{name}: {claim.what}: {claim.value}: {claim.verdict}")
        print(machine())
        if self.json is not None:
            self._save(results)
        claims = [claim for result in results.values() for claim in result.claims]
        if any(claim.verdict == "MISSED" for claim in claims):
            sys.exit(1)

    def _check(self, names: Sequence[RowName]) -> None:
        from robot_io.files import check_writable

        check_writable(self.json)
        if self.seeds is not None and self.seeds < 1:
            raise FeelforwardError(f"--seeds {self.seeds}: at least 1.")
        needy = [name for name in names if name not in NEED_NO_DATA]
        if needy and not self.data:
            raise FeelforwardError(
                f"No --data for {', '.join(needy)}: give Push-T's human "
                "demonstrations, brought in by feelforward dataset import-zarr."
            )

    def _result(self, name: RowName) -> "Result":
        """Measures a row, prints its table, draws its plot."""
        from rich.console import Console

        from scripts.bench.learn.cell_log import CellLog
        from scripts.bench.learn.row import Result
        from scripts.tasks.progress import episode_progress

        row, measured = self._row(name), []
        cells = row.cells(self.size)
        log = CellLog(self.out / f"{name}.jsonl")
        if name not in NEED_NO_DATA:
            print(f"Trainings: tensorboard --logdir {self.out / 'runs'}")
        with episode_progress() as progress:
            bar = progress.add_task(name, total=len(cells), note="")
            measuring = log.measure(cells, partial(_make_measure, self, name), workers=self.workers)
            for each in measuring:
                measured.append(each)
                progress.update(bar, advance=1)
        Console().print(row.table(measured))
        row.plot(self.out / f"{name}.png", measured)
        print(f"Plot: {self.out / f'{name}.png'}")
        return Result(measured, row.claims(measured))

    def _row(self, name: RowName) -> "Row":
        from scripts.bench.learn import (
            against_diffusers,
            conversions,
            memory,
            modes,
            order,
            samplers,
        )

        closed = {
            "samplers": samplers.Samplers,
            "order": order.Order,
            "diffusers": against_diffusers.AgainstDiffusers,
            "conversions": conversions.Conversions,
            "modes": modes.Modes,
            "memory": memory.Memory,
        }
        if name in closed:
            return closed[name]()
        from scripts.bench.learn import push_t_rows
        from scripts.bench.learn.push_t import PushTBench

        bench = PushTBench(self.data, self.out / "runs", quiet=self.workers > 1, seeds=self.seeds)
        return push_t_rows.ROWS[name](bench)

    def _save(self, results: "Mapping[str, Result]") -> None:
        from robot_io.files import replacing
        from robot_io.machine import machine

        rows = {name: result.as_dict() for name, result in results.items()}
        assert self.json is not None
        with replacing(self.json) as path:
            content = {"size": self.size, "rows": rows, "machine": machine()}
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _make_measure(bench: BenchLearn, name: RowName) -> "Callable[[Any], Figures]":
    """In a worker process."""
    return bench._row(name).measure
