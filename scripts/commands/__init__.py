"""One module per command; heavy imports happen inside `run`, so that `--help` is quick."""

from typing import Annotated

import tyro

from scripts.commands.collect import Collect
from scripts.commands.dataset import Dataset
from scripts.commands.demo import Demo
from scripts.commands.doctor import Doctor
from scripts.commands.evaluate import Evaluate
from scripts.commands.run import Run
from scripts.commands.train import Train

Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Collect, tyro.conf.subcommand("collect")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Dataset, tyro.conf.subcommand("dataset")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)
