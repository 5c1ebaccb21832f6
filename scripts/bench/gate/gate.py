"""What `feelforward bench gate` runs: hostile streams, the real gate, an arm, and a checker.

    HostileStream ──command, state──▶ CommandGate ──row──▶ arm (a mass on a spring, or the FR3)
                                          │                  │
                                          └──▶  Checker  ◀───┘     shares no code with the gate

A block is 20 stretches of 500 ticks, each with a gate, an arm and a stream of its own; every tenth
stretch has the FR3 in MuJoCo, every third of the others `HURDLES`. A stretch follows from its seed
alone, so it does not matter which process plays it. Each finished block is a line of a log, from
which a run that was cut goes on.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from math import exp, hypot, log
from pathlib import Path
from typing import Any

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.gate.body import Body
from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import GateLimits
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict
from scripts.bench.gate.arms import Arm, Did, Disturbance, PointArm
from scripts.bench.gate.checker import ArmSeen, Checker, Heft, Limits, Seen
from scripts.bench.gate.limits import tool_limits
from scripts.bench.gate.streams import START, Asked, Frame, HostileStream
from scripts.checkpoints import REPOSITORY
from scripts.robot import load_robot
from scripts.workers import play_seeds

STRETCH_TICKS = 500
STRETCHES = 20  # of a block
BLOCK_TICKS = STRETCHES * STRETCH_TICKS
FR3_EVERY = 10  # stretches
HURDLES_EVERY = 3  # stretches, of which those with the FR3 have none
HURDLES = {  # what a robot's config need not have, so that these limits are judged as well
    "planes": [{"point_m": [0.65, 0.25, 0.3], "normal": [-0.6, -0.8, 0.0]}],
    "keep_out_boxes": [{"low_m": [0.30, -0.25, 0.05], "high_m": [0.38, -0.10, 0.25]}],
    "keep_out_spheres": [{"centre_m": [0.55, 0.0, 0.45], "radius_m": 0.06}],
    "touch": {"measured_force": "required", "max_force_n": 150.0, "max_torque_nm": 150.0},
}
DETAILS = 5  # violations of a block that are told in full
BINS_PER_E = 50  # of the histogram of tick times: 2 % wide
GATE = REPOSITORY / "robot_io" / "gate"
COUNTED = ("by_limit", "verdicts", "reasons", "judged", "tick_bins", "cpu_bins")


@dataclass(slots=True)
class Tally:
    """What a number of ticks came to; tallies add up."""

    commands: int = 0
    fr3_commands: int = 0
    violations: int = 0
    by_limit: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    largest: dict[str, float] = field(default_factory=dict)  # share of each limit that was used
    tick_bins: Counter[str] = field(default_factory=Counter)  # by logarithm of ns
    tick_max_ns: int = 0
    cpu_bins: Counter[str] = field(default_factory=Counter)  # likewise, without waiting for a core
    cpu_max_ns: int = 0
    refused: int = 0  # to arm, or to leave a stop, on an unusable measured pose
    digest: str = ""  # of everything that was given to the arm

    def add(self, other: "Tally") -> None:
        self.commands += other.commands
        self.fr3_commands += other.fr3_commands
        self.violations += other.violations
        self.refused += other.refused
        self.details = (self.details + other.details)[:DETAILS]
        for name in COUNTED:
            getattr(self, name).update(getattr(other, name))
        for limit, share in other.largest.items():
            self.largest[limit] = max(share, self.largest.get(limit, 0.0))
        self.tick_max_ns = max(self.tick_max_ns, other.tick_max_ns)
        self.cpu_max_ns = max(self.cpu_max_ns, other.cpu_max_ns)
        if other.digest:
            self.digest = hashlib.sha256((self.digest + other.digest).encode()).hexdigest()

    def plain(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "Tally":
        tally = cls()
        for name, value in content.items():
            setattr(tally, name, Counter(value) if name in COUNTED else value)
        return tally

    def timed(self, *, wall_ns: int, cpu_ns: int) -> None:
        self.tick_bins[_bin_of(wall_ns)] += 1
        self.cpu_bins[_bin_of(cpu_ns)] += 1
        self.tick_max_ns = max(self.tick_max_ns, wall_ns)
        self.cpu_max_ns = max(self.cpu_max_ns, cpu_ns)

    def tick_ms(self) -> dict[str, float]:
        """Percentiles of the gate's own time, to 2 %; the largest exact."""
        return _spread_ms(self.tick_bins, self.tick_max_ns)

    def tick_cpu_ms(self) -> dict[str, float]:
        """The same without the time in which other work had the core."""
        return _spread_ms(self.cpu_bins, self.cpu_max_ns)


def _bin_of(took_ns: int) -> str:
    return str(round(log(max(took_ns, 1)) * BINS_PER_E))


def _spread_ms(bins: Mapping[str, int], max_ns: int) -> dict[str, float]:
    ordered = sorted((int(name), count) for name, count in bins.items())
    edges = np.cumsum([count for _, count in ordered])
    found = {}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
        at = int(np.searchsorted(edges, share * edges[-1]))
        found[name] = exp(ordered[at][0] / BINS_PER_E) / NS_PER_MS
    return {**found, "max": max_ns / NS_PER_MS}


def play(
    commands: int, *, seed: int, robot: Path, log_folder: Path, workers: int
) -> Iterator[Tally]:
    """The tally of each block, finished ones from the log first. `commands`: whole stretches."""
    log_file = log_folder / f"{_identity(seed, robot)}.jsonl"
    jobs = _jobs(commands)
    done = {key: tally for key, tally in _read_log(log_file).items() if key in jobs}
    yield from done.values()
    todo = tuple(job for job in jobs if job not in done)
    make = partial(_make_player, seed, str(robot), todo)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as file:
        for (block, stretches), tally in zip(
            todo, play_seeds(make, range(len(todo)), workers=workers), strict=True
        ):
            entry = {"block": block, "stretches": stretches, "tally": tally.plain()}
            file.write(json.dumps(entry) + "\n")
            file.flush()
            yield tally
    log_file.unlink()  # the run is whole; the next one begins anew


def _jobs(commands: int) -> list[tuple[int, int]]:
    """(block, its stretches); the last block may be shorter."""
    stretches = -(-commands // STRETCH_TICKS)
    blocks = -(-stretches // STRETCHES)
    return [(block, min(STRETCHES, stretches - block * STRETCHES)) for block in range(blocks)]


def _identity(seed: int, robot: Path) -> str:
    """Of what decides the outcome: seed, limits, the gate's code and this bench's."""
    content = hashlib.sha256(f"{seed}".encode() + robot.read_bytes())
    ours = [*GATE.glob("*.py"), *GATE.parent.glob("*.py"), *Path(__file__).parent.glob("*.py")]
    for path in sorted(ours):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


def _read_log(path: Path) -> dict[tuple[int, int], Tally]:
    """Finished blocks; half a line of a run that was killed while it wrote is dropped."""
    if not path.exists():
        return {}
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    entries = [json.loads(line) for line in whole.splitlines()]
    return {(e["block"], e["stretches"]): Tally.from_plain(e["tally"]) for e in entries}


# ---- in the worker processes


def _make_player(
    seed: int, robot: str, jobs: tuple[tuple[int, int], ...]
) -> Callable[[int], Tally]:
    stage = Stage(Path(robot), seed)

    def play_job(index: int) -> Tally:
        block, stretches = jobs[index]
        tally = Tally()
        for stretch in range(block * STRETCHES, block * STRETCHES + stretches):
            tally.add(stage.play(stretch))
        return tally

    return play_job


class Stage:
    """Plays stretches: each with a fresh gate, arm, stream and checker."""

    def __init__(self, robot: Path, seed: int) -> None:
        self._seed = seed
        self._limits = tool_limits(robot)
        self._robot = load_robot(robot)
        self._body: Body | None = None
        self._own = Limits.read(robot)
        self._walled = tool_limits(robot, **HURDLES), Limits.read(robot, HURDLES)
        self._point = PointArm(self._limits.stiffness_n_per_m)
        self._fr3: Arm | None = None
        self._frame = frame_of(self._limits)

    def play(self, stretch: int) -> Tally:
        on_fr3 = stretch % FR3_EVERY == FR3_EVERY - 1
        if on_fr3 and self._fr3 is None:
            self._fr3 = Fr3Arm(self._robot.gate)
            self._body = self._robot.control_spec().build_body()
        limits, own = (self._robot.gate if on_fr3 else self._limits), self._own
        if stretch % HURDLES_EVERY == 0 and not on_fr3:
            limits, own = self._walled
        arm = self._fr3 if on_fr3 and self._fr3 is not None else self._point
        stream = HostileStream(self._frame, (self._seed, stretch))
        with np.errstate(all="ignore"):  # overflows are what hostile numbers are for
            body = self._body if on_fr3 else None
            tally = Stretch(limits, own, arm, stream, body=body).play()
        tally.fr3_commands = tally.commands if on_fr3 else 0
        tally.details = [f"stretch {stretch}: {detail}" for detail in tally.details]
        return tally


def frame_of(limits: GateLimits) -> Frame:
    return Frame(
        period_ms=round(limits.period_s * 1000),
        low_m=limits.workspace_low_m,
        high_m=limits.workspace_high_m,
        speed=(limits.max_speed_m_per_s, limits.max_turn_rad_per_s),
        accel=(limits.max_accel_m_per_s2, limits.max_turn_accel_rad_per_s2),
        jerk=(limits.max_jerk_m_per_s3, limits.max_turn_jerk_rad_per_s3),
        max_age_s=limits.max_command_age_s,
        max_width_m=limits.max_width_m,
    )


class Stretch:
    """One stream, and the gate and the arm it meets. A violation ends their session: what would
    follow from it is not counted again, everything but the stream begins anew."""

    def __init__(
        self,
        limits: GateLimits,
        own: Limits,
        arm: Arm,
        stream: HostileStream,
        *,
        body: Body | None,
    ) -> None:
        self._body = body
        self._limits, self._own, self._arm, self._stream = limits, own, arm, stream
        self._clock = MonotonicClock()
        self._tally = Tally()
        self._digest = hashlib.sha256()
        self._begin()

    def _begin(self) -> None:
        self._gate = CommandGate(self._limits, self._body)
        self._checker = Checker(self._own)
        self._arm.reset(START)
        self._given_8 = self._arm.row()
        self._now_ns = NS_PER_S
        self._armed = False
        self._misled = False  # the command that the arm follows came of a false pose

    def play(self) -> Tally:
        tally = self._tally
        for _ in range(STRETCH_TICKS):
            asked = self._stream.tick(self._given_8, self._arm.row(), stopped=self._gate.stopped)
            before = tally.violations
            self._pass_time(asked)
            self._tick(asked)
            self._misled = self._is_misled(asked)
            tally.commands += 1
            if tally.violations > before:
                self._end()
                self._begin()
        self._end()
        tally.digest = self._digest.hexdigest()
        return tally

    def _is_misled(self, asked: Asked) -> bool:
        """Whether the arm will follow a command that came of a false pose, or of a doubted one."""
        no_time = asked.ms == 0  # in which it could have followed the one before
        return not asked.truthful or self._checker.doubts or (no_time and self._misled)

    def _end(self) -> None:
        self._tally.add(Tally(judged=self._checker.judged, largest=self._checker.largest))

    def _pass_time(self, asked: Asked) -> None:
        """The arm follows what it was given last."""
        if asked.ms == 0:
            return
        self._now_ns += asked.ms * NS_PER_MS
        did = self._arm.advance(self._given_8 if self._armed else None, asked.ms, asked.disturbance)
        pushed = self._misled or bool(asked.disturbance.push_3.any())
        x, y, z = self._arm.row()[:3].tolist()
        seen = ArmSeen(
            position=(x, y, z),
            speed_m_per_s=did.speed_m_per_s,
            contact_n=did.contact_n,
            lever=did.lever,
            heft=Heft(*did.heft),
            disturbed=pushed or did.contact_n != 0 or asked.disturbance.wall_axis is not None,
            pushed=pushed,
        )
        if self._armed:
            self._note(self._checker.arm(seen, asked.ms / 1000), asked)

    def _tick(self, asked: Asked) -> None:
        now_ns = self._now_ns - asked.back_ms * NS_PER_MS
        measured = self._arm.row() if asked.measured is None else asked.measured
        joints_J = self._arm.joint_angles() if asked.joints is None else asked.joints
        state = ArmState(MonoNs(now_ns), measured, joints_J, asked.wrench)
        self._happen(asked, state)
        due_ns: Any = now_ns - asked.age_s * NS_PER_S
        if asked.age_s == 0:
            due_ns = now_ns
        command = Command(asked.sequence, due_ns, asked.row, Provenance("hostile"))
        begun_ns, begun_cpu_ns = self._clock.now_ns(), time.thread_time_ns()
        try:
            if asked.row is None:
                verdict = self._gate.hold("no_plan", state, now_ns)
            else:
                verdict = self._gate.check(command, state, now_ns)
        except FeelforwardError as error:
            self._refused(asked, error, measured)
            return
        except Exception as error:  # a gate that raises is a gate that is gone: that is a finding
            self._found(f"raised {error!r}", "raised", asked)
            return
        cpu_ns = time.thread_time_ns() - begun_cpu_ns
        self._tally.timed(wall_ns=self._clock.now_ns() - begun_ns, cpu_ns=cpu_ns)
        if not self._armed:
            self._arm_checker(state, asked)
        blind = self._limits.joints != "none" and asked.joints is not None
        seen = Seen(
            now_ns=now_ns,
            row=asked.row,
            sequence=asked.sequence,
            due_ns=due_ns,
            measured=None if blind else measured,
            wrench=asked.wrench,
            kind=verdict.kind.value,
            given=verdict.row_D,
        )
        self._note(self._checker.tick(seen), asked)
        self._take(verdict)

    def _happen(self, asked: Asked, state: ArmState) -> None:
        """Stops and releases; one on an unusable pose must be refused."""
        if asked.event == "stop":
            self._gate.stop("operator")
            self._checker.stop()
        elif asked.event in ("release", "release_blind"):
            blind = asked.event == "release_blind"
            told = replace(state, row_D=np.full(8, np.nan)) if blind else state
            try:
                self._gate.release(told)
            except FeelforwardError as error:
                self._refused(asked, error, told.row_D)
                return
            self._arm_checker(told, asked, released=True)

    def _arm_checker(self, state: ArmState, asked: Asked, *, released: bool = False) -> None:
        row = state.row_D
        if not (isinstance(row, np.ndarray) and row.shape == (8,) and np.isfinite(row).all()):
            self._found("armed on an unusable pose", "armed_blind", asked)
            return
        self._armed = True
        if released:
            self._checker.release(row)
        else:
            self._checker.anchor(row)

    def _refused(self, asked: Asked, error: FeelforwardError, measured: object) -> None:
        if self._armed and asked.event not in ("release", "release_blind"):
            self._found(f"raised {error!r} in mid-session", "raised", asked)
        honest = asked.truthful and self._checker.measures(asked.wrench)
        if not self._armed and honest:
            self._found(f"does not arm: {error}", "does_not_arm", asked)
        self._tally.refused += 1

    def _take(self, verdict: Verdict) -> None:
        self._tally.verdicts[verdict.kind.value] += 1
        self._tally.reasons.update(str(reason) for reason in verdict.reasons)
        row_8 = verdict.row_D
        if not isinstance(row_8, np.ndarray) or row_8.shape != (8,) or row_8.dtype.kind != "f":
            return  # a violation already
        given_8 = row_8.astype(np.float64)
        self._digest.update(given_8.tobytes())
        if np.isfinite(given_8).all():
            self._given_8 = given_8

    def _note(self, violations: list, asked: Asked) -> None:
        for violation in violations:
            self._found(str(violation), violation.limit, asked)

    def _found(self, text: str, limit: str, asked: Asked) -> None:
        tally = self._tally
        tally.violations += 1
        tally.by_limit[limit] += 1
        if len(tally.details) < DETAILS:
            tally.details.append(f"{text} ({asked.mood})")


class Fr3Arm:
    """The FR3 in MuJoCo with a wall and a table in its way. Other walls do not exist for it."""

    def __init__(self, limits: GateLimits) -> None:
        from sim.impedance import Stiffness
        from sim.wall import STEP_NS, Plate, WallWorld

        tilt = limits.stiffness_nm_per_rad
        self._world = WallWorld(Stiffness(limits.stiffness_n_per_m, tilt_nm_per_rad=tilt))
        self._plates = tuple(Plate)
        self._away_m = {Plate.WALL: 0.15, Plate.TABLE: 0.12}
        self._ceilings = limits.force_max_n, limits.torque_max_nm
        self._step_ms = STEP_NS // NS_PER_MS

    def reset(self, row_8: np.ndarray) -> None:
        self._world.reset(row_8, away_m=self._away_m)
        self._owed_ms = 0
        self._state = self._world.state()

    def advance(self, row_8: np.ndarray | None, ms: int, disturbance: Disturbance) -> Did:
        world, fastest = self._world, 0.0
        if row_8 is not None:
            world.command(row_8)
        world.push(disturbance.push_3)
        self._owed_ms += ms
        while self._owed_ms >= self._step_ms:
            self._owed_ms -= self._step_ms
            world.step()
            fastest = max(fastest, hypot(*world.twist_6()[:3].tolist()))
        self._state = world.state()
        plate = max(self._plates, key=lambda each: abs(world.contact_n(each)))
        contact_n = abs(world.contact_n(plate))
        if contact_n <= self._ceilings[0]:
            return Did(fastest, contact_n, world.heaviest())
        lever = world.leverage(plate, ceilings=self._ceilings)
        return Did(fastest, contact_n, world.heaviest(), lever)

    def row(self) -> np.ndarray:
        return self._state.row_D

    def joint_angles(self) -> np.ndarray:
        return self._state.joint_rad_J
