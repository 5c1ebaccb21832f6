"""Episodes on a virtual clock: physics goes on while the policy thinks, and nothing is random."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, STEP_NS, gate_limits, moved, smooth_row

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.control.lockstep import (
    DelayModel,
    End,
    Lockstep,
    LockstepReport,
    Planner,
    drawn_delay,
)
from robot_io.control.loop import ControlLoop, LoopLimits, Rung, Tick
from robot_io.control.observer import Observer
from robot_io.control.record import EpisodeLog, EpisodeRecord
from robot_io.errors import FeelforwardError
from robot_io.gate.gate import CommandGate
from robot_io.gate.vector_gate import VectorGate
from robot_io.rows import ToolRows, VectorRows
from robot_io.types import ArmState, Command, Frame, MonoNs, Observation, Provenance

MS = NS_PER_MS
LIMITS = LoopLimits(stop_after_s=0.5, max_state_age_s=0.05)


class ToyArm:
    """Goes where it is told within the next tick."""

    stopped_by: str | None = None

    def __init__(self, row_D: np.ndarray) -> None:
        self.now_ns, self.row_D = 0, row_D

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def read(self) -> ArmState:
        return ArmState(MonoNs(self.now_ns), self.row_D, np.empty(0))

    def command(self, row_D: np.ndarray) -> None:
        self.row_D = row_D

    def stop(self) -> None: ...


class ToyCamera:
    """10 Hz, 15 ms from exposure to delivery."""

    name = "wrist"

    def __init__(self) -> None:
        self.now_ns, self.read_ns = 0, -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def read(self, timeout_s: float) -> Frame | None:
        exposed_ns = (self.now_ns - 15 * MS) // STEP_NS * STEP_NS
        if exposed_ns <= self.read_ns or exposed_ns < 0:
            return None
        self.read_ns = exposed_ns
        image_HWC = np.zeros((2, 2, 3), np.uint8)
        return Frame("wrist", exposed_ns // STEP_NS, MonoNs(exposed_ns), MonoNs(0), image_HWC)


class ToyWorld:
    def __init__(self, row_D: np.ndarray = HOME, *, cameras: bool = True) -> None:
        self.arm = ToyArm(row_D)
        self.cameras = (ToyCamera(),) if cameras else ()

    def advance_to(self, now_ns: int) -> None:
        self.arm.now_ns = now_ns
        for camera in self.cameras:
            camera.now_ns = now_ns


class SmoothPolicy:
    """Plans the smooth path from wherever in time it looks."""

    def __init__(self) -> None:
        self.seen_ns: list[int] = []

    def reset(self, seed: int) -> None:
        self.seen_ns.clear()

    def plan(self, observation: Observation) -> np.ndarray:
        self.seen_ns.append(observation.observed_ns)
        begin_s = observation.observed_ns / NS_PER_S
        return np.stack([smooth_row(begin_s + 0.1 * h) for h in range(16)])


def run_policy(
    delay_ns: DelayModel, *, seconds: float = 3.0
) -> tuple[LockstepReport, EpisodeRecord, SmoothPolicy]:
    rows, policy, log = ToolRows(), SmoothPolicy(), EpisodeLog()
    buffer = CommandBuffer(rows, max_age_ns=2 * NS_PER_S, seam_ns=STEP_NS)
    report = Lockstep(
        world=ToyWorld(),
        loop=ControlLoop(buffer, CommandGate(gate_limits()), rows, LIMITS),
        observer=Observer(rows, step_ns=STEP_NS, vectors={"measured": 2}, images={"wrist": 1}),
        period_ns=PERIOD_NS,
        planner=Planner(policy, buffer, STEP_NS, delay_ns),
    ).run(round(seconds * NS_PER_S), lambda: False, lambda tick, state: log.add(tick, state))
    return report, log.record(), policy


def test_the_arm_moves_while_the_policy_thinks_and_planning_starts_again_at_once():
    report, record, policy = run_policy(drawn_delay([60 * MS], seed=0))
    assert report.ended is End.TIME_OUT and report.ticks == 301
    assert policy.seen_ns[:3] == [0, 100 * MS, 200 * MS], "each frame is planned from"
    assert [(each.dropped, each.delay_ns // MS) for each in report.plans[:2]] == [(1, 80), (1, 80)]
    assert set(record.rung_N[8:]) == {"plan"} and set(record.verdict_N[30:]) == {"accepted"}
    assert np.allclose(record.sent_ND[200], smooth_row(2.0), atol=1e-4)


def test_a_plan_that_takes_longer_than_a_frame_skips_frames_and_not_rows():
    _, record, policy = run_policy(drawn_delay([250 * MS], seed=0))
    assert policy.seen_ns[:3] == [0, 200 * MS, 500 * MS]
    assert set(record.rung_N[30:]) == {"plan"}
    assert record.observation_age_ns_N.max() < 600 * MS


def test_an_inference_slower_than_its_plan_walks_down_the_ladder():
    report, record, _ = run_policy(iter([50 * MS, 60 * NS_PER_S]).__next__, seconds=5.0)
    assert report.ended is End.STOPPED
    rungs = list(dict.fromkeys(record.rung_N.tolist()))
    assert rungs == ["hold", "plan", "slow_down", "stopped"]


def test_the_same_seed_gives_the_same_bits():
    measured_ns = [40 * MS, 90 * MS, 310 * MS]
    _, a, _ = run_policy(drawn_delay(measured_ns, 3))
    _, b, _ = run_policy(drawn_delay(measured_ns, 3))
    _, c, _ = run_policy(drawn_delay(measured_ns, 4))
    assert np.array_equal(a.sent_ND, b.sent_ND) and np.array_equal(a.chunk_N, b.chunk_N)
    assert not np.array_equal(a.chunk_N, c.chunk_N)


def test_a_run_ends_when_it_is_done():
    rows, world = ToolRows(), ToyWorld(cameras=False)
    runner = Lockstep(
        world=world,
        loop=ControlLoop(Expert(), CommandGate(gate_limits()), rows, LIMITS),
        observer=Observer(rows, step_ns=STEP_NS, vectors={"measured": 1}),
        period_ns=PERIOD_NS,
    )
    ticks: list[Tick] = []
    report = runner.run(
        10 * NS_PER_S,
        lambda: world.arm.now_ns >= NS_PER_S,
        lambda tick, state: ticks.append(tick),
    )
    assert (report.ended, report.ticks, report.plans) == (End.DONE, 100, ())
    assert all(tick.rung is Rung.PLAN for tick in ticks)
    assert ticks[-1].command.provenance.source == "expert"


class Expert:
    def sample(self, now_ns: int) -> Command:
        return Command(0, MonoNs(now_ns), smooth_row(now_ns / NS_PER_S), Provenance("expert"))


class CountingPolicy:
    """Row h of a plan is the time it is due, in steps."""

    def reset(self, seed: int) -> None: ...

    def plan(self, observation: Observation) -> np.ndarray:
        first = observation.vectors["agent"][-1, 0]
        return np.tile(first + np.arange(16.0)[:, None], 2)


def test_push_t_executes_eight_rows_of_sixteen_and_plans_again():
    rows, world, chunks = VectorRows(2), ToyWorld(np.zeros(2), cameras=False), []

    def vectors() -> Iterator[tuple[str, int, np.ndarray]]:
        yield "agent", world.arm.now_ns, np.full(2, world.arm.now_ns / STEP_NS)

    buffer = CommandBuffer(rows, max_age_ns=2 * NS_PER_S, seam_ns=0, replan_after_rows=8)
    report = Lockstep(
        world=world,
        loop=ControlLoop(buffer, VectorGate(np.zeros(2), np.full(2, 512.0)), rows, LIMITS),
        observer=Observer(rows, step_ns=STEP_NS, vectors={"agent": 2}),
        period_ns=STEP_NS,
        planner=Planner(CountingPolicy(), buffer, STEP_NS, drawn_delay([0], seed=0)),
        read_vectors=vectors,
    ).run(31 * STEP_NS, lambda: False, lambda tick, state: chunks.append(tick))
    assert len(report.plans) == 4 and all(each.accepted for each in report.plans)
    assert [tick.verdict.row_D[0] for tick in chunks] == list(range(32))
    assert [tick.command.provenance.chunk_id for tick in chunks] == [k // 8 for k in range(32)]


def test_a_record_survives_being_saved_and_loaded(tmp_path: Path):
    _, record, _ = run_policy(drawn_delay([60 * MS], seed=0), seconds=0.5)
    path = tmp_path / "episode.npz"
    record.save(path)
    loaded = EpisodeRecord.load(path)
    assert np.array_equal(loaded.sent_ND, record.sent_ND)
    assert np.array_equal(loaded.reasons_N, record.reasons_N)
    assert loaded.observation_age_ns_N[0] == -1 and loaded.observation_age_ns_N[-1] == 100 * MS
    assert [each.name for each in tmp_path.iterdir()] == ["episode.npz"]


def test_a_record_shows_an_unusable_proposal_as_not_a_number():
    gate, log = CommandGate(gate_limits()), EpisodeLog()
    loop = ControlLoop(Broken(), gate, ToolRows(), LIMITS)
    here = ArmState(MonoNs(0), HOME, np.empty(0))
    log.add(loop.tick(0, here), here, late_ns=7)
    record = log.record()
    assert np.isnan(record.proposed_ND).all() and np.array_equal(record.sent_ND, HOME[None])
    assert (record.late_ns_N[0], record.reasons_N[0], record.source_N[0]) == (7, "shape", "test")


class Broken:
    def sample(self, now_ns: int) -> Command:
        return Command(0, MonoNs(now_ns), moved()[:5], Provenance("test"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not a record"])
def test_a_torn_record_is_named_and_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "episode.npz"
    path.write_bytes(content)
    with pytest.raises(FeelforwardError, match=r"episode\.npz"):
        EpisodeRecord.load(path)
