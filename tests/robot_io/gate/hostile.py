"""Streams of everything that can go wrong, around an arm that does as it likes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from control_toys import HOME, PERIOD_NS, gate_limits, moved

from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import GateLimits
from robot_io.rows import quat_from_rotvec
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict

LIM = gate_limits()
HUGE = (np.nan, np.inf, -np.inf, 1e300, -1e300, 1.7e308, 5e-324, 1e-310, 0.0)


@dataclass(frozen=True, slots=True)
class Told:
    """One tick: what a gate was told, and what it gave."""

    now_ns: int
    command: Command | None  # None: there was none, the gate holds
    state: ArmState
    stopped: bool  # before the tick, by what others did
    verdict: Verdict


class Hostile:
    """Draws ticks. `calm` keeps to even ticks and honest labels."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.calm = calm
        self.measured = self.last = HOME
        self.now_ns = self.sequence = 0
        self.goal = HOME

    def row(self) -> Any:
        rng = self.rng
        if rng.random() < 0.03:
            place = rng.uniform(LIM.workspace_low_m, LIM.workspace_high_m)
            turn = rng.normal(0, 1, 3) * (1.0, 0.3, 0.3)
            self.goal = np.concatenate([place, quat_from_rotvec(turn), [rng.uniform(0, 0.08)]])
            self.goal[3:7] *= rng.choice([-1, 1])
        near = moved(self.last, by_m=rng.normal(0, 0.01, 3), yaw_rad=rng.normal(0, 0.05))
        far = np.concatenate([rng.normal(0, 1, 3), quat_from_rotvec(rng.normal(0, 3, 3)), [0.1]])
        broken = far.copy()
        broken[rng.integers(8)] = rng.choice(HUGE)
        other = [None, "row", list(HOME), HOME.astype(object), HOME.astype(np.float32), far[:5]]
        other += [np.zeros(8), HOME * 1.01, HOME[None], np.full(8, np.nan), HOME.astype(complex)]
        choices = [self.goal, near, far, self.last, broken, other[rng.integers(len(other))]]
        return choices[rng.choice(len(choices), p=[0.5, 0.15, 0.15, 0.1, 0.05, 0.05])]

    def state(self) -> ArmState:
        draw, rng, joints = self.rng.random(), self.rng, np.empty(0)
        if draw < 0.8:
            self.measured = self.last
        elif draw < 0.82:
            place = rng.uniform(LIM.workspace_low_m, LIM.workspace_high_m)
            self.measured = np.concatenate([place, quat_from_rotvec(rng.normal(0, 3, 3)), [0.04]])
        elif draw < 0.84:
            broken = [np.full(8, np.nan), np.zeros(8), HOME[:3], HOME.astype(int)]
            return ArmState(MonoNs(self.now_ns), broken[rng.integers(len(broken))], joints)
        return ArmState(MonoNs(self.now_ns), self.measured, joints)

    def tick(self) -> tuple[int, Command | None, ArmState]:
        rng = self.rng
        self.sequence += 1
        step_ns, age_ns, sequence = PERIOD_NS, 0, self.sequence
        if not self.calm and rng.random() < 0.2:
            step_ns = int(rng.choice([0, 1, 5, 9, 11, 20, 35, 400, -10, -1000])) * 1_000_000
            age_ns = int(rng.choice([0, 40, 60, -60, 10**9])) * 1_000_000
            sequence = int(rng.choice([self.sequence, self.sequence - 3, -1]))
        now_ns = self.now_ns + step_ns
        self.now_ns = max(now_ns, self.now_ns)
        due_ns = MonoNs(now_ns - age_ns)
        asked = Command(sequence, due_ns, self.row(), Provenance("hostile", int(rng.integers(3))))
        return now_ns, (asked if rng.random() < 0.95 else None), self.state()


def play(
    seed: int, limits: GateLimits, *, ticks: int = 150, calm: bool = False, stops: bool = True
) -> list[Told]:
    """A hostile stream through a gate that starts at HOME."""
    hostile, gate = Hostile(seed, calm=calm), CommandGate(limits)
    told = []
    for _ in range(ticks):
        now_ns, asked, measured = hostile.tick()
        if not told:
            measured = ArmState(MonoNs(now_ns), HOME, np.empty(0))
        draw = hostile.rng.random()
        if stops and draw < 0.02:
            gate.stop("test")
        stopped = gate.stopped
        verdict = give(gate, now_ns, asked, measured)
        told.append(Told(now_ns, asked, measured, stopped, verdict))
        hostile.last = verdict.row_D
        usable = isinstance(measured.row_D, np.ndarray) and measured.row_D.dtype.kind == "f"
        usable = usable and measured.row_D.shape == (8,) and abs(measured.row_D).sum() > 0.5
        if gate.stopped and draw > 0.8 and usable and np.isfinite(measured.row_D).all():
            gate.release(measured)
            hostile.last = measured.row_D
            told.append(
                Told(now_ns, None, measured, False, Verdict(verdict.kind, measured.row_D, ("re",)))
            )
    return told


def give(gate: CommandGate, now_ns: int, asked: Command | None, measured: ArmState) -> Verdict:
    if asked is None:
        return gate.hold("no_plan", measured, now_ns)
    return gate.check(asked, measured, now_ns)
