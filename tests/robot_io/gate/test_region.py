"""The tool stays in its box, before its planes, and out of what is declared to be kept out of."""

import numpy as np
import pytest
from control_toys import HOME, gate_limits, moved
from gate_toys import HOLD, Run, assert_kept
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.gate.reasons import Reason
from robot_io.gate.region import BeforePlane, OutsideBox, OutsideSphere, Region

PLANE = {"point_m": (0.0, 0.05, 0.25), "normal": (0.0, -0.6, 0.8)}
BOX = {"low_m": (0.5, -0.1, 0.2), "high_m": (0.6, 0.1, 0.4)}
SPHERE = {"centre_m": (0.45, -0.15, 0.3), "radius_m": 0.08}
CROWDED = {"planes": [PLANE], "keep_out_boxes": [BOX], "keep_out_spheres": [SPHERE]}


def room_m(position_N3: np.ndarray) -> dict[str, np.ndarray]:
    """How far positions are from each place that is not allowed; below 0 in there."""
    low, high = np.array(BOX["low_m"]), np.array(BOX["high_m"])
    sides_N3 = np.maximum(low - position_N3, position_N3 - high)
    outside_N = np.linalg.norm(np.maximum(sides_N3, 0), axis=1)
    return {
        "plane": (position_N3 - PLANE["point_m"]) @ PLANE["normal"],
        "box": np.where(sides_N3.max(axis=1) > 0, outside_N, sides_N3.max(axis=1)),
        "sphere": np.linalg.norm(position_N3 - SPHERE["centre_m"], axis=1) - SPHERE["radius_m"],
    }


@pytest.mark.parametrize(
    ("by_m", "reason", "wall"),
    [
        ((0, 0.1, -0.15), Reason.PLANE, "plane"),
        ((0.12, 0.0, 0.0), Reason.KEEP_OUT, "box"),
        ((0, -0.2, 0.0), Reason.KEEP_OUT, "sphere"),
    ],
)
def test_a_command_into_a_forbidden_place_ends_before_it(by_m, reason, wall):
    run, reasons = Run(**CROWDED), set()
    for _ in range(250):
        reasons.update(run.check(moved(by_m=by_m)).reasons)
    sent_N8 = np.array(run.sent)
    assert reason in reasons
    left_N = room_m(sent_N8[:, :3])[wall]
    assert left_N.min() >= 0 and left_N[-1] < 0.003
    assert_kept(sent_N8, run.limits)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_stream_leads_into_a_forbidden_place_or_breaks_a_limit_before_it(seed):
    rng, run = np.random.default_rng(seed), Run(**CROWDED)
    for k in range(200):
        if k % 30 == 0:
            goal_8 = moved(by_m=rng.uniform(-0.3, 0.3, 3))
        asked_8 = goal_8 if rng.random() < 0.9 else np.full(8, np.nan)
        run.check(asked_8)
    sent_N8 = np.array(run.sent)
    assert min(left_N.min() for left_N in room_m(sent_N8[:, :3]).values()) >= 0
    assert_kept(sent_N8, run.limits)


def test_a_tool_that_is_found_inside_may_leave_but_not_go_deeper():
    run = Run(**CROWDED)
    run.measured = moved(by_m=(0.06, 0, 0))  # 1 cm inside the box
    for _ in range(100):
        deeper = run.check(moved(by_m=(0.1, 0, 0)))
    assert room_m(np.array(run.sent)[:, :3])["box"].min() >= -0.01 - 1e-9
    assert Reason.KEEP_OUT in deeper.reasons
    for _ in range(100):
        run.check(HOME)
    assert np.array_equal(run.sent[-1], HOME)


WALLS = {
    "plane": BeforePlane(PLANE["point_m"], PLANE["normal"]),
    "box": OutsideBox(BOX["low_m"], BOX["high_m"]),
    "sphere": OutsideSphere(SPHERE["centre_m"], SPHERE["radius_m"]),
}


@pytest.mark.parametrize("wall", WALLS)
@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_clipped_lands_on_the_nearest_place_that_is_allowed(wall, seed):
    rule, rng = WALLS[wall], np.random.default_rng(seed)
    x, y, z = rng.uniform((0.4, -0.25, 0.15), (0.65, 0.15, 0.45))
    clipped = rule.clipped((x, y, z))
    before_m, after_m = room_m(np.array([(x, y, z), clipped]))[wall]
    assert rule.depth_m((x, y, z)) == pytest.approx(-before_m, abs=1e-12)
    if before_m >= 0:
        assert clipped == (x, y, z)
        return
    assert -1e-12 <= after_m <= 2e-9, "on the border, for the eye"
    assert np.linalg.norm(np.subtract(clipped, (x, y, z))) == pytest.approx(-before_m, abs=3e-9)


def test_the_middle_of_a_sphere_has_a_way_out_as_well():
    rule = WALLS["sphere"]
    assert rule.depth_m(rule.clipped(SPHERE["centre_m"])) == pytest.approx(0, abs=2e-9)


def test_what_one_rule_made_of_a_place_another_one_mends():
    """Out of the sphere, into the box beside it, and out of that."""
    box, sphere = OutsideBox((0.2, -0.02, -0.1), (0.4, 0.3, 0.1)), OutsideSphere((0, 0, 0), 0.25)
    region, place = Region([box, sphere]), (0.15, 0.0, 0.0)
    assert box.depth_m(sphere.clipped(place)) > 0
    point, reasons = region.aim(place)
    assert region.distance_m(point) >= 0
    assert reasons == [Reason.KEEP_OUT]


@pytest.mark.parametrize("answer", ["clip", "reject_chunk"])
def test_a_command_beyond_the_workspace_is_clipped_or_its_chunk_dropped(answer):
    on_violation = gate_limits().on_violation.model_dump() | {"workspace": answer}
    run = Run(on_violation=on_violation)
    run.check(HOME, chunk_id=1)
    beyond_8 = moved(by_m=(0.5, 0, 0))
    verdict = run.check(beyond_8, chunk_id=1)
    assert (verdict.kind is HOLD) == (answer == "reject_chunk")
    assert Reason.WORKSPACE in verdict.reasons
    verdict = run.check(HOME, chunk_id=1)
    assert (verdict.kind is HOLD) == (answer == "reject_chunk")
    assert run.check(HOME, chunk_id=2).kind is not HOLD
