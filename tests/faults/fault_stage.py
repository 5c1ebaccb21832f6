"""A running session of the simulated robot into which faults are put, and what was seen of it."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq
from fault_checker import Sent
from fault_injections import Running
from fault_table import Fault

from policy.checkpoint import read_recipe
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.control.record import EpisodeRecord
from robot_io.ring import RingReader
from robot_io.session.processes import Factory
from robot_io.session.remote_arm import STATE_FILE
from robot_io.session.session import EpisodeCutError, Session
from robot_io.session.spec import SessionSpec
from robot_io.session.view import View
from robot_io.types import ActionChunk, ArmState, Command
from scripts.checkpoints import SHIPPED_DEFAULT, find_checkpoint
from scripts.graphics import need_rendering
from scripts.live.stage import session_spec
from scripts.robot import RobotConfig, load_robot
from scripts.tasks import cap

SEED = 100_000
SETTLE_S = 0.7  # of steady motion before a fault
FIRST_PLAN_S = 0.6  # until the steady motion begins
REST_M = 1e-3
STOP_AFTER_S = 1.5  # instead of the robot's, so that a whole ladder fits into seconds
STALLED_NS = 50 * NS_PER_MS  # a tick that late: the machine had no time for us


def shortened_robot() -> RobotConfig:
    robot = load_robot()
    loop = robot.loop.model_copy(update={"stop_after_s": STOP_AFTER_S})
    return robot.model_copy(update={"loop": loop})


def failing_spec(robot: RobotConfig, *, sensors: Sequence[str], real_policy: bool) -> SessionSpec:
    """The session of `feelforward run`, its parts replaced by ones that can fail."""
    shipped = find_checkpoint(SHIPPED_DEFAULT)
    streams = read_recipe(shipped).policy.history()
    unused = set(cap.IMAGES) - set(sensors)
    history = {name: steps for name, steps in streams.items() if name not in unused}
    spec = session_spec(robot, checkpoint=shipped, history=history, joining="overwrite")
    here = {"directory": "{session}"}
    parts: dict[str, Any] = {
        "arm": Factory("fault_parts:make_arm", here),
        "world": Factory("fault_parts:make_world", here),
        "cameras": {
            name: Factory(
                "fault_parts:make_camera", {"name": name, **here, **robot.sensors[name].timing()}
            )
            for name in spec.cameras
        },
    }
    if not real_policy:
        parts["policy"] = Factory("fault_parts:make_planner", here)
    return replace(spec, **parts)


@dataclass
class Seen:
    """What an episode with a fault looked like, from all sides."""

    fault_ns: int = 0
    record: EpisodeRecord | None = None
    ending: str = ""
    lines: list[str] = field(default_factory=list)
    states: list[ArmState] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    arm_ns: list[int] = field(default_factory=list)  # from the arm's own side
    arm_N3: list[np.ndarray] = field(default_factory=list)

    def rungs(self) -> list[tuple[str, float]]:
        """Rungs from the fault on, and how long after it each began, s."""
        assert self.record is not None
        after_N = self.record.stamp_ns_N >= self.fault_ns
        rung_N, stamp_N = self.record.rung_N[after_N], self.record.stamp_ns_N[after_N]
        begins = np.flatnonzero(np.concatenate([[True], rung_N[1:] != rung_N[:-1]]))
        return [(str(rung_N[i]), (stamp_N[i] - self.fault_ns) / NS_PER_S) for i in begins]

    def disturbed(self) -> bool:
        """Whether the machine itself stalled: such an episode shows nothing about the fault."""
        record = self.record
        if record is None:
            return False
        stale = any("state_stale" in reasons for reasons in record.reasons_N)
        return stale or bool(record.late_ns_N.max() > STALLED_NS)

    def outcomes(self) -> list[str]:
        """What became of the messages that the control process took from its inbox."""
        assert self.record is not None
        return [taken.outcome for taken in self.record.messages()]

    def at_rest_s(self) -> float:
        """How long after the fault the tool last was further than `REST_M` from its last place."""
        stamp_N, place_N3 = np.array(self.arm_ns), np.stack(self.arm_N3)
        moving_N = np.linalg.norm(place_N3 - place_N3[-1], axis=1) > REST_M
        return (stamp_N[moving_N].max(initial=self.fault_ns) - self.fault_ns) / NS_PER_S

    def watched_s(self) -> float:
        """How long after the fault the arm was still looked at."""
        return (self.arm_ns[-1] - self.fault_ns) / NS_PER_S

    def sent(self) -> Sent:
        """From the record; where there is none, from what everybody was told."""
        record = self.record
        if record is not None:
            pulled_N = np.array(["leash" in reasons for reasons in record.reasons_N])
            return Sent(record.stamp_ns_N, record.sent_ND, record.measured_ND, pulled_N)
        pairs = list(zip(self.commands, self.states, strict=False))
        return Sent(
            np.array([command.due_ns for command, _ in pairs]),
            np.stack([command.row_D for command, _ in pairs]),
            np.stack([state.row_D for _, state in pairs]),
            np.zeros(len(pairs), bool),
        )


class Stage(Running):
    """Processes around the simulated arm; `play` runs one episode with one fault."""

    def __init__(self, *, sensors: Sequence[str] = cap.IMAGES, real_policy: bool = False) -> None:
        need_rendering()
        self.robot = shortened_robot()
        self._clock = MonotonicClock()
        spec = failing_spec(self.robot, sensors=sensors, real_policy=real_policy)
        self._session = Session(spec, tell=self._tell)
        self._seen = Seen()

    def __enter__(self) -> "Stage":
        self._session.__enter__()
        self.directory: Path = self._session.directory
        self.context = zmq.Context()
        return self

    def __exit__(self, *exc: object) -> None:
        self.context.destroy()
        self._session.__exit__(*exc)

    def process_id(self, process: str) -> int:
        return next(
            child.pid
            for child in psutil.Process().children()
            if child.cmdline()[-1].endswith(f"/{process}.json")
        )

    def play(self, fault: Fault, *, seed: int = SEED) -> Seen:
        self._seen = seen = Seen()
        self._fault, self._ended, self._moving_ns = fault, False, None
        limit_s = FIRST_PLAN_S + SETTLE_S + fault.observe_s
        try:
            with self._looking_at_the_arm():
                outcome = self._session.run_episode(seed=seed, limit_s=limit_s, watch=self._watch)
                seen.record, seen.ending = outcome.record, str(outcome.result.get("reason", ""))
        except EpisodeCutError as error:
            seen.record, seen.ending = error.record, str(error)
        finally:
            if seen.fault_ns and not self._ended and not fault.fatal:
                fault.injection.end(self)
        return seen

    def _tell(self, line: str) -> None:
        if self._seen.fault_ns:
            self._seen.lines.append(line)

    def _watch(self, view: View) -> None:
        for message in view.messages:
            if isinstance(message, ActionChunk):
                self.newest_chunk = message
                self._moving_ns = self._moving_ns or self._clock.now_ns()
            elif isinstance(message, Command):
                self._seen.commands.append(message)
            elif isinstance(message, ArmState):
                self._seen.states.append(message)
        now_ns, fault, seen = self._clock.now_ns(), self._fault, self._seen
        if not seen.fault_ns and self._moving_ns and _s(now_ns - self._moving_ns) >= SETTLE_S:
            seen.fault_ns = self._clock.now_ns()
            fault.injection.begin(self)
        lasts_s = fault.lasts_s if fault.lasts_s is not None else np.inf
        if seen.fault_ns and not self._ended and _s(now_ns - seen.fault_ns) >= lasts_s:
            self._ended = True
            fault.injection.end(self)

    @contextmanager
    def _looking_at_the_arm(self) -> Iterator[None]:
        """Reads what the arm measures, past the control process."""
        over = threading.Event()
        thread = threading.Thread(target=self._look_at_the_arm, args=(over, self._seen))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look_at_the_arm(self, over: threading.Event, seen: Seen) -> None:
        with RingReader(self.directory / STATE_FILE) as ring:
            while not over.is_set():
                for sample in ring.unseen():
                    seen.arm_ns.append(sample.exposed_ns)
                    seen.arm_N3.append(sample.values[:3])
                self._clock.sleep_until(self._clock.now_ns() + 10 * NS_PER_MS)


def _s(ns: int) -> float:
    return ns / NS_PER_S


def matches(pattern: str, text: str) -> bool:
    """Whether the text is the pattern, with anything for each `…`."""
    return re.fullmatch(re.escape(pattern).replace("…", ".*"), text) is not None
