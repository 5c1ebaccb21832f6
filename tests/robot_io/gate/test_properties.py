"""No limit is ever broken, whatever comes; and what the gate gave, it lets pass."""

import numpy as np
from control_toys import HOME, LIMITS, gate_limits, moved, state
from gate_toys import ACCEPTED, DT_S, HOLD, STOPPED, Run, assert_kept, most_allowed, motion_of
from hostile import LIM, Told, give, play
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robot_io.gate.gate import CommandGate
from robot_io.gate.limits import OnViolation
from robot_io.gate.reasons import Reason
from robot_io.rows import ToolRows
from robot_io.types import Command, MonoNs, Provenance

SEEDS = st.integers(0, 2**32 - 1)
ON_LEASH = 1 - 1e-6  # of the leash: force may have had its say


def usable(row_8: object) -> bool:
    return ToolRows().fault(row_8) is None and np.shape(row_8) == (8,)  # type: ignore[arg-type]


def assert_place_and_force(told: list[Told]) -> None:
    for tick in told[1:]:
        row_8, measured_8 = tick.verdict.row_D, tick.state.row_D
        assert usable(row_8)
        assert np.all(row_8[:3] >= LIM.workspace_low_m) and np.all(
            row_8[:3] <= LIM.workspace_high_m
        )
        assert 0 <= row_8[7] <= LIM.max_width_m
        if usable(measured_8):
            ahead_m, ahead_rad = ToolRows().distance(measured_8, row_8)
            assert ahead_m <= LIM.leash_m + 1e-9 and ahead_rad <= LIM.leash_rad + 1e-7
        assert (tick.verdict.kind is STOPPED) == tick.stopped or tick.verdict.reasons == ("re",)


def free_of_leash(told: list[Told]) -> np.ndarray:
    """Since how many ticks neither force nor a release had a say (N,)."""
    free, since_N = 9, []
    for tick in told:
        measured_8, row_8 = tick.state.row_D, tick.verdict.row_D
        on_leash = tick.verdict.reasons == ("re",)
        if usable(measured_8):
            ahead_m, ahead_rad = ToolRows().distance(measured_8, row_8)
            on_leash |= ahead_m >= LIM.leash_m * ON_LEASH or ahead_rad >= LIM.leash_rad * ON_LEASH
        free = 0 if on_leash else free + 1
        since_N.append(free)
    return np.array(since_N)


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_no_limit_is_broken_by_any_stream(seed):
    told = play(seed, LIM, calm=True)
    assert_place_and_force(told)
    row_N8, free_N = np.array([tick.verdict.row_D for tick in told]), free_of_leash(told)
    for name, value_N in motion_of(row_N8).items():
        most = most_allowed(LIM)[name]
        order = ("speed", "accel", "jerk").index(name.removeprefix("turn_"))
        kept_N = value_N <= most * (1 + 1e-5) + 1e-6
        assert np.all(kept_N | (free_N <= order)), name


@settings(deadline=None, max_examples=8)
@given(seed=SEEDS)
def test_speed_place_and_force_are_kept_when_ticks_come_irregularly(seed):
    told = play(seed, LIM)
    assert_place_and_force(told)
    newest_ns, free_N = told[0].now_ns, free_of_leash(told)
    for k in range(1, len(told)):
        passed_s = max(told[k].now_ns - newest_ns, 0) * 1e-9
        newest_ns = max(newest_ns, told[k].now_ns)
        step_m, step_rad = ToolRows().distance(told[k - 1].verdict.row_D, told[k].verdict.row_D)
        allowed_s = min(passed_s, 2 * DT_S) * (1 + 1e-5)
        assert free_N[k] == 0 or step_m <= LIM.max_speed_m_per_s * allowed_s + 1e-12
        assert free_N[k] == 0 or step_rad <= LIM.max_turn_rad_per_s * allowed_s + 1e-9


REJECTING = gate_limits(on_violation=dict.fromkeys(OnViolation.model_fields, "reject_chunk"))


@settings(deadline=None, max_examples=10)
@example(seed=21, calm=False)  # a way to rest that no motion within the limits would take
@given(seed=SEEDS, calm=st.booleans())
def test_what_a_gate_gave_a_second_one_lets_pass_bit_for_bit(seed, calm):
    """gate(gate(x)) = gate(x), with the same measurements; nothing of it breaks a limit."""
    told, again = play(seed, LIM, calm=calm, stops=False), CommandGate(REJECTING)
    for k, tick in enumerate(told):
        asked = Command(k, MonoNs(tick.now_ns), tick.verdict.row_D, Provenance("again"))
        given_ = again.check(asked, tick.state, tick.now_ns)
        assert np.array_equal(given_.row_D, tick.verdict.row_D), (k, tick, given_)
        if given_.kind is not ACCEPTED:
            assert given_.kind is HOLD
            assert given_.reasons[0] in (Reason.CLOCK, Reason.STATE_UNUSABLE)


@settings(deadline=None, max_examples=8)
@given(seed=SEEDS, share=st.floats(0.05, 0.9))
def test_a_stream_within_all_limits_passes_bit_for_bit(seed, share):
    """Slower, softer, and inside: what was legal under tight limits is under the wide ones."""
    tight = {
        name: LIMITS[name] * (share if name.endswith(("_s", "_s2", "_s3")) else 1.0)
        for name in LIMITS
        if name.startswith("max_") and name != "max_command_age_s"
    }
    legal, wide = Run(**tight), Run()
    rng = np.random.default_rng(seed)
    for k in range(200):
        if k % 40 == 0:
            goal_8 = moved(by_m=rng.uniform(-0.1, 0.1, 3), yaw_rad=rng.uniform(-1, 1))
        row_8 = legal.check(goal_8).row_D
        verdict = wide.check(row_8)
        assert verdict.kind is ACCEPTED and verdict.row_D is row_8


LARGER = ["max_speed_m_per_s", "max_accel_m_per_s2", "max_jerk_m_per_s3"]
LARGER += ["max_turn_rad_per_s", "max_turn_accel_rad_per_s2", "max_turn_jerk_rad_per_s3"]


@settings(deadline=None, max_examples=10)
@given(
    seed=SEEDS,
    name=st.sampled_from([*LARGER, "max_width_speed_m_per_s", "force_max_n", "torque_max_nm"]),
    share=st.floats(0.1, 0.95),
)
def test_a_tighter_limit_never_lets_a_step_get_further(seed, name, share):
    """From rest towards one goal: at no tick is the tighter gate further on than the wider one.

    Up to 0.1 mm and 0.1 mrad: both step in whole periods.
    """
    rng = np.random.default_rng(seed)
    goal_8 = moved(by_m=rng.uniform(-0.15, 0.15, 3), yaw_rad=rng.uniform(-2, 2))
    goal_8[7] = rng.uniform(0, 0.08)
    wide, tight = Run(), Run(**{name: LIMITS[name] * share})
    for _ in range(60):
        gone = []
        for run in (wide, tight):
            row_8 = run.check(goal_8, blocked=name.startswith(("force", "torque"))).row_D
            gone.append((*ToolRows().distance(HOME, row_8), abs(row_8[7] - HOME[7])))
        assert all(slow <= fast + 1e-4 for fast, slow in zip(*gone, strict=True)), name


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS, name=st.sampled_from(LARGER), share=st.floats(0.1, 0.95))
def test_a_tighter_limit_is_kept_by_what_the_wider_one_lets_pass(seed, name, share):
    """For any stream: the largest value of the emitted motion is below the tighter limit."""
    limits = gate_limits(**{name: LIMITS[name] * share})
    told = play(seed, limits, ticks=80, calm=True, stops=False)
    if free_of_leash(told).min() > 2:
        assert_kept(np.array([tick.verdict.row_D for tick in told]), limits)


@settings(deadline=None, max_examples=8)
@given(seed=SEEDS)
def test_a_stop_is_left_by_a_human_act_only(seed):
    told = play(seed, LIM, ticks=60)
    gate = CommandGate(LIM)
    gate.hold("no_plan", state(0), 0)
    gate.stop("test")
    for tick in told:
        assert give(gate, tick.now_ns, tick.command, tick.state).kind is STOPPED
    gate.release(state(0))
    assert not gate.stopped
