"""What `feelforward bench force` runs: the FR3 pushes against a wall and onto a table, in MuJoCo.

Two policies send rows through the real gate at 100 Hz: a hostile one that commands ever deeper, and
an honest one that comes to rest 2 cm behind the surface. Read from MuJoCo's contacts:

    steady   the largest force in the last half second: what the leash must bound
    peak     the largest force of all
    blow     v sqrt(m k): what a body of the arm's effective mass m and speed v at the touch presses
             a spring k with, whatever is commanded (energy m v²/2 = F²/2k; ISO/TS 15066:2016,
             annex A). No gate takes it away; only less speed does.

The wall and the table are springs of 30,000 N/m, so that k is known. Units: m, s, N, kg.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from robot_io.clock import NS_PER_S
from robot_io.files import replacing
from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import GateLimits
from robot_io.types import Command, MonoNs, Provenance
from scripts.bench.gate.limits import tool_limits
from sim.impedance import Stiffness
from sim.wall import STEP_NS, Plate, WallWorld

HOSTILE, HONEST = "hostile", "honest"
STIFFNESS_N_PER_M = (200.0, 700.0, 1500.0, 3000.0)
SPEEDS_M_PER_S = (0.01, 0.05, 0.10, 0.25, 0.50)
STEADY_SHARE = 1.05  # of F_max
DEPTH_M = 0.02  # behind the surface, where the honest policy goes
_HALF = sqrt(0.5)
START = {  # fingers ahead: forwards to the wall, downwards to the table
    Plate.WALL: np.array([0.45, 0.0, 0.45, 0.0, _HALF, 0.0, _HALF, 0.02]),
    Plate.TABLE: np.array([0.45, 0.0, 0.40, 0.0, 1.0, 0.0, 0.0, 0.02]),
}
RUN_UP_M_PER_S2 = 2.0
CLEAR_M = 0.02  # left to the surface when the run-up is over
SETTLE_S = 3.0
STEADY_S = 0.5


@dataclass(frozen=True, slots=True)
class Push:
    """One approach, and what it pressed with."""

    plate: str
    policy: str
    stiffness_n_per_m: float
    speed_m_per_s: float  # commanded
    touch_m_per_s: float  # measured, at the touch
    mass_kg: float  # effective, at the touch
    steady_n: float
    peak_n: float
    blow_n: float
    force_max_n: float

    @property
    def kept(self) -> bool:
        return self.steady_n <= self.force_max_n * STEADY_SHARE


def measure(
    stiffness: Sequence[float] = STIFFNESS_N_PER_M, speeds: Sequence[float] = SPEEDS_M_PER_S
) -> Iterator[Push]:
    """Every plate, policy, stiffness and speed."""
    for k, plate, policy, speed in product(stiffness, Plate, (HOSTILE, HONEST), speeds):
        yield push(plate, policy, stiffness_n_per_m=k, speed_m_per_s=speed)


def push(plate: Plate, policy: str, *, stiffness_n_per_m: float, speed_m_per_s: float) -> Push:
    run_up_m = speed_m_per_s**2 / (2 * RUN_UP_M_PER_S2) + CLEAR_M
    reach_m = _reach_m(plate)
    trial = _Trial(plate, stiffness_n_per_m, away_m=run_up_m + reach_m)
    end_m = run_up_m + DEPTH_M if policy == HONEST else 2.0
    way_m = run_up_m + (DEPTH_M if policy == HONEST else 1.5 * trial.limits.leash_m)
    lasts_s = way_m / speed_m_per_s + speed_m_per_s / RUN_UP_M_PER_S2 + SETTLE_S
    trial.go(speed_m_per_s, end_m=end_m, lasts_s=lasts_s)
    return Push(
        plate=plate.label,
        policy=policy,
        stiffness_n_per_m=stiffness_n_per_m,
        speed_m_per_s=speed_m_per_s,
        touch_m_per_s=trial.touch_m_per_s,
        mass_kg=trial.mass_kg,
        steady_n=max(trial.forces_n[-round(STEADY_S * NS_PER_S / STEP_NS) :]),
        peak_n=trial.world.peak_n[plate],
        blow_n=trial.touch_m_per_s * sqrt(trial.mass_kg * trial.world.plate_n_per_m),
        force_max_n=trial.limits.force_max_n,
    )


@cache
def _world(stiffness_n_per_m: float) -> WallWorld:
    return WallWorld(Stiffness(stiffness_n_per_m))


@cache
def _reach_m(plate: Plate) -> float:
    """How far hand or fingers stand out beyond the tool point, towards the plate: felt once."""
    trial = _Trial(plate, 1500.0, away_m=0.12)
    trial.go(0.02, end_m=0.5, lasts_s=8.0, until_touch=True)
    touched_m = (trial.world.state().row_D[:3] - trial.start_8[:3]) @ plate.inwards_3
    return 0.12 - float(touched_m)


class _Trial:
    """One arm, one gate, one approach."""

    def __init__(self, plate: Plate, stiffness_n_per_m: float, *, away_m: float) -> None:
        self.plate = plate
        self.limits: GateLimits = tool_limits(
            stiffness_n_per_m=stiffness_n_per_m,
            workspace_low_m=(-2.0, -2.0, -2.0),  # so that nothing but the leash holds it back
            workspace_high_m=(2.0, 2.0, 2.0),
        )
        self._gate = CommandGate(self.limits)
        self.world = _world(stiffness_n_per_m)
        self.world.reset(START[plate], away_m={plate: away_m})
        self.start_8 = self.world.state().row_D
        self.forces_n: list[float] = []
        self.touch_m_per_s = self.mass_kg = 0.0

    def go(
        self, speed_m_per_s: float, *, end_m: float, lasts_s: float, until_touch: bool = False
    ) -> None:
        way = _Way(speed_m_per_s, RUN_UP_M_PER_S2, end_m)
        period_ns = round(self.limits.period_s * NS_PER_S)
        for tick in range(1, round(lasts_s / self.limits.period_s)):
            self._tick(tick, way.at(tick * self.limits.period_s))
            for _ in range(period_ns // STEP_NS):
                before_m_per_s = float(self.world.twist_6()[:3] @ self.plate.inwards_3)
                self.world.step()
                self._feel(before_m_per_s)
            if until_touch and self.forces_n[-1] > 0:
                return

    def _tick(self, tick: int, way_m: float) -> None:
        row_8 = self.start_8.copy()
        row_8[:3] += way_m * self.plate.inwards_3
        now_ns = self.world.now_ns
        command = Command(tick, MonoNs(now_ns), row_8, Provenance("bench"))
        self.world.command(self._gate.check(command, self.world.state(), now_ns).row_D)

    def _feel(self, before_m_per_s: float) -> None:
        force_n = self.world.contact_n(self.plate)
        if force_n > 0 and self.mass_kg == 0:
            self.touch_m_per_s = before_m_per_s
            self.mass_kg = self.world.effective_mass_kg(self.plate)
        self.forces_n.append(force_n)


@dataclass(frozen=True, slots=True)
class _Way:
    """From rest up to a speed, on, and to rest at the end, with one acceleration."""

    speed: float
    accel: float
    end: float

    def at(self, time_s: float) -> float:
        peak = min(self.speed, sqrt(self.accel * self.end))
        ramp_s = peak / self.accel
        whole_s = self.end / peak + ramp_s
        if time_s <= ramp_s:
            return self.accel * time_s**2 / 2
        if time_s >= whole_s:
            return self.end
        if time_s > whole_s - ramp_s:
            return self.end - self.accel * (whole_s - time_s) ** 2 / 2
        return peak * (time_s - ramp_s / 2)


def table(pushes: Sequence[Push]) -> Table:
    """What `bench force` prints: N, in a cell steady / peak (blow)."""
    table = Table(title="Contact force, N: steady / peak (unavoidable blow)", title_justify="left")
    speeds = list(dict.fromkeys(push.speed_m_per_s for push in pushes))
    for column in (
        "against",
        "policy",
        "stiffness",
        *(f"{100 * speed:g} cm/s" for speed in speeds),
    ):
        table.add_column(column)
    rows: dict[tuple[str, str, float], list[Push]] = {}
    for push in pushes:
        rows.setdefault((push.plate, push.policy, push.stiffness_n_per_m), []).append(push)
    for (plate, policy, stiffness), own in rows.items():
        cells = [f"{push.steady_n:.1f} / {push.peak_n:.0f} ({push.blow_n:.0f})" for push in own]
        table.add_row(plate, policy, f"{stiffness:g} N/m", *cells)
    return table


def plot(path: Path, pushes: Sequence[Push]) -> None:
    """Writes a PNG: forces of the hostile policy against the speed, per plate."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, plate in zip(figure.subplots(1, 2, sharey=True), Plate, strict=True):
        own = [push for push in pushes if (push.plate, push.policy) == (plate.label, HOSTILE)]
        for index, k in enumerate(dict.fromkeys(push.stiffness_n_per_m for push in own)):
            these = [push for push in own if push.stiffness_n_per_m == k]
            x = [100 * push.speed_m_per_s for push in these]
            colour = f"C{index}"
            axes.plot(x, [push.peak_n for push in these], f"{colour}o-", label=f"peak, {k:g} N/m")
            axes.plot(x, [push.steady_n for push in these], f"{colour}s:")
        blow = [push for push in own if push.stiffness_n_per_m == own[0].stiffness_n_per_m]
        x = [100 * push.speed_m_per_s for push in blow]
        axes.plot(x, [push.blow_n for push in blow], "k--", label="unavoidable blow")
        axes.axhline(own[0].force_max_n, color="0.6", label="limit of the steady force (dotted)")
        axes.set(xscale="log", xlabel="approach (cm/s)", ylabel="contact force (N)")
        axes.set_xticks(x, [f"{speed:g}" for speed in x], minor=False)
        axes.minorticks_off()
        axes.set_title(f"ever deeper into the {plate.label}")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
