"""A plan that leads the whole arm somewhere it must not go is given up before it gets there."""

from typing import Self

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, STEP_NS, gate_limits, moved
from fake_body import GEOMETRY, JOINTS, fake_body

from robot_io.clock import NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.control.controller import Controller
from robot_io.control.foresight import Foresight
from robot_io.control.lockstep import Lockstep, Planner, drawn_delay
from robot_io.control.loop import ControlLoop, LoopLimits, Rung
from robot_io.control.observer import Observer
from robot_io.control.record import EpisodeLog, EpisodeRecord
from robot_io.control.spec import ControlSpec
from robot_io.gate.gate import CommandGate
from robot_io.gate.reasons import Reason
from robot_io.rows import ToolRows
from robot_io.types import ActionChunk, ArmState, MonoNs, Observation

BEGIN_NS = 3 * NS_PER_S
REJECTING = {**gate_limits().on_violation.model_dump(), "geometry": "reject_chunk"}
LIMITS = gate_limits(joints=JOINTS, geometry=GEOMETRY, on_violation=REJECTING)
CONTROL = ControlSpec(
    gate=LIMITS,
    loop=LoopLimits(stop_after_s=1.0, max_state_age_s=0.05),
    max_age_ns=2 * NS_PER_S,
    seam_ns=STEP_NS,
)


class Bench:
    def __init__(self) -> None:
        self.controller = Controller(CONTROL, BEGIN_NS, body=fake_body())
        self.now_ns, self.measured = BEGIN_NS, HOME

    def take(self, chunk_id: int, *, down_m: float) -> None:
        rows = [moved(by_m=(0, 0, -down_m * h / 15)) for h in range(16)]
        now = MonoNs(self.now_ns)
        self.controller.take(ActionChunk(chunk_id, now, now, STEP_NS, np.stack(rows)), self.now_ns)

    def tick(self, joint_rad_J: np.ndarray = HOME[:3]):
        state = ArmState(MonoNs(self.now_ns), self.measured, joint_rad_J)
        tick = self.controller.tick(self.now_ns, state)
        foreseen = self.controller.look_ahead(self.now_ns)
        self.measured, self.now_ns = tick.verdict.row_D, self.now_ns + PERIOD_NS
        return tick, foreseen


def test_a_plan_into_the_table_is_given_up_in_the_tick_after_it_came():
    bench = Bench()
    bench.take(1, down_m=0.18)
    first, foreseen = bench.tick()
    assert first.rung is Rung.PLAN
    assert foreseen is not None and foreseen.reason is Reason.OBSTACLE_DISTANCE
    second, again = bench.tick()
    assert second.rung is Rung.HOLD and Reason.CHUNK_REJECTED in second.verdict.reasons
    assert again is None, "a plan is judged once"


def test_the_next_plan_may_pass_again():
    bench = Bench()
    bench.take(1, down_m=0.18)
    bench.tick()
    bench.take(2, down_m=0.02)
    assert bench.tick()[1] is None
    assert bench.tick()[0].rung is Rung.PLAN


def test_rows_that_are_past_are_not_judged():
    bench = Bench()
    bench.take(1, down_m=0.02)
    for _ in range(35):
        assert bench.tick()[1] is None


@pytest.mark.parametrize("joint_rad_J", [np.full(3, np.nan), np.empty(0)])
def test_without_joints_nobody_looks_ahead_and_the_gate_says_why(joint_rad_J: np.ndarray):
    bench = Bench()
    bench.tick()
    bench.take(1, down_m=0.18)
    tick, foreseen = bench.tick(joint_rad_J)
    assert foreseen is None
    assert tick.rung is Rung.HOLD and Reason.STATE_UNUSABLE in tick.verdict.reasons


class Follower:
    """A world that is an arm alone: it is where it was told to be, its joints stay."""

    stopped_by: str | None = None

    def __init__(self) -> None:
        self.now_ns, self.row_D, self.cameras = 0, HOME, ()

    @property
    def arm(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def advance_to(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def read(self) -> ArmState:
        return ArmState(MonoNs(self.now_ns), self.row_D, HOME[:3])

    def command(self, row_D: np.ndarray) -> None:
        self.row_D = row_D

    def stop(self) -> None: ...


class Downwards:
    """Plans to go down by so much from wherever the tool is."""

    def __init__(self, down_m: float) -> None:
        self._steps_m = -down_m * np.arange(16) / 15

    def reset(self, seed: int) -> None: ...

    def plan(self, observation: Observation) -> np.ndarray:
        row_HD = np.tile(observation.vectors["measured"][-1], (16, 1))
        row_HD[:, 2] += self._steps_m
        return row_HD


def in_lockstep(*, down_m: float, looks_ahead: bool) -> EpisodeRecord:
    rows, body, log = ToolRows(), fake_body(), EpisodeLog()
    buffer = CommandBuffer(rows, max_age_ns=2 * NS_PER_S, seam_ns=STEP_NS)
    gate = CommandGate(LIMITS, body)
    Lockstep(
        world=Follower(),
        loop=ControlLoop(buffer, gate, rows, CONTROL.loop),
        observer=Observer(rows, step_ns=STEP_NS, vectors={"measured": 1}),
        period_ns=PERIOD_NS,
        planner=Planner(Downwards(down_m), buffer, STEP_NS, drawn_delay([30_000_000], seed=0)),
        foresight=Foresight(LIMITS, body, gate) if looks_ahead else None,
    ).run(NS_PER_S // 2, lambda: False, lambda tick, state: log.add(tick, state))
    return log.record()


def test_in_lockstep_a_plan_into_the_table_is_given_up_as_on_the_arm():
    record = in_lockstep(down_m=0.18, looks_ahead=True)
    rejected_N = [Reason.CHUNK_REJECTED in reasons for reasons in record.reasons_N]
    assert rejected_N.index(True) == int((record.rung_N == "plan").argmax()) + 1
    blind = in_lockstep(down_m=0.18, looks_ahead=False)
    assert not any(Reason.CHUNK_REJECTED in reasons for reasons in blind.reasons_N[:10])


def test_in_lockstep_looking_ahead_changes_no_bit_where_nothing_is_refused():
    ahead, blind = (in_lockstep(down_m=0.02, looks_ahead=each) for each in (True, False))
    assert (ahead.rung_N == "plan").sum() > 40
    assert ahead.sent_ND.tobytes() == blind.sent_ND.tobytes()
