"""Real processes: who runs on which core, and the stamps of real plans."""

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
import pytest
from transport_parts import CONTROL

from robot_io.session import realtime
from robot_io.session.session import Session
from robot_io.session.spec import SessionSpec
from robot_io.session.timing import AGE_PARTS

INFERENCE_NS = 20_000_000  # what a `CirclePlanner` takes at least


def test_the_first_command_of_each_plan_is_found_and_every_part_of_its_age_is_real(
    make_spec: Callable[..., SessionSpec],
) -> None:
    with Session(make_spec(control=replace(CONTROL, fifo=False))) as session:
        outcome = session.run_episode(seed=1, limit_s=1.2)
    assert session.real_time.startswith("Control process: garbage collector frozen")
    assert "SCHED_FIFO: not asked for" in session.real_time

    plans, record = outcome.plans, outcome.record
    followed = record.rung_N == "plan"
    _, first_N = np.unique(record.chunk_N[followed], return_index=True)
    begun_ns = (record.stamp_ns_N + record.late_ns_N)[followed][first_N]
    sent_ns = plans.sent_ns_P[plans.followed_P]
    assert len(sent_ns) == len(first_N) >= 5
    assert (begun_ns < sent_ns).all()
    assert (sent_ns < begun_ns + CONTROL.period_ns).mean() > 0.5  # a busy machine: a slow tick
    assert (plans.observed_ns_P[plans.followed_P] == record.observed_ns_N[followed][first_N]).all()
    for part in AGE_PARTS:
        assert (plans.age_ns(part) >= 0).all(), part
    assert (plans.age_ns("inference") >= INFERENCE_NS).all()
    assert (plans.age_ns("tick") > 0).all()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs 2 cores")
def test_nobody_else_in_the_session_runs_on_the_core_of_control(
    make_spec: Callable[..., SessionSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.sched_getaffinity(0)
    own, others = {max(before)}, before - {max(before)}
    share = realtime.CoreShare(max(before), frozenset(others))
    monkeypatch.setattr(realtime, "share_cores", lambda cores: share)  # as with 3 and more
    with Session(make_spec()) as session:
        assert f"a core of its own ({max(own)})" in session.real_time
        children = psutil.Process().children()
        names = [child.cmdline()[-1] for child in children]
        cores = [set(child.cpu_affinity() or []) for child in children]
        assert os.sched_getaffinity(0) == others
    assert len(children) >= 4
    assert [own if "control.json" in name else others for name in names] == cores
    assert os.sched_getaffinity(0) == before
