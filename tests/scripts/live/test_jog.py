"""From keys to chunks: a key moves the tool a little, held keys steadily, none brings rest."""

import numpy as np
import pytest

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.rows import ToolRows, rotvec_between
from robot_io.types import TELEOP, ActionChunk, Command, MonoNs, Provenance
from scripts.live.jog import (
    ACCEL_M_PER_S2,
    HOLD_S,
    MOTIONS,
    OPENING_M_PER_S,
    SPEED_M_PER_S,
    TURN_RAD_PER_S,
    Jog,
)

HOME = np.array([0.45, 0.0, 0.30, 0.0, 1.0, 0.0, 0.0, 0.04])
PERIOD_NS = 10 * NS_PER_MS
LAG_TICKS = 4  # until a command that was sent has come to the keys, and their chunk to the arm
REPEAT_NS = 40 * NS_PER_MS


def command(due_ns: int, row_D: np.ndarray) -> Command:
    return Command(1, MonoNs(due_ns), row_D, Provenance("policy"))


class Arm:
    """Follows a policy, then the chunks of a jog, through a buffer as the control process's."""

    def __init__(self, *, speed_m_per_s: float = 0.0) -> None:
        self.jog = Jog()
        self.buffer = CommandBuffer(ToolRows(), max_age_ns=NS_PER_S, seam_ns=100 * NS_PER_MS)
        along = np.array([speed_m_per_s, *[0.0] * 7])
        row_HD = np.stack([HOME + along * 0.1 * h for h in range(16)])
        plan = ActionChunk(1, MonoNs(0), MonoNs(0), 100 * NS_PER_MS, row_HD)
        assert self.buffer.splice(plan, 0).accepted
        rows = [HOME + along * 0.01 * k for k in range(LAG_TICKS + 2)]
        self.sent = [command(k * PERIOD_NS, row_D) for k, row_D in enumerate(rows)]

    @property
    def now_ns(self) -> int:
        return self.sent[-1].due_ns + PERIOD_NS

    def run(self, seconds: float, *, hold: str | None = None) -> None:
        """`hold` is a motion whose key is held; a new chunk comes every other tick."""
        begin_ns = pressed_ns = self.now_ns
        for tick in range(round(seconds * NS_PER_S / PERIOD_NS)):
            if hold is not None and self.now_ns - pressed_ns >= (tick > 0) * REPEAT_NS:
                pressed_ns = self.now_ns
                self.jog.press(hold, pressed_ns)
            self.jog.sent(self.sent[-LAG_TICKS])
            chunk = self.jog.chunk(self.now_ns - 20 * NS_PER_MS)
            if tick % 2 == 0 and chunk is not None:
                assert self.buffer.splice(chunk, self.now_ns).accepted
            planned = self.buffer.sample(self.now_ns)
            row_D = self.sent[-1].row_D if planned is None else planned.row_D
            self.sent.append(command(self.now_ns, row_D))
        assert begin_ns < self.now_ns

    def velocity(self) -> np.ndarray:
        """Of the last tick: m/s, rad/s, opening m/s (7,)."""
        a_D, b_D = (each.row_D for each in self.sent[-2:])
        turned_3 = rotvec_between(a_D[3:7], b_D[3:7])
        return np.array([*(b_D - a_D)[:3], *turned_3, b_D[7] - a_D[7]]) * NS_PER_S / PERIOD_NS

    def accels_m_per_s2(self) -> np.ndarray:
        position_N3 = np.stack([each.row_D[:3] for each in self.sent])
        return np.linalg.norm(np.diff(position_N3, 2, axis=0), axis=1) / (PERIOD_NS / NS_PER_S) ** 2


SPEEDS = [SPEED_M_PER_S] * 3 + [0, 0, TURN_RAD_PER_S, OPENING_M_PER_S]


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_key_that_is_held_moves_its_part_at_a_modest_speed_and_nothing_else(motion: str) -> None:
    arm = Arm()
    arm.run(0.6, hold=motion)
    column, velocity = MOTIONS[motion]
    wanted_V = np.zeros(7)
    wanted_V[column] = velocity
    assert arm.velocity() == pytest.approx(wanted_V, abs=5e-3)
    assert abs(velocity) == SPEEDS[column]


def test_without_keys_the_arm_stays_where_it_was_told_to_be() -> None:
    arm = Arm()
    arm.run(1.0)
    assert arm.buffer.sample(arm.now_ns) is not None, "somebody has it all the same"
    assert arm.sent[-1].row_D == pytest.approx(HOME, abs=1e-12)


def test_one_press_is_a_small_step_that_ends_at_rest() -> None:
    arm = Arm()
    arm.run(0.1)
    arm.jog.press("y+", arm.now_ns)
    arm.run(0.8)
    assert 0.005 < arm.sent[-1].row_D[1] < 1.5 * SPEED_M_PER_S * HOLD_S
    assert arm.velocity() == pytest.approx(np.zeros(7), abs=1e-6)


def test_a_released_key_stops_acting_even_if_no_more_chunks_come() -> None:
    arm = Arm()
    arm.run(0.6, hold="x+")
    chunk = arm.jog.chunk(arm.now_ns)
    assert chunk is not None
    assert (chunk.start_ns + 4 * chunk.step_ns - arm.now_ns) <= 0.2 * NS_PER_S
    arm.jog.press("x+", arm.now_ns - round(HOLD_S * NS_PER_S))
    late = arm.jog.chunk(arm.now_ns)
    assert late is not None
    assert np.abs(np.diff(late.row_HD[-2:, 0])).max() < 1e-4


def test_keys_held_together_move_together_and_opposite_ones_cancel() -> None:
    arm = Arm()
    for motion in ("x+", "z-", "yaw+", "yaw-"):
        arm.jog.press(motion, arm.now_ns + 3 * NS_PER_S)  # held for long
    arm.run(0.5)
    wanted_V = SPEED_M_PER_S * np.array([1, 0, -1, 0, 0, 0, 0])
    assert arm.velocity() == pytest.approx(wanted_V, abs=1e-3)


def test_a_moving_arm_is_taken_at_its_speed_and_brought_to_rest() -> None:
    arm = Arm(speed_m_per_s=0.3)
    arm.run(1.0)
    assert arm.velocity() == pytest.approx(np.zeros(7), abs=1e-6)
    x_N = np.array([each.row_D[0] for each in arm.sent])
    assert (np.diff(x_N) >= -1e-4).all(), "it does not swing back"
    assert arm.accels_m_per_s2().max() < 3.1 * ACCEL_M_PER_S2


def test_a_chunk_begins_where_the_arm_was_told_to_be_last() -> None:
    jog = Jog()
    assert jog.chunk(0) is None
    jog.sent(command(0, HOME))
    assert jog.chunk(5) is None
    leashed = HOME + np.array([0.01, *[0.0] * 7])
    jog.sent(command(PERIOD_NS, leashed))
    chunk = jog.chunk(30 * NS_PER_MS)
    assert chunk is not None
    assert (chunk.source, chunk.observed_ns, chunk.start_ns) == (TELEOP, 30_000_000, PERIOD_NS)
    assert np.array_equal(chunk.row_HD[0], leashed)
    assert ToolRows().fault(chunk.row_HD) is None
    following = jog.chunk(40 * NS_PER_MS)
    assert following is not None and following.chunk_id == chunk.chunk_id + 1


def test_the_hand_is_not_asked_to_close_beyond_closed() -> None:
    arm = Arm()
    arm.run(2.0, hold="hand-")
    assert 0.0 <= arm.sent[-1].row_D[7] < 1e-6
