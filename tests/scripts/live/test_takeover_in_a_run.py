"""`feelforward run` in a terminal: a person takes over, moves the arm, hands back, stops it."""

import os
import pty
import re
import select
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.control.record import EpisodeRecord
from robot_io.control.replay import replay
from robot_io.types import POLICY, TELEOP, ActionChunk
from scripts.cli import main
from scripts.robot import load_robot

CLOCK = MonotonicClock()


@dataclass
class Desk:
    """A person at a terminal in which a command runs."""

    process_id: int
    terminal: int
    seen: str = ""

    def watch(self, seconds: float) -> None:
        end_ns = CLOCK.now_ns() + round(seconds * NS_PER_S)
        while (left_ns := end_ns - CLOCK.now_ns()) > 0:
            ready, _, _ = select.select([self.terminal], [], [], left_ns / NS_PER_S)
            if ready:
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")

    def type_until(self, keys: bytes, words: str, *, limit_s: float = 60.0) -> None:
        """Types again and again, until the words appear."""
        begin, end_ns = len(self.seen), CLOCK.now_ns() + round(limit_s * NS_PER_S)
        while words not in self.seen[begin:]:
            assert CLOCK.now_ns() < end_ns, self.seen
            os.write(self.terminal, keys)
            self.watch(0.2)

    def exit_code(self, *, limit_s: float = 60.0) -> int:
        end_ns = CLOCK.now_ns() + round(limit_s * NS_PER_S)
        while CLOCK.now_ns() < end_ns:
            ended, status = os.waitpid(self.process_id, os.WNOHANG)
            if ended:
                self.process_id = 0
                return os.waitstatus_to_exitcode(status)
            try:
                self.watch(0.05)
            except OSError:  # it has closed the terminal
                CLOCK.sleep_until(CLOCK.now_ns() + 50 * NS_PER_MS)
        raise AssertionError(self.seen)


@contextmanager
def desk(*arguments: str) -> Iterator[Desk]:
    """Its terminal controls the command, as a person's does."""
    process_id, terminal = pty.fork()
    if process_id == 0:
        os.execv(sys.executable, [sys.executable, "-m", "scripts.cli", *arguments])
    at = Desk(process_id, terminal)
    try:
        yield at
    finally:
        if at.process_id:
            os.kill(at.process_id, 9)
            os.waitpid(at.process_id, 0)
        os.close(terminal)


def assert_no_bump(record: EpisodeRecord) -> None:
    """Where no tick was missed: the velocity changes by what the gate's acceleration allows."""
    gate = load_robot().gate
    period_ns = round(gate.period_s * NS_PER_S)
    step_N3 = np.diff(record.sent_ND[:, :3], axis=0)
    change_N = np.linalg.norm(np.diff(step_N3, axis=0), axis=1)
    period_N = np.diff(record.stamp_ns_N)
    even_N = (period_N[1:] == period_ns) & (period_N[:-1] == period_ns)
    assert even_N.mean() > 0.5
    assert change_N[even_N].max() <= gate.max_accel_m_per_s2 * gate.period_s**2 * (1 + 1e-5) + 1e-9


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_person_takes_over_moves_the_arm_hands_back_and_stops_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with desk("run", "--episodes", "3", "--record", str(folder)) as at:
        before = termios.tcgetattr(at.terminal)
        at.type_until(b"", "Keys: space software stop")
        assert not termios.tcgetattr(at.terminal)[3] & termios.ECHO
        at.watch(1.5)
        at.type_until(b"t", "the arm is taken over")
        for _ in range(40):
            os.write(at.terminal, b"\x1b[5~")  # page up
            at.watch(0.03)
        at.type_until(b"h", "The policy has the arm again")
        at.watch(1.0)
        os.write(at.terminal, b" ")
        assert at.exit_code() == 0
        assert termios.tcgetattr(at.terminal) == before
    assert re.search(r"stopped \(operator\), with help\D*1\D", at.seen)
    assert [path.name for path in folder.glob("*.npz")] == ["episode_100000.npz"], "none after it"

    record = EpisodeRecord.load(folder / "episode_100000.npz")
    led = [source for source in record.source_N.tolist() if source in (POLICY, TELEOP)]
    assert [who for k, who in enumerate(led) if k == 0 or who != led[k - 1]] == [
        POLICY,
        TELEOP,
        POLICY,
    ]
    z_N = record.sent_ND[record.source_N == TELEOP, 2]
    assert z_N[-1] - z_N.min() > 0.02
    assert_no_bump(record)
    taken = list(record.messages())
    outcomes = {
        source: {
            each.outcome
            for each in taken
            if isinstance(each.message, ActionChunk) and each.message.source == source
        }
        for source in (POLICY, TELEOP)
    }
    assert outcomes[POLICY] >= {"accepted", "taken_over"}
    assert "accepted" in outcomes[TELEOP]
    requests = [type(each.message) for each in taken if each.outcome == "accepted"]
    assert {wire.TakeOver, wire.HandBack, wire.Stop} <= set(requests)
    assert record.rung_N[-1] == "stopped"
    assert replay(record).first is None
    main(["replay", str(folder)])
    assert "bit-identical" in capsys.readouterr().out
