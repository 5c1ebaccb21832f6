"""A session with a Franka: its processes, the driver and libfranka's protocol to a bench."""

import numpy as np
import pytest
from franka_parts import ROBOT, Halted, wait_for

from robot_io.control.record import EpisodeRecord
from robot_io.control.replay import replay
from robot_io.errors import FeelforwardError
from robot_io.session.processes import Factory
from robot_io.session.session import EpisodeCutError, Session
from robot_io.session.timing import Outcome
from robot_io.session.view import View
from robot_io.session.watchdog import REQUESTED
from scripts.live.stage import session_around
from scripts.robot import RobotConfig
from sim.franka_process import FrankaProcess

CIRCLE = Factory("robot_io.devices.fake:CirclePlanner", {"radius_m": 0.04, "inference_s": 0.05})
MEASURED = {"measured": 1}


def robot_at(bench: FrankaProcess) -> RobotConfig:
    assert ROBOT.franka is not None
    there = {"address": bench.address, "realtime_kernel": False}
    return ROBOT.model_copy(update={"franka": ROBOT.franka.model_copy(update=there)})


def undisturbed(outcome: Outcome) -> EpisodeRecord:
    record = outcome.record
    if any("stale" in reasons or "no_target" in reasons for reasons in record.reasons_N):
        raise Halted("states came late, or commands did")
    return record


@pytest.mark.slow
def test_a_session_moves_a_franka_stops_it_and_begins_again_by_a_persons_word() -> None:
    told: list[str] = []
    with FrankaProcess() as bench:
        spec = session_around(CIRCLE, robot_at(bench), history=MEASURED)
        with Session(spec, tell=told.append) as session:
            first = undisturbed(session.run_episode(seed=1, limit_s=5.0))
            wait_for(lambda: not bench.newest().in_motion, 1.0)
            with pytest.raises(FeelforwardError, match="The gate has stopped the arm"):
                session.run_episode(seed=2, limit_s=1.0)
        with Session(spec) as session:
            session.run_episode(seed=1, limit_s=1.0)
            again = undisturbed(session.run_episode(seed=2, limit_s=3.0, released=True))
    for record in (first, again):
        assert (record.rung_N == "plan").mean() > 0.85
        assert np.ptp(record.measured_ND[:, 1]) > 0.03
        assert (record.reasons_N[-1], record.arm_stopped_by) == ("episode_over", REQUESTED)
        assert replay(record).first is None
    assert "The arm stands still by its own stop: requested." in told


@pytest.mark.slow
def test_a_persons_stop_brakes_a_franka_and_lets_its_spring_go() -> None:
    def press(view: View) -> None:
        seen.append(view)
        if len(seen) == 100:  # 2 s
            session.stop("operator")

    seen: list[View] = []
    with FrankaProcess() as bench:
        spec = session_around(CIRCLE, robot_at(bench), history=MEASURED)
        with Session(spec) as session:
            outcome = session.run_episode(seed=1, limit_s=20.0, watch=press)
            wait_for(lambda: not bench.newest().in_motion, 1.0)
    record = undisturbed(outcome)
    assert outcome.result["reason"] == "stopped (operator)"
    braking_N = record.rung_N == "stopped"
    speed_N = np.linalg.norm(np.diff(record.sent_ND[braking_N, :3], axis=0), axis=1) / 0.01
    assert speed_N[0] > 0.02 and speed_N[-1] == 0
    assert record.arm_stopped_by == REQUESTED


@pytest.mark.slow
def test_an_arm_whose_link_dies_ends_the_session_and_leaves_a_record_that_replays() -> None:
    def pull_the_cable(view: View) -> None:
        seen.append(view)
        if len(seen) == 100:  # 2 s
            bench.kill()

    seen: list[View] = []
    with FrankaProcess() as bench:
        spec = session_around(CIRCLE, robot_at(bench), history=MEASURED)
        with Session(spec) as session, pytest.raises(EpisodeCutError, match="No link") as cut:
            session.run_episode(seed=1, limit_s=20.0, watch=pull_the_cable)
    record = cut.value.record
    assert record is not None
    assert "state_stale" in record.reasons_N[-1]  # before the library noticed anything
    assert replay(record).first is None


def test_a_camera_that_no_config_describes_is_asked_for_in_one_sentence() -> None:
    with pytest.raises(FeelforwardError, match=r"add \[cameras.wrist\] to its config"):
        session_around(CIRCLE, ROBOT, history={**MEASURED, "wrist": 1})
