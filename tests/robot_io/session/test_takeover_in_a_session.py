"""A person takes the arm from a running policy process and gives it back."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zmq

from robot_io import wire
from robot_io.clock import NS_PER_MS
from robot_io.devices.fake import HOME_ROW
from robot_io.session.policy import _Senses
from robot_io.session.processes import ChildSpec
from robot_io.session.session import Session
from robot_io.session.spec import SessionSpec
from robot_io.session.view import View
from robot_io.types import POLICY, TELEOP, ActionChunk, Command, MonoNs

MakeSpec = Callable[..., SessionSpec]


class Person:
    """Takes over after `take_s`, holds the arm where it is, hands back after `back_s`."""

    def __init__(self, session: Session, *, take_s: float, back_s: float) -> None:
        self._session = session
        self._due_s = [take_s, back_s]
        self._begin_s: float | None = None
        self._has_arm = False
        self._chunks = 0
        self.echoes: list[type] = []

    def look(self, view: View) -> None:
        now_s = time.monotonic()
        self._begin_s = now_s if self._begin_s is None else self._begin_s
        if self._due_s and now_s > self._begin_s + self._due_s[0]:
            ask = self._session.take_over if len(self._due_s) == 2 else self._session.hand_back
            del self._due_s[0]
            ask()
        for message in view.messages:
            if isinstance(message, wire.TakeOver | wire.HandBack):
                self._has_arm = isinstance(message, wire.TakeOver)
                self.echoes.append(type(message))
        sent = [message for message in view.messages if isinstance(message, Command)]
        if self._has_arm and sent:
            self._hold(sent[-1])

    def _hold(self, sent: Command) -> None:
        self._chunks += 1
        rows = np.tile(sent.row_D, (5, 1))
        stamp_ns = MonoNs(time.monotonic_ns())
        step_ns = 50 * NS_PER_MS
        chunk = ActionChunk(self._chunks, stamp_ns, sent.due_ns, step_ns, rows, source=TELEOP)
        self._session.teleoperate(chunk)


@pytest.mark.slow
def test_the_policy_goes_on_planning_while_a_person_has_the_arm(make_spec: MakeSpec) -> None:
    with Session(make_spec()) as session:
        person = Person(session, take_s=0.8, back_s=2.0)
        outcome = session.run_episode(seed=1, limit_s=3.2, watch=person.look)
    record = outcome.record
    assert person.echoes == [wire.TakeOver, wire.HandBack]
    led = [source for source in record.source_N.tolist() if source in (POLICY, TELEOP)]
    changes = [who for k, who in enumerate(led) if k == 0 or who != led[k - 1]]
    assert changes == [POLICY, TELEOP, POLICY]
    plans = [
        (taken.outcome, taken.message)
        for taken in record.messages()
        if isinstance(taken.message, ActionChunk) and taken.message.source == POLICY
    ]
    refused = [chunk for outcome, chunk in plans if outcome == "taken_over"]
    assert len(refused) >= 5, "it plans from every image, ten times per second"
    waits_ms = np.diff([chunk.observed_ns for chunk in refused]) / NS_PER_MS
    assert np.median(waits_ms) < 150
    followed = outcome.plans.followed_P
    assert followed[:3].any() and followed[-3:].any() and not followed.all()
    assert (outcome.plans.age_ns() > 0).all(), "no plan is taken for a chunk of the person"


def test_the_policy_waits_for_the_echo_of_its_own_chunk_only(tmp_path: Path) -> None:
    buffer = {"max_age_ns": 10**9, "seam_ns": 10**8}
    settings = {"step_ns": 10**8, "vectors": {"measured": 1}, "images": {}, "buffer": buffer}
    with zmq.Context() as context:
        senses = _Senses(ChildSpec("policy", "policy", str(tmp_path), {}, settings), context)
        senses.begin(begin_ns=0)
        rows = np.tile(HOME_ROW, (8, 1))
        for number, source in [(3, POLICY), (4, TELEOP)]:
            stamp_ns = MonoNs(number)
            senses._add(ActionChunk(number, stamp_ns, stamp_ns, 10**8, rows, source=source))
        assert senses.accepted_id == 3
        context.destroy()


def test_a_stop_comes_from_any_thread_also_while_the_arm_is_taken_over(make_spec: MakeSpec) -> None:
    with Session(make_spec()) as session:
        person = Person(session, take_s=0.5, back_s=60.0)
        stop = threading.Timer(1.2, session.stop, ["operator"])
        stop.start()
        outcome = session.run_episode(seed=1, limit_s=20, watch=person.look)
    assert outcome.result["reason"] == "stopped (operator)"
    assert outcome.record.rung_N[-1] == "stopped"
    assert TELEOP in outcome.record.source_N


@pytest.mark.slow
def test_a_person_who_goes_silent_ends_in_a_latched_stop(make_spec: MakeSpec) -> None:
    with Session(make_spec()) as session:

        def look(view: View) -> None:
            if any(isinstance(message, ActionChunk) for message in view.messages):
                session.take_over()

        outcome = session.run_episode(seed=1, limit_s=20, watch=look)
    assert outcome.result["reason"] == "stopped (no_plan)"
