"""The processes that train one policy together, each on its share of every batch.

A launcher starts them, on one machine or several (`feelforward train --processes`, `accelerate
launch`, `torchrun`), and tells each by environment variables which one it is. Their gradients are
averaged on the way back through the network, so all hold the same weights after every step.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from policy.config import TrainConfig
from policy.data.share import WHOLE, Share
from robot_io.errors import FeelforwardError

if TYPE_CHECKING:
    from accelerate import Accelerator

# How long a process waits for another: while the first one decodes data or plays episodes. One
# that died is noticed by the launcher, at once.
LONGEST_WAIT = timedelta(hours=6)


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


class Processes:
    """This process among those that train together, or alone. Use as a context."""

    def __init__(self, config: TrainConfig) -> None:
        """Waits for the others. Raises FeelforwardError when there is no GPU for this process."""
        _check_device(config)
        self._accelerator = _join(config) if launched() else None
        if self._accelerator is not None:
            self.device = self._accelerator.device
        elif config.device == "auto":
            self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        else:
            self.device = torch.device(config.device)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: object) -> None:
        if self._accelerator is not None:
            self._accelerator.end_training()

    @property
    def share(self) -> Share:
        """Of every batch."""
        if self._accelerator is None:
            return WHOLE
        return Share(self._accelerator.process_index, self._accelerator.num_processes)

    @property
    def is_first(self) -> bool:
        """The first one validates, saves and talks."""
        return self.share.index == 0

    def joined(self, loss: nn.Module) -> nn.Module:
        """`loss` with gradients that are means over all processes, weights those of the first."""
        return loss if self._accelerator is None else self._accelerator.prepare_model(loss)

    def apart(self, loss: nn.Module) -> AbstractContextManager:
        """Within it gradients of a joined module add up here and are not exchanged yet."""
        return nullcontext() if self._accelerator is None else self._accelerator.no_sync(loss)

    def mean(self, value: Tensor) -> float:
        """Over all processes."""
        if self._accelerator is not None:
            value = self._accelerator.reduce(value, "mean")  # type: ignore[assignment]
        return value.item()

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The others enter when the first one is through, and find on disk what it made."""
        if not self.is_first:
            self.wait_for_all()
        yield
        if self.is_first:
            self.wait_for_all()

    def wait_for_all(self) -> None:
        """Raises FeelforwardError when one of them has ended."""
        if self._accelerator is None:
            return
        try:
            self._accelerator.wait_for_everyone()
        except RuntimeError as error:  # torch has no type of its own for a lost peer
            raise FeelforwardError(
                "Another of the processes that train together has ended; why stands above."
            ) from error


def _join(config: TrainConfig) -> "Accelerator":
    from accelerate import Accelerator  # half a second that a process alone need not spend
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(
        cpu=config.device == "cpu" or not torch.cuda.is_available(),
        mixed_precision="no",  # the recipe says, see `Objective`
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=LONGEST_WAIT),
        ],
    )


def _check_device(config: TrainConfig) -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.device == "cuda" and not gpus:
        raise FeelforwardError('train.device = "cuda", but torch sees no GPU: set "cpu" or "auto".')
    wanted = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if config.device != "cpu" and 0 < gpus < wanted:
        raise FeelforwardError(
            f"{wanted} processes on a machine with {gpus} GPU(s), allowed: one per GPU. Start "
            'fewer, or set train.device = "cpu".'
        )
