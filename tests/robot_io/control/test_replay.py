"""What was recorded comes out again, bit for bit; what was changed is found where it matters."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from control_toys import HOME, PERIOD_NS, STEP_NS, chunk, gate_limits, moved, smooth_plan, state
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io import wire
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control import record as record_file
from robot_io.control.controller import Controller
from robot_io.control.loop import LoopLimits
from robot_io.control.record import EpisodeLog, EpisodeRecord
from robot_io.control.replay import replay
from robot_io.control.spec import ControlSpec
from robot_io.errors import FeelforwardError
from robot_io.gate.limits import TouchLimits
from robot_io.types import ArmState, MonoNs

CONTROL = ControlSpec(
    gate=gate_limits(),
    loop=LoopLimits(stop_after_s=1.0, max_state_age_s=0.05),
    max_age_ns=2 * NS_PER_S,
    seam_ns=STEP_NS,
)
BEGIN_NS = 7 * NS_PER_S
Sent = tuple[int, wire.Message]  # the tick before which it arrives


def recorded(
    messages: list[Sent],
    *,
    ticks: int = 150,
    push_m: float = 0.0,
    late: frozenset[int] = frozenset(),
    control: ControlSpec = CONTROL,
    felt_n: float | None = None,
) -> EpisodeRecord:
    """An episode on a virtual clock. The arm follows, off by `push_m`; late ticks are skipped.

    It measures a force that reaches `felt_n` in the last tick.
    """
    controller, log = Controller(control, BEGIN_NS), EpisodeLog(control, BEGIN_NS)
    measured = HOME
    for tick in range(ticks):
        if tick in late:
            continue
        due_ns = BEGIN_NS + tick * PERIOD_NS
        for arrives, message in messages:
            if arrives == tick:
                log.take(message, controller.take(message, due_ns))
        force_n = None if felt_n is None else np.eye(6)[2] * felt_n * (tick + 1) / ticks
        here = ArmState(MonoNs(due_ns - NS_PER_MS), measured, np.arange(7.0) + tick, force_n)
        done = controller.tick(due_ns, here)
        log.add(done, here, late_ns=tick)
        measured = moved(done.verdict.row_D, by_m=(push_m, 0, 0))
    return log.record()


def plan(tick: int, *, rows: int = 16, ahead_ms: int = -60, chunk_id: int = 1) -> Sent:
    """A plan that arrives in that tick, observed `ahead_ms` after it."""
    observed_ns = BEGIN_NS + tick * PERIOD_NS + ahead_ms * NS_PER_MS
    rows_HD = smooth_plan(rows, begin_s=(observed_ns - BEGIN_NS) / NS_PER_S)
    return tick, chunk(rows_HD, observed_ns=observed_ns, chunk_id=chunk_id)


PLANS = [plan(tick, chunk_id=tick) for tick in range(10, 150, 13)]


def test_an_episode_comes_out_again_bit_for_bit():
    record = recorded(PLANS, push_m=0.01)
    result = replay(record)
    assert (result.commands, result.alike, result.first) == (150, 150, None)
    assert str(result) == "150 commands, bit-identical"
    assert set(record.rung_N) >= {"hold", "plan"} and "leash_force" not in "".join(record.reasons_N)


def test_a_stop_for_what_the_arm_felt_comes_out_again(tmp_path: Path):
    touch = TouchLimits(measured_force="required", max_force_n=50.0, max_torque_nm=5.0)
    control = replace(CONTROL, gate=CONTROL.gate.model_copy(update={"touch": touch}))
    recorded(PLANS, control=control, felt_n=75.0).save(tmp_path / "episode.npz")
    record = EpisodeRecord.load(tmp_path / "episode.npz")
    assert record.rung_N[98] == "plan" and record.rung_N[-1] == "stopped"
    assert record.reasons_N[-1] == "force"
    assert replay(record).alike == 150


def test_every_rung_and_every_outcome_of_a_message_comes_out_again():
    old, late = plan(20, ahead_ms=-300), plan(60, ahead_ms=-3000)
    unusable = np.full((3, 8), np.nan)
    messages = [
        *PLANS[:3],
        old,
        late,
        PLANS[2],
        (70, chunk(unusable, observed_ns=BEGIN_NS + 70 * PERIOD_NS)),
        (71, chunk(smooth_plan(4), observed_ns=BEGIN_NS + 71 * PERIOD_NS, start_ns=BEGIN_NS)),
        (72, wire.Note("hello", {})),
        (390, wire.Stop("tired")),
    ]
    record = recorded(messages, ticks=400, late=frozenset({30, 31, 32, 77}))
    assert set(record.rung_N) == {"hold", "plan", "slow_down", "stopped"}
    assert set(record.message_outcome_M) == {
        "accepted",
        "other_episode",
        "not_newer",
        "malformed",
        "all_rows_past",
        "not_for_us",
    }
    result = replay(record)
    assert result.first is None and result.alike == 396


@settings(max_examples=30, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 119), st.integers(-400, 50), st.integers(1, 20)), max_size=20
    ),
    push_m=st.floats(0, 0.08),
    late=st.frozensets(st.integers(0, 119), max_size=10),
)
def test_whatever_arrives_whenever_comes_out_again(arrivals, push_m, late):
    messages = [
        plan(tick, ahead_ms=ahead_ms, rows=rows, chunk_id=k)
        for k, (tick, ahead_ms, rows) in enumerate(arrivals)
    ]
    assert replay(recorded(messages, ticks=120, push_m=push_m, late=late)).first is None


def test_a_record_replays_from_its_file_too(tmp_path: Path):
    path, record = tmp_path / "episode_1.npz", recorded(PLANS)
    record.save(path)
    loaded = EpisodeRecord.load(path)
    for each in fields(record):
        assert np.array_equal(getattr(loaded, each.name), getattr(record, each.name)), each.name
    assert replay(loaded).first is None


def test_a_plan_that_is_missing_is_found_in_the_tick_that_took_it():
    record = recorded(PLANS)
    size, begin = record.message_size_M, int(record.message_size_M[:3].sum())
    without = replace(
        record,
        message_tick_M=np.delete(record.message_tick_M, 3),
        message_size_M=np.delete(size, 3),
        message_outcome_M=np.delete(record.message_outcome_M, 3),
        message_B=np.delete(record.message_B, np.arange(begin, begin + size[3])),
    )
    first = replay(without).first
    assert first is not None
    assert (first.tick, first.what) == (PLANS[3][0], "chunk")
    assert (first.recorded, first.replayed) == ("49", "36")


@pytest.mark.parametrize("bit", [0, 30, 51])
def test_one_flipped_bit_of_a_plan_is_found_where_it_is_first_followed(bit):
    record = recorded([(0, chunk(smooth_plan(16), observed_ns=BEGIN_NS))])
    data_B = record.message_B.copy()
    row = 8 * 8 * 3  # the x of row 3, due in tick 30; it bends the curve from row 2 on
    at = data_B.tobytes().index(smooth_plan(16)[0].tobytes()) + row
    data_B[at : at + 8].view(np.int64)[:] ^= 1 << bit
    first = replay(replace(record, message_B=data_B)).first
    assert first is not None
    assert first.what == "proposed[0]"
    assert 10 <= first.tick <= 30, "central differences reach one row back"


def test_a_message_that_fares_differently_is_found_even_if_no_command_differs():
    record = recorded([*PLANS, plan(60, ahead_ms=-500)])
    fate_M = record.message_outcome_M.copy()
    assert fate_M[4] == "not_newer"
    fate_M[4] = "expired"
    first = replay(replace(record, message_outcome_M=fate_M)).first
    assert first is not None
    assert (first.tick, first.what) == (60, "outcome of message 4")
    assert (first.recorded, first.replayed) == ("'expired'", "'not_newer'")


def test_one_flipped_bit_of_the_first_measurement_is_found_at_once():
    record = recorded(PLANS)
    measured_ND = record.measured_ND.copy()
    measured_ND[:1, 1].view(np.int64)[:] ^= 1
    first = replay(replace(record, measured_ND=measured_ND)).first
    assert first is not None
    assert (first.tick, first.what) == (0, "proposed[1]")


def test_a_changed_limit_is_found_where_it_first_bites():
    jump = moved(by_m=(0.05, 0, 0)) * np.ones((16, 1))
    record = recorded([*PLANS[:2], (40, chunk(jump, observed_ns=BEGIN_NS + 40 * PERIOD_NS))])
    slower = replace(CONTROL, gate=gate_limits(max_speed_m_per_s=0.2))
    other = EpisodeLog(slower, BEGIN_NS).record().control
    result = replay(replace(record, control=other))
    assert result.first is not None
    assert 40 < result.first.tick < 60
    assert 0 < result.alike < 150
    assert f"tick {result.first.tick} (0." in str(result)


def test_a_replay_that_differs_shows_both_values():
    record = recorded(PLANS)
    sent_ND = record.sent_ND.copy()
    sent_ND[77, 2] = np.nextafter(sent_ND[77, 2], 1)
    text = str(replay(replace(record, sent_ND=sent_ND)))
    assert text.startswith("149 of 150 commands identical; the first other: tick 77 (0.77 s")
    shown = f"sent[2] was {sent_ND[77, 2].item()!r} and is now {record.sent_ND[77, 2].item()!r}"
    assert shown in text


def test_minus_zero_is_not_zero_and_nan_is_itself():
    record = recorded(PLANS)
    proposed_ND = record.proposed_ND.copy()
    proposed_ND[0, 1] = -0.0
    first = replay(replace(record, proposed_ND=proposed_ND)).first
    assert first is not None
    assert (first.tick, first.recorded, first.replayed) == (0, "-0.0", "0.0")
    proposed_ND[:, 1] = np.nan
    result = replay(replace(record, proposed_ND=proposed_ND))
    assert result.alike == 0


def test_a_record_of_another_kind_says_why_it_cannot_be_replayed():
    log = EpisodeLog()
    here = state(BEGIN_NS)
    log.add(Controller(CONTROL, BEGIN_NS).tick(BEGIN_NS, here), here)
    with pytest.raises(FeelforwardError, match="no control process made it"):
        replay(log.record())


@pytest.mark.parametrize("control", ["{}", "no json", '{"gate": {"max_speed_m_per_s": 1}}'])
def test_limits_of_another_version_are_one_sentence(control):
    with pytest.raises(FeelforwardError, match="those of another version") as refusal:
        replay(replace(recorded(PLANS[:1]), control=control))
    assert "\n" not in str(refusal.value)


def test_a_record_of_another_version_is_one_sentence(tmp_path: Path, monkeypatch):
    path = tmp_path / "episode_1.npz"
    monkeypatch.setattr(record_file, "VERSION", 99)
    recorded(PLANS[:1]).save(path)
    monkeypatch.undo()
    with pytest.raises(FeelforwardError, match="version 99, allowed 2"):
        EpisodeRecord.load(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_record_cut_short_is_one_sentence(tmp_path: Path, share: float):
    path = tmp_path / "episode_1.npz"
    recorded(PLANS).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(FeelforwardError, match="cut short"):
        EpisodeRecord.load(path)


def test_one_flipped_bit_of_the_file_is_noticed(tmp_path: Path):
    path = tmp_path / "episode_1.npz"
    recorded(PLANS).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(FeelforwardError, match="cut short"):
        EpisodeRecord.load(path)
