"""One module per command. Heavy imports happen inside `run`, so that `--help` is quick."""

from typing import Protocol

from scripts.commands.bench_control import BenchControl
from scripts.commands.bench_delay import BenchDelay
from scripts.commands.bench_denoisers import BenchDenoisers
from scripts.commands.bench_force import BenchForce
from scripts.commands.bench_franka import BenchFranka
from scripts.commands.bench_gate import BenchGate
from scripts.commands.bench_learn import BenchLearn
from scripts.commands.bench_mutants import BenchMutants
from scripts.commands.bench_sim import BenchSim
from scripts.commands.bench_stop import BenchStop
from scripts.commands.bench_stopping import BenchStopping
from scripts.commands.bench_tick import BenchTick
from scripts.commands.bench_ungated import BenchUngated
from scripts.commands.bench_wire import BenchWire
from scripts.commands.collect import Collect
from scripts.commands.dataset import ImportZarr, Info, MirrorPushT
from scripts.commands.demo import Demo
from scripts.commands.doctor import Doctor
from scripts.commands.evaluate import Evaluate
from scripts.commands.export import Export
from scripts.commands.keys import Keys
from scripts.commands.replay import Replay
from scripts.commands.run import Run
from scripts.commands.serve import Serve
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
    "serve": Serve,
    "keys": Keys,
    "replay": Replay,
    "export": Export,
    "dataset info": Info,
    "dataset import-zarr": ImportZarr,
    "dataset mirror-push-t": MirrorPushT,
    "doctor": Doctor,
    "bench sim": BenchSim,
    "bench control": BenchControl,
    "bench delay": BenchDelay,
    "bench wire": BenchWire,
    "bench stop": BenchStop,
    "bench franka": BenchFranka,
    "bench gate": BenchGate,
    "bench learn": BenchLearn,
    "bench denoisers": BenchDenoisers,
    "bench force": BenchForce,
    "bench stopping": BenchStopping,
    "bench tick": BenchTick,
    "bench mutants": BenchMutants,
    "bench ungated": BenchUngated,
}
