"""The same command in several processes of this machine, one per GPU: what `--processes` does."""

import logging
import signal
import sys
from uuid import uuid4

from robot_io.errors import FeelforwardError


def launch(processes: int) -> None:
    """Runs `feelforward` with this process's own arguments, `processes` times, and waits.

    Raises FeelforwardError when one fails; the others are ended then.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.ERROR)  # of torch's launcher: we only wait, and say it ourselves
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "scripts.cli", *sys.argv[1:])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise FeelforwardError(
            f"process {rank} of {processes} ended with exit code {failure.exitcode}, so the others "
            "were ended too; what it said stands above."
        ) from error
    except SignalException as stopped:
        if stopped.sigval == signal.SIGINT:
            raise KeyboardInterrupt from stopped
        sys.exit(128 + stopped.sigval)
