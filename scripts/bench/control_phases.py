"""What `feelforward bench control` runs: sessions and the peers beside them, in turn."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from policy.checkpoint import read_recipe
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.session.session import Session
from robot_io.session.spec import SessionSpec
from robot_io.session.timing import Outcome
from scripts.bench import pacing_peers
from scripts.bench.control import OURS, PEERS, Ages, Lateness, Phase, windows
from scripts.checkpoints import find_checkpoint
from scripts.live.stage import SceneWatcher, session_spec, tell_operator
from scripts.robot import load_robot
from sim.tighten_cap import TIME_LIMIT_S

WITH_FIFO, WITHOUT = "SCHED_FIFO", "normal priority"
LONGEST_TURN_S = 60.0  # the two ways take turns: what else the machine does meets both
SHORTEST_EPISODE_S = 0.5
PEER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Turn:
    """One session of one way, and the peers beside it."""

    real_time: str
    outcomes: Sequence[Outcome]
    lateness: Mapping[str, Lateness]


def measure(
    *, checkpoint: str, seed: int, seconds: float, lerobot_python: Path | None
) -> tuple[dict[str, Phase], str]:
    """Both phases, each half of the time, and by what LeRobot's loop was paced."""
    if lerobot_python is not None:
        _need_lerobot(lerobot_python)
    folder = find_checkpoint(checkpoint)
    history, robot = read_recipe(folder).policy.history(), load_robot()
    joining = robot.buffer.joining
    with_fifo = session_spec(robot, checkpoint=folder, joining=joining, history=history)
    without = replace(with_fifo, control=replace(with_fifo.control, fifo=False))
    pairs = max(1, round(seconds / (2 * LONGEST_TURN_S)))
    turns: dict[str, list[_Turn]] = {WITH_FIFO: [], WITHOUT: []}
    pythons = {"lerobot": str(lerobot_python or sys.executable), "naive": sys.executable}
    paced_by = ""
    for pair in range(pairs):
        for name, spec in ((WITH_FIFO, with_fifo), (WITHOUT, without)):
            turn, paced_by = _take_turn(spec, seed + 100 * pair, seconds / (2 * pairs), pythons)
            turns[name].append(turn)
    return {name: _joined(parts) for name, parts in turns.items()}, paced_by


def _take_turn(
    spec: SessionSpec, seed: int, seconds: float, pythons: Mapping[str, str]
) -> tuple[_Turn, str]:
    rate_hz = NS_PER_S / spec.control.period_ns
    wanted = [(way, False) for way in PEERS]
    if spec.control.fifo:
        wanted += [(way, True) for way in PEERS]
    with Session(spec, tell=tell_operator) as session:
        with _peers(wanted, rate_hz, pythons) as peers:
            outcomes = list(_episodes(session, seed, seconds))
        real_time = session.real_time
    lateness = {OURS: Lateness.of_outcomes(outcomes)}
    for (way, fifo), said in peers.items():
        if fifo == said["fifo"]:  # else it was not permitted, and ran like the other one
            began_ns_N = np.array(said["began_ns"], np.int64)
            turns = Lateness.of_turns(began_ns_N, windows(outcomes), spec.control.period_ns)
            lateness[f"{way} {WITH_FIFO}" if fifo else way] = turns
    return _Turn(real_time, outcomes, lateness), peers["lerobot", False]["paced_by"]


def _episodes(session: Session, seed: int, seconds: float) -> Iterator[Outcome]:
    """One after the other, as the demo plays and watches them, until the time is over."""
    clock = MonotonicClock()
    left_s = seconds
    while left_s > SHORTEST_EPISODE_S:
        limit_s = min(left_s, TIME_LIMIT_S + 5)
        begun_ns = clock.now_ns()
        yield session.run_episode(seed=seed, limit_s=limit_s, watch=SceneWatcher().look)
        left_s -= (clock.now_ns() - begun_ns) / NS_PER_S
        seed += 1


def _joined(turns: Sequence[_Turn]) -> Phase:
    names = [name for name in turns[0].lateness if all(name in turn.lateness for turn in turns)]
    return Phase(
        real_time=turns[0].real_time,
        lateness={name: Lateness.joined([turn.lateness[name] for turn in turns]) for name in names},
        ages=Ages.of_outcomes([outcome for turn in turns for outcome in turn.outcomes]),
    )


# ---- the peers' processes


def _need_lerobot(python: Path) -> None:
    code = "from lerobot.utils.robot_utils import precise_sleep"
    try:
        subprocess.run([python, "-c", code], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise FeelforwardError(
            f"--lerobot-python {python}: {code!r} does not work there. Give the Python of an "
            "environment with lerobot 0.4, or leave the option out."
        ) from error


@contextmanager
def _peers(
    wanted: Sequence[tuple[str, bool]], rate_hz: float, pythons: Mapping[str, str]
) -> Iterator[dict[tuple[str, bool], dict]]:
    """Runs them meanwhile; afterwards the mapping holds what each said."""
    processes = {(way, fifo): _start(pythons[way], way, rate_hz, fifo=fifo) for way, fifo in wanted}
    said: dict[tuple[str, bool], dict] = {}
    try:
        yield said
        for key, process in processes.items():
            said[key] = _heard(process)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _start(python: str, way: str, rate_hz: float, *, fifo: bool) -> subprocess.Popen[str]:
    script = str(Path(pacing_peers.__file__).resolve())
    arguments = [python, script, way, f"{rate_hz:g}", *(["--fifo"] if fifo else [])]
    pipe = subprocess.PIPE
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.Popen(
        arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )


def _heard(process: subprocess.Popen[str]) -> dict:
    """Closes its input and returns what it says then."""
    out, err = process.communicate(timeout=PEER_TIMEOUT_S)
    if process.returncode != 0:
        last = (err.strip().splitlines() or ["no word"])[-1]
        raise FeelforwardError(f"The loop to compare with ended with {last[:200]!r}.")
    return json.loads(out)
