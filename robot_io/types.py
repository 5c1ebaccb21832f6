"""The nouns that cross a boundary.

Units: m, rad, N, N·m. Stamps: int ns, host monotonic (`robot_io.clock`).
Legend: H rows of a chunk, D width of a row, T steps of history, HWC image.

A *row* is one action: for a tool it is `x y z qw qx qy qz width` (D = 8: tool pose in the base
frame and gripper opening, m), for low-dimensional tasks a plain vector. `robot_io.rows` knows how
to interpolate and compare rows of either kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

import numpy as np

MonoNs = NewType("MonoNs", int)

POLICY, TELEOP = "policy", "teleop"  # who may make chunks


@dataclass(frozen=True, slots=True)
class ArmState:
    """What the arm measured at `stamp_ns`."""

    stamp_ns: MonoNs
    row_D: np.ndarray  # measured, in the layout of a command row: tool pose in base, width
    joint_rad_J: np.ndarray  # joint angles; empty where there are none
    wrench_6: np.ndarray | None = None  # on the tool, base frame: N, N·m; None: does not measure


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a camera or tactile sensor."""

    stream: str
    sequence: int  # counts exposures; a frozen camera repeats it
    exposed_ns: MonoNs
    received_ns: MonoNs
    image_HWC: np.ndarray  # uint8, RGB


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """A plan: row h is due at `start_ns + h * step_ns`."""

    chunk_id: int
    observed_ns: MonoNs  # newest observation the policy saw
    start_ns: MonoNs
    step_ns: int
    row_HD: np.ndarray
    estimated_delay_rows: int | None = None  # the policy took so many for executed on arrival
    source: str = POLICY  # or TELEOP: a person at a device


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a command came from."""

    source: str  # "policy", "expert", "teleop", "hold", ...
    chunk_id: int | None = None
    row: int | None = None  # index within the chunk of the row that is due next
    observed_ns: MonoNs | None = None  # newest observation behind the command
    estimated_delay_rows: int | None = None  # of its chunk, as the policy assumed
    actual_delay_rows: int | None = None  # of its chunk: rows that were due when it arrived


@dataclass(frozen=True, slots=True)
class Command:
    """One tick's target for the arm."""

    sequence: int
    due_ns: MonoNs
    row_D: np.ndarray
    provenance: Provenance


class VerdictKind(Enum):
    ACCEPTED = "accepted"
    MODIFIED = "modified"
    HOLD = "hold"
    STOPPED = "stopped"  # latched: only a human act ends it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate made of a command. `row_D` is what may go to the arm."""

    kind: VerdictKind
    row_D: np.ndarray
    reasons: tuple[str, ...] = ()  # codes of `robot_io.gate.reasons`
    moved_m: float = 0.0  # how far the gate moved the command
    turned_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """What is planned already where a new plan begins: row k is due at `observed_ns + k * step_ns`.

    new plan   0   1   2   3   4   5   6   7   8   9
    leftover   0   1   2   3   4   5   6                 K = 7, delay_rows = 2: rows 0 and 1
               ╰executed╯                                will be executed before it arrives
    """

    row_KD: np.ndarray  # K >= 1
    delay_rows: int  # estimated, in [0, K]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy sees: the last steps of every stream, oldest first, newest last.

    Histories are sampled at `observed_ns - k * step_ns`; before the first sample of a session
    they repeat that first sample. Beside them lies what is still planned.
    """

    observed_ns: MonoNs
    vectors: Mapping[str, np.ndarray]  # name -> (T, D) float64, e.g. "measured", "commanded"
    images: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> (T, H, W, C) uint8
    leftover: Leftover | None = None  # none before the first plan, and after the last one's end
