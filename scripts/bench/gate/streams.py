"""Hostile streams for `bench gate`: what a broken policy, a broken sensor and a bad day send.

A stretch is a row of segments of 5 to 80 ticks; each draws how commands, measured states, stamps
and other people behave. Honest segments lie between the hostile ones, since what is to be shown is
also that the gate finds back. All of it follows from one seed. Units: m, rad, s; stamps ns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan
from random import Random
from typing import Any

import numpy as np

from robot_io import so3
from robot_io.so3 import Vector
from scripts.bench.gate.arms import NOTHING, Disturbance

START = np.array([0.45, 0.0, 0.30, 0.0, 1.0, 0.0, 0.0, 0.04])
NS_PER_MS = 1_000_000
JOINTS = (None, None, np.full(7, nan), np.zeros(3), "joints")
LIGHT_TOUCH = np.array([1.0, -2.0, 3.0, 0.1, 0.0, -0.1])
HUGE = (nan, inf, -inf, 1e300, -1e300, 1.7e308, 5e-324, -5e-324, 0.0, 1e-310)
BROKEN: tuple[Callable[[np.ndarray], Any], ...] = (
    lambda row_8: "row",
    lambda row_8: b"\0" * 64,
    lambda row_8: 3.0,
    lambda row_8: {"row": row_8},
    lambda row_8: row_8.tolist(),
    lambda row_8: tuple(row_8),
    lambda row_8: row_8[:7],
    lambda row_8: row_8[None],
    lambda row_8: row_8.reshape(2, 4),
    lambda row_8: np.concatenate([row_8, row_8]),
    lambda row_8: np.empty(0),
    lambda row_8: np.zeros((8, 8)),
    lambda row_8: np.float64(0.3),
    lambda row_8: row_8.astype(int),
    lambda row_8: row_8.astype(object),
    lambda row_8: row_8.astype(complex),
    lambda row_8: row_8.astype(str),
    lambda row_8: row_8 > 0,
    lambda row_8: np.zeros(8),
    lambda row_8: np.full(8, nan),
)
LEGAL_SHARE = 0.8  # of the speed, in honest segments; of acceleration and jerk half of that


@dataclass(frozen=True, slots=True)
class Frame:
    """What the streams must know of the limits, to be honest within them and hostile about them."""

    period_ms: int
    low_m: Vector
    high_m: Vector
    speed: tuple[float, float]  # m/s, rad/s
    accel: tuple[float, float]
    jerk: tuple[float, float]  # inf where there is no such limit
    max_age_s: float
    max_width_m: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One tick of a stream."""

    ms: int  # that go by before it; 0: the tick is called twice for the same moment
    back_ms: int  # its stamp lies so far in the past; then no time goes by either
    row: Any  # None: no command in this tick
    sequence: Any
    age_s: float  # of the command's due stamp
    measured: Any  # what the gate is told; None: the truth
    joints: Any  # likewise
    wrench: Any  # that the arm says to feel: N, N·m
    truthful: bool  # the gate is told where the arm is
    event: str | None  # "stop", "release", "release_blind"
    disturbance: Disturbance
    mood: str  # for people: what is going on


RowMaker = Callable[[], Any]


class HostileStream:
    """Call `tick` once per tick with what the gate gave last and where the arm is."""

    def __init__(self, frame: Frame, seed: Sequence[int]) -> None:
        self._frame = frame
        self._random = Random("/".join(str(part) for part in seed))
        self._given_8 = self._measured_8 = self._frozen_8 = START
        self._left = 0
        self._sequence = 0
        self._stopped = False
        self._moods: tuple[str, str, str] = ("", "", "")
        self._row: RowMaker = self._still()
        self._disturbance = NOTHING

    def tick(self, given_8: np.ndarray, measured_8: np.ndarray, *, stopped: bool) -> Asked:
        """`given_8` float64, finite: what the arm follows now."""
        self._given_8, self._measured_8, self._stopped = given_8, measured_8, stopped
        if self._left == 0:
            self._new_segment()
        self._left -= 1
        ms, back_ms = self._time()
        row = self._row()
        measured, joints, truthful = self._told()
        sequence, age_s = self._label()
        return Asked(
            ms=ms,
            back_ms=back_ms,
            row=row,
            sequence=sequence,
            age_s=age_s,
            measured=measured,
            joints=joints,
            wrench=self._wrench(),
            truthful=truthful,
            event=self._event(),
            disturbance=self._disturbance,
            mood="/".join(self._moods),
        )

    def _new_segment(self) -> None:
        random = self._random
        self._left = random.randint(5, 80)
        rows = {
            "glide": (self._glide, 6), "still": (self._still, 1), "step": (self._step, 3),
            "walk": (self._walk, 2), "flip": (self._flip, 1), "deeper": (self._deeper, 3),
            "edge": (self._edge, 2), "garbage": (self._garbage, 2), "scale": (self._scale, 1),
            "narrow": (self._narrow, 1), "none": (self._none, 1), "mixed": (self._mixed, 2),
        }  # fmt: skip
        row = random.choices(list(rows), [weight for _, weight in rows.values()])[0]
        told = random.choices(["true", "frozen", "noisy", "garbage", "jump"], [80, 6, 6, 6, 2])[0]
        time = random.choices(["even", "uneven", "twice", "back", "mislabelled"], [76, 8, 4, 4, 8])[
            0
        ]
        self._moods = (row, told, time)
        self._frozen_8 = self._measured_8
        self._disturbance = self._somebody()
        self._row = rows[row][0]()

    # ---- time, labels, people

    def _time(self) -> tuple[int, int]:
        random, period_ms, mood = self._random, self._frame.period_ms, self._moods[2]
        if mood == "uneven":
            return random.choice([1, 5, 9, 10, 11, 20, 35, 400]), 0
        if mood == "twice" and random.random() < 0.3:
            return 0, 0
        if mood == "back" and random.random() < 0.3:
            return 0, random.choice([1, 10, 50, 100_000])
        return period_ms, 0

    def _label(self) -> tuple[Any, float]:
        random, age_s = self._random, self._frame.max_age_s
        if self._moods[2] == "mislabelled":
            if random.random() < 0.3:
                return random.choice([self._sequence, self._sequence - 7, -1, nan, -inf]), 0.0
            self._sequence += random.choice([1, 1, 1000])
            late = [0.0, 0.9 * age_s, 1.2 * age_s, -0.9 * age_s, -1.2 * age_s, 1e9, -1e9]
            return self._sequence, random.choice([*late, nan, inf, -inf])
        self._sequence += 1
        return self._sequence, 0.0

    def _event(self) -> str | None:
        draw = self._random.random()
        if not self._stopped:
            return "stop" if draw < 0.002 else None
        return "release" if draw < 0.02 else "release_blind" if draw < 0.025 else None

    def _somebody(self) -> Disturbance:
        random = self._random
        draw = random.random()
        if draw < 0.15:
            way = np.array([random.gauss(0, 1) for _ in range(3)])
            way *= random.uniform(10, 80) / np.linalg.norm(way)
            return Disturbance(way)
        if draw < 0.35:
            return Disturbance(np.zeros(3), random.randrange(3), random.random() < 0.5)
        return NOTHING

    def _told(self) -> tuple[Any, Any, bool]:
        """Row and joints that are told (None: the truth), and whether both are true."""
        random, mood = self._random, self._moods[1]
        if mood == "frozen":
            return self._frozen_8, None, False
        if mood == "noisy":
            noisy_8 = self._measured_8.copy()
            noisy_8[:3] += [random.gauss(0, 0.001) for _ in range(3)]
            return noisy_8, None, False
        if mood == "garbage" and random.random() < 0.5:
            return self._broken(self._measured_8), random.choice(JOINTS), False
        if mood == "jump" and random.random() < 0.1:
            return self._anywhere(), None, False
        return None, None, True

    def _wrench(self) -> Any:
        """Mostly a light touch; rarely too much, or nothing that could be read."""
        random, draw = self._random, self._random.random()
        if draw < 0.002:
            return random.choice([None, np.full(6, nan), np.zeros(3), "wrench", np.full(6, inf)])
        if draw < 0.003:
            return np.array([random.gauss(0, 100) for _ in range(6)])
        return LIGHT_TOUCH

    # ---- commands: each returns what makes one row per tick of a segment

    def _still(self) -> RowMaker:
        row_8 = self._given_8.copy()
        return lambda: row_8

    def _none(self) -> RowMaker:
        return lambda: None

    def _glide(self) -> RowMaker:
        """Minimum-jerk motion from here to a place inside, within every limit."""
        begin_8, goal_8 = self._given_8.copy(), self._inside()
        w, x, y, z = begin_8[3:7].tolist()
        turn = tuple(self._random.uniform(-0.5, 0.5) for _ in range(3))
        far = float(np.linalg.norm(goal_8[:3] - begin_8[:3])), so3_norm(turn)
        lasts_s = max(0.3, *(self._shortest_s(axis, far[axis]) for axis in (0, 1)))
        period_s, tick = self._frame.period_ms / 1000, 0

        def row() -> np.ndarray:
            nonlocal tick
            tick += 1
            u = min(tick * period_s / lasts_s, 1.0)
            share = u * u * u * (10 - 15 * u + 6 * u * u)
            row_8 = begin_8 + share * (goal_8 - begin_8)
            part = (turn[0] * share, turn[1] * share, turn[2] * share)
            row_8[3:7] = so3.multiply(so3.exponential(part), (w, x, y, z))
            return row_8

        return row

    def _shortest_s(self, axis: int, far: float) -> float:
        """Peaks of a minimum-jerk motion: 1.875 d/T, 5.774 d/T², 60 d/T³."""
        frame = self._frame
        return max(
            1.875 * far / (LEGAL_SHARE * frame.speed[axis]),
            (5.774 * far / (LEGAL_SHARE / 2 * frame.accel[axis])) ** 0.5,
            (60 * far / (LEGAL_SHARE / 2 * frame.jerk[axis])) ** (1 / 3),
        )

    def _step(self) -> RowMaker:
        row_8 = self._anywhere()
        return lambda: row_8

    def _walk(self) -> RowMaker:
        row_8, size_m = self._given_8.copy(), 10 ** self._random.uniform(-4, -1)

        def row() -> np.ndarray:
            nonlocal row_8
            row_8 = self._turned(row_8, size_m * 5)
            row_8[:3] += [self._random.gauss(0, size_m) for _ in range(3)]
            return row_8

        return row

    def _flip(self) -> RowMaker:
        """There and back at every tick, also half turns and the other sign of a quaternion."""
        ways = [self._anywhere(), self._given_8.copy()]
        ways += [self._signed(ways[0]), self._signed(ways[1])]
        return lambda: self._random.choice(ways)

    def _deeper(self) -> RowMaker:
        """Ever further in one direction, at up to three times the speed limit."""
        way = np.array([self._random.gauss(0, 1) for _ in range(3)])
        way *= self._random.uniform(0.1, 3) * self._frame.speed[0] / np.linalg.norm(way)
        row_8, period_s = self._given_8.copy(), self._frame.period_ms / 1000

        def row() -> np.ndarray:
            nonlocal row_8
            row_8 = row_8.copy()
            row_8[:3] += way * period_s
            return row_8

        return row

    def _edge(self) -> RowMaker:
        """As far as a limit allows and a little less or more: position, then speed."""
        row_8, sign = self._given_8.copy(), self._random.choice([-1, 1])
        axis, period_s = self._random.randrange(3), self._frame.period_ms / 1000
        factor = self._random.choice([1 - 1e-7, 1.0, 1 + 1e-7, 1 + 1e-4, 1.01])
        accel_m, speed_m = self._frame.accel[0] * period_s**2, self._frame.speed[0] * period_s
        step_m = 0.0

        def row() -> np.ndarray:
            nonlocal row_8, step_m
            step_m = min(step_m + accel_m * factor, speed_m * factor)
            row_8 = row_8.copy()
            row_8[axis] += sign * step_m
            return row_8

        return row

    def _garbage(self) -> RowMaker:
        return lambda: self._broken(self._given_8)

    def _scale(self) -> RowMaker:
        """Quaternions that are not quite unit, or not at all."""

        def row() -> np.ndarray:
            row_8 = self._turned(self._given_8, 0.01)
            row_8[3:7] *= self._random.choice([1 + 1e-9, 0.9995, 1.0005, 1.01, 0.99, 0.5, -1.0, 0])
            return row_8

        return row

    def _narrow(self) -> RowMaker:
        """A smooth motion in floats of another size."""
        glide, kind = self._glide(), self._random.choice(["f2", "f4", "g"])
        return lambda: glide().astype(kind)

    def _mixed(self) -> RowMaker:
        makers = [self._glide(), self._step(), self._walk(), self._garbage(), self._none()]
        return lambda: self._random.choice(makers)()

    # ---- rows

    def _inside(self) -> np.ndarray:
        frame, random, row_8 = self._frame, self._random, self._given_8.copy()
        for axis, (low, high) in enumerate(zip(frame.low_m, frame.high_m, strict=True)):
            row_8[axis] = random.uniform(low + 0.02, high - 0.02)
        row_8[7] += random.uniform(-0.01, 0.01)
        row_8[7] = min(max(row_8[7], 0.0), frame.max_width_m)
        return row_8

    def _anywhere(self) -> np.ndarray:
        random = self._random
        row_8 = self._turned(self._inside(), random.choice([0.1, 3.0]))
        if random.random() < 0.5:
            row_8[:3] += [random.gauss(0, random.choice([0.1, 1.0, 100.0])) for _ in range(3)]
        row_8[7] = random.uniform(-0.05, 0.15)
        return row_8

    def _turned(self, row_8: np.ndarray, size_rad: float) -> np.ndarray:
        x, y, z = (self._random.gauss(0, size_rad) for _ in range(3))
        turned_8 = row_8.copy()
        qw, qx, qy, qz = row_8[3:7].tolist()
        turned_8[3:7] = so3.multiply(so3.exponential((x, y, z)), (qw, qx, qy, qz))
        return turned_8

    @staticmethod
    def _signed(row_8: np.ndarray) -> np.ndarray:
        signed_8 = row_8.copy()
        signed_8[3:7] *= -1
        return signed_8

    def _broken(self, row_8: np.ndarray) -> Any:
        """Something that is no row, or a row with a number that no row should have."""
        random = self._random
        if random.random() < 0.6:
            broken_8 = row_8.copy()
            for _ in range(random.choice([1, 1, 2, 8])):
                broken_8[random.randrange(8)] = random.choice(HUGE)
            off = abs(float(np.linalg.norm(broken_8[3:7])) - 1)
            return broken_8 * nan if 5e-4 < off < 5e-3 else broken_8  # unit or not: not in doubt
        return random.choice(BROKEN)(row_8)


def so3_norm(turn: Sequence[float]) -> float:
    return float(np.linalg.norm(turn))
