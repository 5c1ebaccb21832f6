"""One episode of the control process, tick by tick, with real sockets and no process."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zmq
from transport_parts import CONTROL

from robot_io import wire
from robot_io.clock import NS_PER_S, VirtualClock
from robot_io.control.controller import Controller
from robot_io.control.loop import Rung, Tick
from robot_io.control.record import EpisodeLog
from robot_io.control.replay import replay
from robot_io.devices.fake import HOME_ROW, FakeArm
from robot_io.session.control import BRAKE_NS, _Episode
from robot_io.session.watchdog import NO_TARGET, REQUESTED
from robot_io.types import POLICY, TELEOP, ActionChunk, ArmState, Command, MonoNs

PERIOD_NS = CONTROL.period_ns


@dataclass
class Bench:
    """An episode, its arm, a policy's socket into it and a listener's out of it."""

    episode: _Episode
    arm: FakeArm
    clock: VirtualClock  # of the arm
    policy: zmq.Socket
    inbox: zmq.Socket
    listener: zmq.Socket
    due_ns: int

    def send(self, *data: bytes) -> None:
        for message in data:
            self.policy.send(message)
        assert self.inbox.poll(1000)
        time.sleep(0.02)  # the rest of them

    def tick(self, due_ns: int | None = None) -> Tick:
        """Now, or when it was due."""
        self.due_ns = due_ns if due_ns is not None else time.monotonic_ns()
        self.clock.sleep_until(self.due_ns)
        return self.episode.tick(self.due_ns)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = VirtualClock(time.monotonic_ns())
    with zmq.Context() as context, FakeArm(clock=clock) as arm:
        inbox = wire.listen(context, zmq.PULL, tmp_path / "inbox.sock")
        policy = wire.connect(context, zmq.PUSH, tmp_path / "inbox.sock")
        feedback = wire.listen(context, zmq.PUB, tmp_path / "feedback.sock")
        listener = wire.connect(context, zmq.SUB, tmp_path / "feedback.sock")
        begin_ns = time.monotonic_ns()
        controller, log = Controller(CONTROL, begin_ns), EpisodeLog(CONTROL, begin_ns)
        episode = _Episode(controller, log, arm, inbox, feedback)
        yield Bench(episode, arm, clock, policy, inbox, listener, begin_ns)
        context.destroy()


def chunk(
    chunk_id: int,
    observed_ns: int | None = None,
    *,
    source: str = POLICY,
    speed_m_per_s: float = 0.0,
) -> bytes:
    stamp_ns = MonoNs(time.monotonic_ns() if observed_ns is None else observed_ns)
    rows = np.tile(HOME_ROW, (8, 1))
    rows[:, 1] += speed_m_per_s * 0.1 * np.arange(8)
    return wire.encode(ActionChunk(chunk_id, stamp_ns, stamp_ns, 100_000_000, rows, source=source))


def moving(bench: Bench) -> int:
    """Starts at 0.3 m/s; returns when the last tick was due."""
    bench.send(chunk(1, speed_m_per_s=0.3))
    begin_ns = time.monotonic_ns()
    for tick in range(30):
        bench.tick(begin_ns + tick * PERIOD_NS)
    return bench.due_ns


def test_chunks_that_arrive_in_the_same_tick_leave_no_gap(bench: Bench) -> None:
    bench.send(chunk(1))
    assert bench.tick().rung is Rung.PLAN
    bench.send(chunk(2), chunk(3))
    tick = bench.tick()
    assert tick.rung is Rung.PLAN
    assert tick.command.provenance.chunk_id == 3


def test_a_chunk_of_the_last_episode_is_not_executed(bench: Bench) -> None:
    bench.send(chunk(1, observed_ns=bench.due_ns - 1))
    assert bench.tick().rung is Rung.HOLD


def test_garbage_in_the_inbox_is_dropped_and_what_follows_is_taken(bench: Bench) -> None:
    bench.send(b"\x80\x04pickled?", chunk(1)[:-9], chunk(2))
    assert bench.tick().command.provenance.chunk_id == 2


def test_a_stop_in_the_inbox_is_latched(bench: Bench) -> None:
    bench.send(chunk(1), wire.encode(wire.Stop("tired")))
    assert bench.tick().rung is Rung.STOPPED
    bench.send(chunk(2))
    assert bench.tick().verdict.reasons == ("tired",)
    assert bench.episode.stopped


def test_a_latched_stop_is_the_arms_own_as_soon_as_it_is_braked_to_rest(bench: Bench) -> None:
    due_ns = moving(bench)
    bench.send(wire.encode(wire.Stop("tired")))
    ticks = []
    while not bench.arm.stops and len(ticks) < 50:
        due_ns += PERIOD_NS
        ticks.append(bench.tick(due_ns))
    y_N = np.array([tick.verdict.row_D[1] for tick in ticks])
    assert {tick.rung for tick in ticks} == {Rung.STOPPED}
    assert y_N[2] - y_N[0] > 1e-3  # braking, not at rest
    assert (np.diff(y_N) != 0).tolist() == [True] * (len(y_N) - 2) + [False]
    bench.tick(due_ns + PERIOD_NS)
    assert bench.episode.at_rest
    assert (bench.episode.arm_stopped_by, bench.arm.stops) == (REQUESTED, 1)


def test_a_stop_that_somebody_pushes_on_is_the_arms_own_after_all(bench: Bench) -> None:
    begin_ns = due_ns = moving(bench)
    bench.send(wire.encode(wire.Stop("tired")))
    push, bench.arm.command = bench.arm.command, lambda row_D: None  # type: ignore[method-assign]
    while not bench.arm.stops and due_ns < begin_ns + 2 * BRAKE_NS:
        pushed_8 = np.array(HOME_ROW)
        pushed_8[1] += 0.5 + (due_ns - begin_ns) / NS_PER_S
        push(pushed_8)
        due_ns += PERIOD_NS
        bench.tick(due_ns)
    assert due_ns == begin_ns + PERIOD_NS + BRAKE_NS


def test_an_arm_that_has_stopped_itself_latches_ours_and_the_record_says_so(bench: Bench) -> None:
    bench.send(chunk(1))
    assert bench.tick().rung is Rung.PLAN
    bench.arm.stopped_by = NO_TARGET
    tick = bench.tick()
    assert (tick.rung, tick.verdict.reasons) == (Rung.STOPPED, (NO_TARGET,))
    bench.send(chunk(2))
    assert bench.tick().rung is Rung.STOPPED
    record = bench.episode.log.record()
    assert [m.message for m in record.messages() if isinstance(m.message, wire.Stop)] == [
        wire.Stop(NO_TARGET)
    ]
    assert replay(record).first is None


def test_a_persons_chunk_is_not_taken_for_the_policys_of_the_same_number(bench: Bench) -> None:
    bench.send(chunk(1))
    bench.tick()
    assert [use.chunk_id for use in bench.episode.use.stamps] == [1]
    bench.send(chunk(2), wire.encode(wire.TakeOver(MonoNs(time.monotonic_ns()))))
    bench.send(chunk(2, source=TELEOP))
    assert bench.tick().command.provenance.source == TELEOP
    assert [use.chunk_id for use in bench.episode.use.stamps] == [1]


def test_everybody_hears_the_measurement_what_was_sent_and_the_plan(bench: Bench) -> None:
    for number in range(1, 500):  # until the listener is connected
        bench.send(chunk(number, observed_ns=bench.due_ns))
        bench.tick()
        if bench.listener.poll(1):
            break
    heard = []
    while len(heard) < 4 and bench.listener.poll(1000):
        heard.append(wire.receive(bench.listener))
    by_kind = {type(message): message for message in heard}
    assert by_kind.keys() == {ArmState, Command, ActionChunk, wire.Note}
    verdict, sent = by_kind[wire.Note], by_kind[Command]
    assert isinstance(verdict, wire.Note) and isinstance(sent, Command)
    assert verdict.values["sequence"] == sent.sequence
    assert (verdict.values["rung"], verdict.values["verdict"]) == ("plan", "accepted")


def test_a_stall_skips_ticks_and_counts_them(bench: Bench) -> None:
    now_ns = time.monotonic_ns()
    assert bench.episode.next_due_ns(now_ns, 10**12) == now_ns + 10**12
    assert bench.episode.missed_ticks == 0
    stalled_ns = now_ns - 35 * PERIOD_NS // 10
    next_ns = bench.episode.next_due_ns(stalled_ns, PERIOD_NS)
    assert (next_ns - stalled_ns) % PERIOD_NS == 0
    assert next_ns > now_ns
    assert bench.episode.missed_ticks == (next_ns - stalled_ns) // PERIOD_NS - 1 >= 3
