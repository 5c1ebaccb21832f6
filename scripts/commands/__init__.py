"""One module per command. Heavy imports happen inside `run`, so that `--help` is quick."""

from typing import Protocol

from scripts.commands.bench import BenchSim
from scripts.commands.collect import Collect
from scripts.commands.dataset import ImportZarr, Info
from scripts.commands.demo import Demo
from scripts.commands.doctor import Doctor
from scripts.commands.evaluate import Evaluate
from scripts.commands.export import Export
from scripts.commands.run import Run
from scripts.commands.train import Train


class Command(Protocol):
    """A frozen dataclass of options; its docstring is the help text."""

    def run(self) -> None: ...


COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "collect": Collect,
    "train": Train,
    "evaluate": Evaluate,
    "run": Run,
    "export": Export,
    "dataset info": Info,
    "dataset import-zarr": ImportZarr,
    "doctor": Doctor,
    "bench sim": BenchSim,
}
