"""Row `memory`: trainings on ever more images, each in a process with a limit on its memory.

The limit holds for what is the process's own (heap and private pages), interpreter and torch
included. Images are read through memory maps, so decoded they may take more than that.
"""

import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from policy.data import LeRobotWriter
from robot_io.errors import FeelforwardError
from scripts.bench.learn.row import Claim, Figures, Measured, Size, judge, save_plot

LIMIT_MIB = 640  # of which torch takes half before it has seen any data
BYTES_PER_MIB = 1 << 20
HEIGHT, WIDTH = 240, 320
ROWS = 450  # of an episode: 99 MiB of images
EPISODES: dict[Size, tuple[int, ...]] = {"small": (1, 8), "full": (1, 2, 4, 8, 16, 32)}
RECIPE = """
[policy]
action = "vector"
vectors = [{ name = "agent" }]
images = [{ name = "scene", width = 8 }]
network = { kind = "mlp", widths = [64], embedding = 32 }
[train]
batch_size = 8
warmup_steps = 1
device = "cpu"
"""


@dataclass(frozen=True, slots=True)
class MemoryCell:
    episodes: int
    limit_mib: int = LIMIT_MIB
    steps: int = 3


class Memory:
    """Peak memory of a training against the size of its data."""

    def cells(self, size: Size) -> list[MemoryCell]:
        return [MemoryCell(episodes) for episodes in EPISODES[size]]

    def measure(self, cell: MemoryCell) -> Figures:
        with TemporaryDirectory() as folder:
            return _train(cell, Path(folder))

    def table(self, measured: Measured[MemoryCell]) -> Table:
        table = Table("images, decoded", "the training's own memory, at most")
        table.title = f"limit of a training's own memory: {LIMIT_MIB} MiB"
        for _, figures in measured:
            table.add_row(f"{figures['decoded_mib']:.0f} MiB", f"{figures['own_mib']:.0f} MiB")
        return table

    def claims(self, measured: Measured[MemoryCell]) -> list[Claim]:
        _, most = max(measured, key=lambda each: each[1]["decoded_mib"])
        larger = most["decoded_mib"] > LIMIT_MIB
        return [
            Claim(
                f"data larger than a limit of {LIMIT_MIB} MiB train within it",
                f"{most['decoded_mib']:.0f} MiB of images in {most['own_mib']:.0f} MiB",
                judge(larger and most["own_mib"] < LIMIT_MIB),
            )
        ]

    def plot(self, path: Path, measured: Measured[MemoryCell]) -> None:
        decoded = [figures["decoded_mib"] for _, figures in measured]
        figure = Figure(figsize=(5, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(decoded, [figures["own_mib"] for _, figures in measured], "o-", label="training")
        axes.axhline(LIMIT_MIB, color="0.4", linestyle="--", label="limit")
        axes.plot(decoded, decoded, color="0.7", label="as much as the images")
        axes.set(xlabel="images, decoded (MiB)", ylabel="own memory (MiB)", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
        save_plot(figure, path)


def _train(cell: MemoryCell, folder: Path) -> Figures:
    """Like a user: `feelforward train` on a data set in a folder."""
    recipe, data = folder / "recipe.toml", folder / "data"
    recipe.write_text(RECIPE, encoding="utf-8")
    _write_demonstrations(data, episodes=cell.episodes)
    command = ["train", "--config", recipe, "--data", data, "--out", folder / "run"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", *map(str, command), "--steps", str(cell.steps)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=partial(_limit_own_memory, cell.limit_mib * BYTES_PER_MIB),
        capture_output=True,
        text=True,
    )
    told = re.search(r"Peak memory: ([\d.]+) GiB of its own", done.stdout)
    if done.returncode or told is None:
        raise FeelforwardError(f"The training failed: {(done.stderr or done.stdout).strip()}")
    images = next((data / ".cache").rglob("scene.npy"))
    return {
        "decoded_mib": images.stat().st_size / BYTES_PER_MIB,
        "own_mib": 1024 * float(told[1]),
    }


def _limit_own_memory(limit: int) -> None:  # in the child, before it becomes the training
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _write_demonstrations(folder: Path, *, episodes: int) -> None:
    """A point that drifts before a camera; each episode has its own shade of grey."""
    writer = LeRobotWriter(folder, fps=10, robot_type="none")
    rng = np.random.default_rng(0)
    for index in range(episodes):
        agent = np.cumsum(rng.normal(0, 3, (ROWS, 2)), 0).astype(np.float32)
        shade = np.uint8(37 * index % 256)
        writer.save_episode(
            vectors={"agent": agent, "action": agent + np.float32(1)},
            images={"scene": np.broadcast_to(shade, (ROWS, HEIGHT, WIDTH, 3))},
            stamps={"row": 100_000_000 * np.arange(ROWS)},
            task="Drift.",
        )
