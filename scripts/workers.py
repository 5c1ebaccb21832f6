"""Episodes on several processes: the results come in the order of the seeds, whoever is fastest."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import TypeVar

from robot_io.errors import FeelforwardError

PATIENCE_S = 10  # of a worker that was asked to end, longer than any result takes on its way

Result = TypeVar("Result")
Player = Callable[[int], Result]  # plays the episode of one seed

_make_player: Callable[[], Player] | None = None  # in a worker process, as all of these
_player: Player | None = None
_playing = False
_leaving = False


def play_seeds(
    make_player: Callable[[], Player[Result]], seeds: Iterable[int], *, workers: int
) -> Iterator[Result]:
    """Plays each seed; yields the results in the order of `seeds`, which may be endless.

    `make_player` must be picklable by the standard process pool: a partial of a module's function.
    """
    if workers < 1:
        raise FeelforwardError(f"--workers {workers}, allowed: 1 or more.")
    if workers == 1:
        yield from map(make_player(), seeds)
        return
    yield from _play_in_processes(make_player, iter(seeds), workers)


def _play_in_processes(
    make_player: Callable[[], Player[Result]], seeds: Iterator[int], workers: int
) -> Iterator[Result]:
    spawn = multiprocessing.get_context("spawn")  # fork would copy threads and GL contexts
    pool = ProcessPoolExecutor(workers, spawn, _start_worker, (make_player,))
    pending: deque[Future[Result]] = deque()
    try:
        while True:
            while len(pending) < 2 * workers and (seed := next(seeds, None)) is not None:
                pending.append(pool.submit(_play, seed))
            if not pending:
                return
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        message = "A worker process died (out of memory?). Try fewer --workers."
        raise FeelforwardError(message) from error
    finally:  # the caller may stop early, or Ctrl-C may: nobody wants what is still being played
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(cancel_futures=True)  # waits for its thread, which would complain at our end


def _start_worker(make_player: Callable[[], Player]) -> None:
    global _make_player
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    signal.signal(signal.SIGTERM, _leave)
    _make_player = make_player


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends an episode, but no result on its way: the parent would wait for the other half for ever.

    The pool asks a second time when it reads no more. Signals that come at once are one, though: so
    a worker that nobody asks again ends by itself.
    """
    global _leaving
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _leaving = True
    if _playing:
        os._exit(0)
    signal.alarm(PATIENCE_S)


def _play(seed: int):  # whatever the player gives
    global _player, _playing
    _playing = True
    try:
        if _leaving:
            os._exit(0)
        if _player is None:  # here and not at the start, so that its error reaches the parent
            assert _make_player is not None
            _player = _make_player()
        return _player(seed)
    finally:
        _playing = False
