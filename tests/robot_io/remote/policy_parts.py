"""A policy server in a thread, what a robot would ask it, and a line that misbehaves."""

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zmq

from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.interfaces import ChunkSource
from robot_io.remote.keys import Keys, load_keys, make_keys
from robot_io.types import MonoNs, Observation
from scripts.live.serving import Offer, PolicyServer

OFFER = Offer(100_000_000, 16, {"measured": 2}, {"wrist": 1})
CLOCK = MonotonicClock()


def observation(observed_ns: int = 1) -> Observation:
    rng = np.random.default_rng(0)
    image_THWC = rng.integers(0, 256, (1, 24, 32, 3), np.uint8)
    return Observation(MonoNs(observed_ns), {"measured": np.ones((2, 8))}, {"wrist": image_THWC})


class EchoPlanner:
    """Plans rows of [seed, how many plans before this one, newest stamp, ...]."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.resets: list[int] = []
        self.fault: str | None = None
        self.inference_s = 0.0

    def reset(self, seed: int) -> None:
        self.resets.append(seed)
        self.observations.clear()

    def plan(self, observation: Observation) -> np.ndarray:
        CLOCK.sleep_until(CLOCK.now_ns() + round(self.inference_s * NS_PER_S))
        if self.fault is not None:
            raise ValueError(self.fault)
        row_HD = np.zeros((16, 8))
        row_HD[:, :3] = self.resets[-1], len(self.observations), observation.observed_ns
        self.observations.append(observation)
        return row_HD


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def serving(
    endpoint: str,
    planner: ChunkSource,
    *,
    keys: Keys | None = None,
    offer: Offer = OFFER,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Iterator[PolicyServer]:
    """A server at work in a thread of its own."""
    server = PolicyServer(planner, offer, endpoint, keys=keys, tell=tell)
    ending, ready = threading.Event(), threading.Event()

    def work() -> None:
        with server:
            ready.set()
            while not ending.is_set():
                server.serve(wait_s=0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(5)
        yield server
    finally:
        ending.set()
        thread.join()


def key_folders(root: Path, *names: str) -> list[Path]:
    """A folder per machine, in which each trusts all others."""
    folders = [root / name for name in names]
    publics = [make_keys(folder, folder.name)[0] for folder in folders]
    for folder in folders:
        for public in publics:
            (folder / public.name).write_bytes(public.read_bytes())
    return folders


def pair_of(root: Path) -> tuple[Keys, Path]:
    """The server's keys, and the folder of a robot; the two trust each other."""
    server, robot = key_folders(root, "server", "robot")
    return load_keys(server), robot


def eventually(holds: Callable[[], bool], *, limit_s: float = 5.0) -> bool:
    end_ns = CLOCK.now_ns() + round(limit_s * NS_PER_S)
    while not (held := holds()) and CLOCK.now_ns() < end_ns:
        CLOCK.sleep_until(CLOCK.now_ns() + NS_PER_S // 100)
    return held


@dataclass
class Weather:
    """What happens to messages on their way."""

    loss: float = 0.0  # share
    delay_s: float = 0.0
    spread_s: float = 0.0  # further delay, drawn: messages overtake each other
    twice: float = 0.0  # share
    cut: bool = False


@contextmanager
def bad_line(server: str, weather: Weather) -> Iterator[str]:
    """An endpoint that forwards whole messages to `server` and back, as the weather is."""
    endpoint, ending = free_endpoint(), threading.Event()
    thread = threading.Thread(target=_forward, args=(endpoint, server, weather, ending))
    thread.start()
    try:
        yield endpoint
    finally:
        ending.set()
        thread.join()


def _forward(endpoint: str, server: str, weather: Weather, ending: threading.Event) -> None:
    rng = random.Random(0)
    under_way: list[tuple[int, zmq.Socket, list[bytes]]] = []
    dealers: dict[bytes, zmq.Socket] = {}
    with zmq.Context() as context:
        front = context.socket(zmq.ROUTER)
        front.bind(endpoint)
        while not ending.is_set():
            zmq.select([front, *dealers.values()], [], [], 0.002)
            arrived = []
            while front.poll(0):
                address, *parts = front.recv_multipart()
                if address not in dealers:
                    dealers[address] = context.socket(zmq.DEALER)
                    dealers[address].connect(server)
                arrived.append((dealers[address], parts))
            for address, dealer in dealers.items():
                while dealer.poll(0):
                    arrived.append((front, [address, *dealer.recv_multipart()]))
            for target, parts in arrived:
                for _ in range(2 if rng.random() < weather.twice else 1):
                    late_s = weather.delay_s + rng.random() * weather.spread_s
                    if not weather.cut and rng.random() >= weather.loss:
                        due_ns = CLOCK.now_ns() + round(late_s * NS_PER_S)
                        under_way.append((due_ns, target, parts))
            under_way.sort(key=lambda each: each[0])
            while under_way and under_way[0][0] <= CLOCK.now_ns():
                _, target, parts = under_way.pop(0)
                target.send_multipart(parts)
        context.destroy(linger=0)
