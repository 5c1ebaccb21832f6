"""What `feelforward bench wire` times: plans of a server on this machine, and their parts."""

import multiprocessing
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robot_io.remote.images import pack_images, unpack_images
from robot_io.remote.keys import load_keys, make_keys
from robot_io.remote.policy import RemotePolicy
from robot_io.remote.protocol import NOBODY, REPLIES, REQUESTS, Ask, Plan
from robot_io.session.timing import Percentiles
from robot_io.types import MonoNs, Observation
from scripts.live.serving import Offer, PolicyServer

BUDGET_MS = 5.0  # p99 of a round trip with CURVE
PAUSE_MS = 10  # between round trips, so that both sides go to sleep as they do at work
WARM_UP = 50
MADE_UP = 32  # different observations
CURVE, PLAIN = "with CURVE", "without"


def measure(seconds: float) -> tuple[dict[str, Percentiles], int, dict[str, int]]:
    """Round trips of both kinds in turn, and their parts; how many; sizes in bytes."""
    clock, observations = MonotonicClock(), _made_up_observations()
    took_ns: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    with (
        tempfile.TemporaryDirectory() as root,
        _connection(Path(root), with_keys=True) as curve,
        _connection(Path(root), with_keys=False) as plain,
    ):
        ways = {f"round trip {CURVE}": curve.plan, f"round trip {PLAIN}": plain.plan}
        begun_ns, count = clock.now_ns(), -WARM_UP
        while count < 1 or clock.now_ns() - begun_ns < seconds * NS_PER_S:
            observation = observations[count % MADE_UP]
            for name, plan in ways.items():
                clock.sleep_until(clock.now_ns() + PAUSE_MS * NS_PER_MS)
                _timed(took_ns, name, clock, lambda plan=plan, seen=observation: plan(seen))
            sizes = _time_parts(took_ns, observation, clock)
            count += 1
            if count == 0:
                took_ns.clear()
                begun_ns = clock.now_ns()
    return _spreads(took_ns), count, sizes


def _spreads(took_ns: dict[str, list[int]]) -> dict[str, Percentiles]:
    samples = {name: np.array(values) for name, values in took_ns.items()}
    parts = sum(values for name, values in samples.items() if name.startswith("  "))
    rest = samples[f"round trip {CURVE}"] - parts
    samples["  rest: encryption, sockets, waking up"] = rest
    order = sorted(samples, key=lambda name: name == f"round trip {PLAIN}")
    return {name: Percentiles.of_ns(samples[name]) for name in order}


def _timed(
    took_ns: dict[str, list[int]], name: str, clock: Clock, work: Callable[[], object]
) -> object:
    begun_ns = clock.now_ns()
    result = work()
    took_ns.setdefault(name, []).append(clock.now_ns() - begun_ns)
    return result


def _time_parts(
    took_ns: dict[str, list[int]], observation: Observation, clock: Clock
) -> dict[str, int]:
    """What the two ends of a round trip do with its messages, one after the other."""

    def time(name: str, work: Callable[[], object]) -> object:
        return _timed(took_ns, name, clock, work)

    ask = Ask(NOBODY, 1, 1, 0, observation)
    plan = Plan(NOBODY, 1, 0, 0, _rows())
    images = observation.images.values()
    packed = time("of encode: compress images", lambda: [pack_images(x) for x in images])
    assert isinstance(packed, list)
    data = time("  encode the observation", lambda: REQUESTS.encode(ask))
    assert isinstance(data, bytes)
    time("of decode: unpack images", lambda: [unpack_images(x) for x in packed])
    time("  decode the observation", lambda: REQUESTS.decode(data))
    time("  encode and decode the plan", lambda: REPLIES.decode(REPLIES.encode(plan)))
    return {"raw": sum(x_THWC.nbytes for x_THWC in images), "message": len(data)}


def _made_up_observations() -> list[Observation]:
    """Smooth images under the noise of a sensor, which is what their size depends on."""
    rng = np.random.default_rng(0)

    def images(size_px: int) -> np.ndarray:
        slope_3 = rng.uniform(0.3, 0.7, 3)
        ramp_WH = np.add.outer(np.arange(size_px), np.arange(size_px))[..., None]
        noise = rng.normal(0, 2, (2, size_px, size_px, 3))
        return np.clip(20 + ramp_WH * slope_3 + noise, 0, 255).astype(np.uint8)

    return [
        Observation(
            MonoNs(count),
            {name: rng.normal(size=(8, 8)) for name in ("measured", "commanded")},
            {name: images(96) for name in ("wrist", "scene")}
            | {name: images(32) for name in ("tactile_left", "tactile_right")},
        )
        for count in range(MADE_UP)
    ]


def _rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, 8))


class AtOnce:
    """A policy that plans in no time."""

    def __init__(self) -> None:
        self._row_HD = _rows()

    def reset(self, seed: int) -> None:
        pass

    def plan(self, observation: Observation) -> np.ndarray:
        return self._row_HD


@contextmanager
def _connection(root: Path, *, with_keys: bool) -> Iterator[RemotePolicy]:
    """A server in a process of its own and a robot's end of the line to it."""
    server = robot = None
    if with_keys:
        server, robot = root / "server", root / "robot"
        ours, theirs = make_keys(server, "server")[0], make_keys(robot, "robot")[0]
        (robot / ours.name).write_bytes(ours.read_bytes())
        (server / theirs.name).write_bytes(theirs.read_bytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=serve_at_once, args=(endpoint, server), daemon=True)
    process.start()
    try:
        with RemotePolicy(endpoint, keys=robot) as policy:
            policy.reset(0)
            yield policy
    finally:
        process.terminate()
        process.join()


def serve_at_once(endpoint: str, keys: Path | None) -> None:
    """What the server's process runs until it is ended."""
    loaded = None if keys is None else load_keys(keys)
    with PolicyServer(AtOnce(), Offer(100_000_000, 16, {}, {}), endpoint, keys=loaded) as server:
        server.run()
