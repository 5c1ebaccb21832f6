"""A person takes the arm from the policy and gives it back: no bump, one gate, all recorded."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from control_toys import (
    HOME,
    PERIOD_NS,
    STEP_NS,
    gate_limits,
    moved,
    smooth_plan,
    smooth_row,
    state,
)

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import HAND_OVER_NS, CommandBuffer
from robot_io.control.controller import MAX_LATE_NS, Controller
from robot_io.control.delay import PlanMirror
from robot_io.control.loop import LoopLimits, Tick
from robot_io.control.record import EpisodeLog, EpisodeRecord
from robot_io.control.replay import replay
from robot_io.control.spec import ControlSpec
from robot_io.rows import ToolRows, rotvec_between
from robot_io.session.timing import Outcome, Plans, timing_of
from robot_io.types import POLICY, TELEOP, ActionChunk, MonoNs

GATE = gate_limits()
CONTROL = ControlSpec(
    gate=GATE,
    loop=LoopLimits(stop_after_s=1.0, max_state_age_s=0.05),
    max_age_ns=2 * NS_PER_S,
    seam_ns=STEP_NS,
)
BEGIN_NS = 7 * NS_PER_S
TELEOP_STEP_NS = 50 * NS_PER_MS
DEVICE_M_PER_S = np.array([0.0, 0.1, 0.05])
Row = Callable[[float], np.ndarray]


class Bench:
    """A controller on a clock of its own; the arm follows. A policy and a person send chunks."""

    def __init__(self) -> None:
        self.controller = Controller(CONTROL, BEGIN_NS)
        self.log = EpisodeLog(CONTROL, BEGIN_NS)
        self.ticks: list[Tick] = []
        self.outcomes: list[str] = []
        self.measured = HOME
        self.chunks = 0
        self.origin_s = 0.0

    @property
    def due_ns(self) -> int:
        return BEGIN_NS + len(self.ticks) * PERIOD_NS

    def take(self, message: wire.Message) -> str:
        outcome = self.controller.take(message, self.due_ns)
        self.log.take(message, outcome)
        self.outcomes.append(outcome)
        return outcome

    def policy(self, *, observed_ms_ago: int = 60, rows: int = 16, path: Row = smooth_row) -> str:
        """A chunk of the motion that the policy has in mind, wherever the arm is."""
        observed_ns = self.due_ns - observed_ms_ago * NS_PER_MS
        begin_s = (observed_ns - BEGIN_NS) / NS_PER_S
        row_HD = np.stack([path(begin_s + 0.1 * h) for h in range(rows)])
        return self.take(self._chunk(observed_ns, observed_ns, STEP_NS, row_HD, POLICY))

    def person(self, velocity_m_per_s: np.ndarray = DEVICE_M_PER_S, *, rows: int = 4) -> str:
        """A chunk from the last sent row on, read from the device 5 ms ago."""
        last = self.ticks[-1]
        ahead_s = np.arange(rows) * TELEOP_STEP_NS / NS_PER_S
        row_HD = np.stack([moved(last.verdict.row_D, by_m=t * velocity_m_per_s) for t in ahead_s])
        observed_ns = self.due_ns - 5 * NS_PER_MS
        return self.take(self._chunk(observed_ns, last.stamp_ns, TELEOP_STEP_NS, row_HD, TELEOP))

    def take_over(self) -> str:
        return self.take(wire.TakeOver(MonoNs(self.due_ns - 6 * NS_PER_MS)))

    def hand_back(self) -> str:
        return self.take(wire.HandBack(MonoNs(self.due_ns - 6 * NS_PER_MS)))

    def tick(self, ticks: int = 1) -> Tick:
        for _ in range(ticks):
            here = state(self.due_ns - NS_PER_MS, self.measured)
            tick = self.controller.tick(self.due_ns, here)
            self.log.add(tick, here)
            self.ticks.append(tick)
            self.measured = tick.verdict.row_D
        return self.ticks[-1]

    def follow_policy(self, ticks: int) -> None:
        for k in range(ticks):
            if k % 10 == 0:
                assert self.policy() == "accepted"
            self.tick()

    def follow_person(self, ticks: int, **motion: np.ndarray) -> None:
        for k in range(ticks):
            if k % 3 == 0:
                assert self.person(**motion) == "accepted"
            self.tick()

    def led_by(self, ticks: int) -> list[str]:
        """The sources of the last commands."""
        return [tick.command.provenance.source for tick in self.ticks[-ticks:]]

    def rungs(self) -> list[str]:
        """In the order in which they were reached."""
        rungs = [tick.rung.value for tick in self.ticks]
        return [rung for k, rung in enumerate(rungs) if k == 0 or rung != rungs[k - 1]]

    def _chunk(
        self, observed_ns: int, start_ns: int, step_ns: int, row_HD: np.ndarray, source: str
    ) -> ActionChunk:
        self.chunks += 1
        stamps = (MonoNs(observed_ns), MonoNs(start_ns), step_ns)
        return ActionChunk(self.chunks, *stamps, row_HD, source=source)


@pytest.fixture
def bench() -> Bench:
    """The policy moves the arm."""
    bench = Bench()
    bench.tick(10)
    bench.follow_policy(120)
    assert speed_m_per_s(bench.ticks[-2:]) > 0.05
    return bench


def speed_m_per_s(ticks: list[Tick]) -> float:
    a_D, b_D = (tick.verdict.row_D for tick in ticks)
    return float(np.linalg.norm(b_D[:3] - a_D[:3])) * NS_PER_S / PERIOD_NS


def assert_no_bump(ticks: list[Tick]) -> None:
    """Position, and velocity within what the gate's acceleration allows, go on at every tick."""
    dt_s, slack = GATE.period_s, 1 + 1e-5
    sent = [tick.verdict.row_D for tick in ticks]
    step_N3 = np.diff(np.stack(sent)[:, :3], axis=0)
    turn_N3 = np.array([rotvec_between(a[3:7], b[3:7]) for a, b in pairwise(sent)])
    for parts_N3, speed, accel in [
        (step_N3, GATE.max_speed_m_per_s, GATE.max_accel_m_per_s2),
        (turn_N3, GATE.max_turn_rad_per_s, GATE.max_turn_accel_rad_per_s2),
    ]:
        assert np.linalg.norm(parts_N3, axis=1).max() <= speed * dt_s * slack
        change_N = np.linalg.norm(np.diff(parts_N3, axis=0), axis=1)
        assert change_N.max() <= accel * dt_s**2 * slack + 1e-9


def test_in_mid_chunk_the_arm_goes_over_from_policy_to_person_without_a_bump(bench: Bench) -> None:
    assert bench.take_over() == "accepted"
    bench.tick(2)
    assert bench.led_by(2) == [POLICY] * 2, "its plan goes on until the person's first chunk"
    bench.follow_person(60)
    assert bench.led_by(60) == [TELEOP] * 60
    assert_no_bump(bench.ticks)
    assert set(bench.rungs()[1:]) == {"plan"}
    velocity_3 = (bench.ticks[-1].verdict.row_D - bench.ticks[-2].verdict.row_D)[:3] / 0.01
    assert velocity_3 == pytest.approx(DEVICE_M_PER_S, abs=1e-3)


def test_the_seam_itself_stays_within_the_gate(bench: Bench) -> None:
    """The gate has no step of the tool to mend when the person goes on as the policy did."""
    sent = [tick.verdict.row_D[:3] for tick in bench.ticks[-2:]]
    bench.take_over()
    bench.tick(2)
    bench.follow_person(30, velocity_m_per_s=(sent[1] - sent[0]) / 0.01)
    reasons = {reason for tick in bench.ticks[-32:] for reason in tick.verdict.reasons}
    assert not reasons & {"speed", "acceleration", "leash_force"}


def test_it_goes_back_without_a_bump_to_plans_that_saw_what_the_person_did(bench: Bench) -> None:
    bench.take_over()
    bench.tick()
    bench.follow_person(60)
    assert bench.hand_back() == "accepted"
    bench.tick(5)
    assert bench.policy(observed_ms_ago=60) == "taken_over", "observed before it had the arm"
    bench.tick(4)
    here = bench.ticks[-1].verdict.row_D
    away_s = (bench.due_ns - BEGIN_NS) / NS_PER_S

    def onward(time_s: float) -> np.ndarray:
        return moved(here, by_m=(time_s - away_s) * np.array([0.1, 0.0, 0.0]))

    assert bench.policy(observed_ms_ago=50, path=onward) == "accepted"
    bench.tick(100)
    assert bench.led_by(100) == [POLICY] * 100
    assert_no_bump(bench.ticks)
    assert bench.ticks[-1].verdict.row_D[:3] == pytest.approx(
        onward((bench.ticks[-1].stamp_ns - BEGIN_NS) / NS_PER_S)[:3], abs=1e-6
    )


def test_plans_of_the_policy_are_refused_meanwhile_and_recorded(bench: Bench) -> None:
    bench.take_over()
    bench.tick()
    before = len(bench.outcomes)
    for _ in range(10):
        bench.follow_person(10)
        assert bench.policy() == "taken_over"
    bench.tick()  # a message is recorded with the tick that follows it
    assert bench.led_by(100) == [TELEOP] * 100
    taken = [taken for taken in bench.log.record().messages()][before:]
    plans = [t for t in taken if isinstance(t.message, ActionChunk) and t.outcome == "taken_over"]
    assert len(plans) == 10
    assert all(t.message.row_HD.shape == (16, 8) for t in plans)
    assert "take_over" not in {t.outcome for t in taken}


def test_the_chunks_of_a_person_who_has_not_taken_over_are_refused(bench: Bench) -> None:
    assert bench.person() == "handed_back"
    bench.take_over()
    bench.tick()
    assert bench.person() == "accepted"
    bench.tick()
    bench.hand_back()
    assert bench.person() == "handed_back"


def test_a_silent_person_brings_the_ladder_and_never_the_policy(bench: Bench) -> None:
    bench.take_over()
    bench.tick()
    bench.follow_person(30)
    silent_from = len(bench.ticks)
    for _ in range(40):
        bench.policy()
        bench.tick(10)
    assert bench.rungs()[-4:] == ["plan", "slow_down", "hold", "stopped"]
    assert POLICY not in bench.led_by(len(bench.ticks) - silent_from)
    rungs = [tick.rung.value for tick in bench.ticks[silent_from:]]
    assert rungs.index("slow_down") <= 15, "the last chunk had 0.15 s"
    assert rungs.index("stopped") == pytest.approx(115, abs=5), "and the loop waits for 1 s"
    assert bench.ticks[-1].verdict.reasons == ("no_plan",)
    assert_no_bump(bench.ticks)


def test_a_person_who_never_sends_anything_brings_the_ladder_soon(bench: Bench) -> None:
    assert bench.policy(observed_ms_ago=10, rows=32) == "accepted"  # a long plan
    bench.take_over()
    bench.tick(30)
    rungs = [tick.rung.value for tick in bench.ticks[-30:]]
    assert rungs.index("slow_down") == HAND_OVER_NS // PERIOD_NS + 1
    assert_no_bump(bench.ticks)


def test_a_policy_whose_stamps_are_wrong_cannot_keep_the_arm(bench: Bench) -> None:
    assert bench.policy(observed_ms_ago=-MAX_LATE_NS // NS_PER_MS) == "accepted"
    bench.take_over()
    bench.tick()
    assert bench.person() == "accepted"
    assert bench.tick().command.provenance.source == TELEOP


def test_a_stop_while_taken_over_is_latched_and_nobody_gets_the_arm(bench: Bench) -> None:
    bench.take_over()
    bench.tick()
    bench.follow_person(30)
    fast_m_per_s = speed_m_per_s(bench.ticks[-2:])
    bench.take(wire.Stop("operator"))
    assert bench.tick().rung == "stopped"
    assert speed_m_per_s(bench.ticks[-2:]) < fast_m_per_s
    for message in (bench.person, bench.take_over, bench.hand_back, bench.take_over, bench.person):
        message()
        assert bench.tick().rung == "stopped"
    bench.hand_back()
    bench.tick(20)
    bench.policy()
    assert bench.tick().verdict.reasons == ("operator",)
    assert_no_bump(bench.ticks)


def test_a_takeover_does_not_release_a_stop(bench: Bench) -> None:
    bench.take(wire.Stop("operator"))
    bench.tick(5)
    bench.take_over()
    bench.tick(2)
    bench.person()
    assert bench.tick(50).rung == "stopped"
    assert bench.controller.stopped


def test_asking_twice_changes_nothing_and_gives_no_plan_more_time(bench: Bench) -> None:
    assert bench.hand_back() == "unchanged"
    bench.take_over()
    bench.tick(15)
    assert bench.take_over() == "unchanged"
    bench.tick(10)
    assert bench.ticks[-1].rung != "plan"


def test_a_request_from_before_the_episode_is_not_of_this_one() -> None:
    bench = Bench()
    for request in (wire.TakeOver, wire.HandBack):
        assert bench.take(request(MonoNs(BEGIN_NS - 1))) == "other_episode"
    bench.tick(10)
    assert bench.policy() == "accepted"


def eventful() -> EpisodeRecord:
    """Hand over and back several times, with silences and refusals, until a stop."""
    bench = Bench()
    bench.tick(10)
    for turn in range(4):
        for k in range(60):
            if k % 10 == 0:
                bench.policy()
            bench.tick()
        bench.take_over()
        bench.tick(12 * turn)
        bench.policy()
        bench.follow_person(20 + 3 * turn)
        bench.tick(10 * turn)
        bench.hand_back()
        bench.person()
        bench.tick(7)
    bench.take_over()
    bench.take(wire.Stop("operator"))
    bench.tick(20)
    return bench.log.record()


def test_a_record_with_takeovers_comes_out_again_bit_for_bit() -> None:
    record = eventful()
    assert set(record.source_N) >= {POLICY, TELEOP, "hold", "slow_down"}
    assert set(record.message_outcome_M) >= {"accepted", "taken_over", "handed_back"}
    result = replay(record)
    assert result.first is None
    assert result.alike == len(record.stamp_ns_N)
    requests = [type(taken.message) for taken in record.messages()]
    assert requests.count(wire.TakeOver) == 5
    assert requests.count(wire.HandBack) == 4


def test_who_plans_from_afar_knows_what_is_going_to_happen() -> None:
    """The policy's copy of the plan follows hand-overs to the last bit."""
    record = eventful()
    mirror_buffer = CommandBuffer(
        ToolRows(), max_age_ns=CONTROL.max_age_ns, seam_ns=CONTROL.seam_ns
    )
    mirror = PlanMirror(mirror_buffer)
    accepted = [taken for taken in record.messages() if taken.outcome == "accepted"]
    for tick, due_ns in enumerate(record.stamp_ns_N.tolist()):
        for taken in accepted:
            if taken.tick == tick and isinstance(taken.message, ActionChunk):
                mirror.accepted(taken.message)
            elif taken.tick == tick and isinstance(taken.message, wire.TakeOver | wire.HandBack):
                mirror.handed_over()
        mirror.sent(due_ns)
        planned = mirror_buffer.sample(due_ns)
        if record.rung_N[tick] == "stopped":
            break
        assert (planned is not None) == (record.rung_N[tick] == "plan"), tick
        if planned is not None:
            assert np.array_equal(planned.row_D, record.proposed_ND[tick])


def test_how_old_observations_are_is_told_of_the_policys_commands_only(bench: Bench) -> None:
    bench.take_over()
    bench.tick()
    bench.follow_person(300)
    nothing = Plans(*[np.empty(0)] * 6)
    timing = timing_of([Outcome({}, bench.log.record(), nothing, 0)])
    assert timing.observation_age_ms.p50 >= 60, "a person's are younger"


def test_a_persons_chunks_do_not_count_as_the_policys_delay() -> None:
    mirror = PlanMirror(CommandBuffer(ToolRows(), max_age_ns=2 * NS_PER_S, seam_ns=STEP_NS))
    for k in range(6):
        source, delay_ms = ((POLICY, 150), (TELEOP, 250))[k % 2]
        stamp_ns = MonoNs(k * NS_PER_S)
        mirror.accepted(ActionChunk(k, stamp_ns, stamp_ns, STEP_NS, smooth_plan(8), source=source))
        mirror.sent(stamp_ns + delay_ms * NS_PER_MS)
        mirror.handed_over()
    leftover = mirror.leftover(5 * NS_PER_S + 300 * NS_PER_MS, STEP_NS)
    assert leftover is not None
    assert leftover.delay_rows == 2
