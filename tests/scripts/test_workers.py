import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial

import pytest

from robot_io.errors import FeelforwardError
from scripts import workers as worker_module
from scripts.workers import play_seeds


def make_square(offset: int) -> Callable[[int], int]:
    def play(seed: int) -> int:
        if seed == 13:
            raise FeelforwardError("seed = 13, allowed: anything else.")
        return seed * seed + offset

    return play


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_seeds(workers: int) -> None:
    player = partial(make_square, 1)
    assert list(play_seeds(player, range(6), workers=workers)) == [1, 2, 5, 10, 17, 26]


def test_endless_seeds_are_played_until_nobody_asks() -> None:
    results = play_seeds(partial(make_square, 0), itertools.count(2), workers=2)
    assert list(itertools.islice(results, 3)) == [4, 9, 16]
    results.close()  # pyright: ignore[reportAttributeAccessIssue]  # a generator


def test_the_error_of_a_worker_reaches_the_caller_as_it_is() -> None:
    with pytest.raises(FeelforwardError, match="seed = 13"):
        list(play_seeds(partial(make_square, 0), range(12, 16), workers=2))


def test_no_workers_are_refused() -> None:
    with pytest.raises(FeelforwardError, match="--workers 0"):
        list(play_seeds(partial(make_square, 0), range(3), workers=0))


def make_bulk() -> Callable[[int], bytes]:
    worker_module.PATIENCE_S = 3  # where two signals were one
    return lambda seed: bytes(20_000_000)


@pytest.mark.parametrize("repetition", range(4))
def test_nobody_waits_for_the_other_half_of_a_result(repetition: int) -> None:
    results = play_seeds(make_bulk, itertools.count(), workers=2)
    assert len(next(results)) == 20_000_000
    results.close()  # pyright: ignore[reportAttributeAccessIssue]  # a generator


def be_asked_to_end_once() -> None:
    worker_module.PATIENCE_S = 1
    worker_module._start_worker(make_bulk)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


def test_a_worker_that_is_not_asked_again_ends_by_itself() -> None:
    worker = multiprocessing.get_context("spawn").Process(target=be_asked_to_end_once)
    worker.start()
    worker.join(20)
    assert worker.exitcode == -signal.SIGALRM
