"""A session with a UR arm: its processes, the driver and RTDE to a peer of the tests."""

import numpy as np
import pytest
from ur_parts import MAX_TARGET_AGE_S, Peer

from robot_io.control.replay import replay
from robot_io.session.processes import Factory
from robot_io.session.session import Session
from robot_io.session.watchdog import REQUESTED
from scripts.checkpoints import REPOSITORY
from scripts.live.stage import session_around
from scripts.robot import load_robot

pytestmark = pytest.mark.slow
CIRCLE = Factory("robot_io.devices.fake:CirclePlanner", {"radius_m": 0.02, "inference_s": 0.05})
UR5E = REPOSITORY / "configs" / "robots" / "ur5e.toml"


def test_between_two_episodes_the_arm_is_stopped_left_and_entered_again(peer: Peer) -> None:
    robot = load_robot(UR5E)
    assert robot.ur is not None
    changed = {
        "ur": robot.ur.model_copy(update={"address": peer.address}),
        "arm": robot.arm.model_copy(update={"max_target_age_s": MAX_TARGET_AGE_S}),
    }
    spec = session_around(CIRCLE, robot.model_copy(update=changed), history={"measured": 1})
    told: list[str] = []
    with Session(spec, tell=told.append) as session:
        records = [
            session.run_episode(seed=seed, limit_s=2.0, released=True).record for seed in (1, 2)
        ]
    for record in records:
        assert (record.rung_N == "plan").mean() > 0.5
        assert np.ptp(record.measured_ND[:, 1]) > 0.005
        assert (record.reasons_N[-1], record.arm_stopped_by) == ("episode_over", REQUESTED)
        assert replay(record).first is None
    assert told.count("The arm stands still by its own stop: requested.") == 2
