"""The checker of `bench gate` lets a legal stream pass and catches each limit that is broken."""

import ast
import inspect
from dataclasses import replace
from math import cos, sin
from pathlib import Path

import numpy as np
import pytest

from scripts.bench.gate.checker import ArmSeen, Checker, Heft, Limits, Seen
from scripts.robot import SIM_FR3

GATE = {
    "period_s": 0.01,
    "max_command_age_s": 0.05,
    "workspace_low_m": [0.25, -0.3, 0.05],
    "workspace_high_m": [0.7, 0.3, 0.55],
    "max_width_m": 0.08,
    "max_speed_m_per_s": 0.5,
    "max_accel_m_per_s2": 3.0,
    "max_turn_rad_per_s": 2.0,
    "max_turn_accel_rad_per_s2": 12.0,
    "max_width_speed_m_per_s": 0.1,
    "force_max_n": 30.0,
    "stiffness_n_per_m": 600.0,
    "torque_max_nm": 3.0,
    "stiffness_nm_per_rad": 10.0,
    "measured": {"max_speed_m_per_s": 100.0, "max_turn_rad_per_s": 1000.0},  # as tests push it
}
LIMITS = Limits.of(GATE)
JERKY = Limits.of({**GATE, "max_jerk_m_per_s3": 60.0, "max_turn_jerk_rad_per_s3": 240.0})
MS = 1_000_000
LIGHT = Heft(7.0, 130.0)  # critically damped, at 600 N/m


def row(x=0.45, y=0.0, z=0.3, *, yaw_rad=0.0, width_m=0.04) -> np.ndarray:
    return np.array([x, y, z, 0.0, cos(yaw_rad / 2), sin(yaw_rad / 2), 0.0, width_m])


class Stream:
    """A gate that does as a test says, and an arm that is where it was told to be."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.checker = Checker(limits)
        self.given_8 = row()
        self.checker.anchor(self.given_8)
        self.now_ns = 0
        self.sequence = 0

    def tick(self, given: object, *, ms: int = 10, **changed: object) -> list[str]:
        """The limits that the checker finds broken when the gate gives this."""
        self.now_ns += ms * MS
        self.sequence += 1
        seen = Seen(
            now_ns=self.now_ns,
            row=given,
            sequence=self.sequence,
            due_ns=self.now_ns,
            measured=self.given_8,
            wrench=None,
            kind="accepted",
            given=given,
        )
        found = self.checker.tick(replace(seen, **changed))
        if isinstance(given, np.ndarray) and given.shape == (8,):
            self.given_8 = given
        return [violation.limit for violation in found]

    def ticks(self, rows: list[np.ndarray], **changed: object) -> set[str]:
        return {limit for given in rows for limit in self.tick(given, **changed)}


def ramp(ticks: int, *, accel=2.9, speed=0.49, column="x") -> list[np.ndarray]:
    """From rest up to a speed and on, along one column (m or rad), by constant acceleration."""
    velocities = np.minimum(accel * 0.01 * np.arange(1, ticks + 1), speed)
    way = 0.01 * np.cumsum(velocities)
    if column == "yaw":
        return [row(yaw_rad=each) for each in way]
    return [row(0.45 + each) for each in way]


def test_the_checker_imports_nothing_of_ours():
    nodes = list(ast.walk(ast.parse(Path(inspect.getfile(Checker)).read_text())))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    allowed = {"tomllib", "collections", "dataclasses", "math", "pathlib", "typing", "numpy"}
    assert modules <= allowed


def test_the_limits_are_read_from_the_file_of_the_robot():
    limits = Limits.read(SIM_FR3)
    assert limits.leash[0] == pytest.approx(60 / 700)
    assert limits.speed[0] == 0.5


@pytest.mark.parametrize("limits", [LIMITS, JERKY])
def test_a_smooth_motion_breaks_nothing(limits):
    stream = Stream(limits)
    rows = [
        row(0.45 + 0.05 * (1 - cos(k / 50)), yaw_rad=0.2 * (1 - cos(k / 50)), width_m=0.04)
        for k in range(300)
    ]
    assert stream.ticks(rows) == set()
    assert min(stream.checker.judged[name] for name in ("step", "accel", "turn_accel")) > 250


@pytest.mark.parametrize("column", ["x", "yaw"])
def test_a_motion_at_its_limits_breaks_nothing_and_a_little_more_does(column):
    unit, speed, accel = ("", 0.5, 3.0) if column == "x" else ("turn_", 2.0, 12.0)
    legal = {"speed": speed, "accel": accel, "column": column}
    assert Stream().ticks(ramp(30, **legal)) == set()
    assert Stream().ticks(ramp(30, **{**legal, "speed": 1.001 * speed})) == {f"{unit}step"}
    assert f"{unit}accel" in Stream().ticks(ramp(5, **{**legal, "accel": 1.001 * accel}))


@pytest.mark.parametrize("column", ["x", "yaw"])
def test_a_jerk_above_its_limit_is_caught(column):
    name = "jerk" if column == "x" else "turn_jerk"
    accel = 2.9 if column == "x" else 11.9
    assert name in Stream(JERKY).ticks([row()] * 5 + ramp(5, accel=accel, column=column))
    assert name not in Stream(LIMITS).ticks([row()] * 5 + ramp(5, accel=accel, column=column))


@pytest.mark.parametrize(
    ("place", "measured"),
    [((0.701, 0, 0.3), None), ((0.249, 0, 0.3), None), ((0.45, 0.301, 0.3), None)],
)
def test_a_command_outside_the_workspace_is_caught(place, measured):
    stream = Stream()
    inside = row(*np.clip(place, LIMITS.low_m, LIMITS.high_m))
    stream.checker.anchor(inside)
    assert "outside_workspace_m" in stream.tick(row(*place), measured=inside)


def test_the_leash_may_lead_outside_to_an_arm_that_is_there_and_nothing_else_may():
    stream, arm = Stream(), row(0.8)
    stream.checker.anchor(row(0.70))
    assert stream.tick(row(0.75), measured=arm) == []
    assert "outside_workspace_m" in stream.tick(row(0.752), measured=row(0.75))


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (row(0.51), "leash_m"),
        (row(yaw_rad=0.31), "leash_rad"),
    ],
)
def test_a_command_beyond_the_leash_is_caught(given, limit):
    stream = Stream()
    stream.checker.anchor(given)
    assert limit in stream.tick(given, measured=row())


def test_on_the_leash_a_command_is_as_fast_as_the_arm_was_pushed_and_no_faster():
    pushed = row(0.45 + 0.05 + 0.02)
    assert Stream().tick(row(0.45 + 0.02), measured=pushed) == []
    assert "step" in Stream().tick(row(0.45 + 0.04), measured=row(0.45 + 0.09 - 0.02))


@pytest.mark.parametrize(
    ("width_m", "limit"), [(0.0805, "width_m"), (-0.0005, "width_below_0_m"), (0.0415, "width")]
)
def test_a_width_that_is_out_of_range_or_too_fast_is_caught(width_m, limit):
    stream = Stream()
    start = {"width_m": 0.08, "width_below_0_m": 0.0}.get(limit, 0.04)
    stream.checker.anchor(row(width_m=start))
    found = stream.tick(row(width_m=width_m))
    assert (limit if limit != "width" else "width_speed_m_per_tick") in found


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (np.full(8, np.nan), "given_not_finite"),
        (row(np.inf), "given_not_finite"),
        (row()[:7], "given_shape"),
        (None, "given_shape"),
        (row() * np.where(np.arange(8) // 4 == 1, 1.01, 1.01), "given_not_unit"),
        (np.zeros(8), "given_not_unit"),
    ],
)
def test_a_command_that_is_no_row_is_caught(given, limit):
    assert Stream().tick(given) == [limit]


@pytest.mark.parametrize(
    ("changed", "limit"),
    [
        ({"row": np.full(8, np.nan)}, "followed_command_not_finite"),
        ({"row": np.zeros(8)}, "followed_command_not_unit"),
        ({"row": "row"}, "followed_command_shape"),
        ({"measured": np.full(8, np.nan)}, "followed_unusable_state"),
        ({"measured": row(1e300)}, "followed_unusable_state"),
        ({"sequence": 1}, "followed_old_sequence"),
        ({"sequence": float("nan")}, "followed_old_sequence"),
        ({"due_ns": -40 * MS}, "followed_age"),
        ({"due_ns": 80 * MS}, "followed_age"),
        ({"due_ns": float("nan")}, "followed_age"),
        ({"now_ns": 10 * MS}, "followed_clock"),
    ],
)
def test_a_command_that_must_not_be_followed_is_caught(changed, limit):
    stream = Stream()
    stream.tick(row())
    assert limit in stream.tick(row(), **changed)
    stream = Stream()
    stream.tick(row())
    assert limit not in stream.tick(row(), **{**changed, "kind": "hold"})


def test_no_time_is_no_motion():
    stream = Stream()
    stream.tick(row())
    assert "resting_step" in stream.tick(row(0.4501), ms=0, kind="hold")


def test_a_stamp_that_went_back_does_not_make_the_next_tick_longer():
    stream = Stream()
    stream.ticks(ramp(30))
    far = stream.given_8[0]
    stream.tick(stream.given_8, ms=0, now_ns=stream.now_ns - 50 * MS, kind="hold")
    assert "step" in stream.tick(row(far + 0.0098))


def test_a_stop_is_left_by_a_person_only():
    stream = Stream()
    stream.checker.stop()
    assert stream.tick(row(), kind="stopped") == []
    assert "left_or_entered_stopped_by_itself" in stream.tick(row(), kind="accepted")
    stream.checker.release(row())
    assert stream.tick(row()) == []
    assert "left_or_entered_stopped_by_itself" in stream.tick(row(), kind="stopped")


def test_a_stop_before_the_session_begins_stays():
    stream = Stream()
    stream.checker.stop()
    stream.checker.anchor(row())
    assert stream.tick(row(), kind="stopped") == []


@pytest.mark.parametrize("kind", ["hold", "stopped"])
def test_without_a_usable_plan_the_arm_may_only_brake(kind):
    def braking(share: float) -> set[str]:
        stream = Stream()
        stream.ticks(ramp(30))
        if kind == "stopped":
            stream.checker.stop()
        x, speed, rows = stream.given_8[0], 0.49, []
        for _ in range(40):
            speed = max(speed - share * 0.03, 0.0)
            x += speed * 0.01
            rows.append(row(x))
        return stream.ticks(rows, row=None, kind=kind)

    assert braking(1.0) == set()
    assert "resting_step" in braking(0.9), "too slowly"
    assert "resting_step" in braking(-0.1), "faster"
    assert "accel" in braking(1.1), "too hard"


def test_the_gripper_rests_as_well():
    stream = Stream()
    assert "width_speed_m_per_tick" in stream.tick(row(width_m=0.0401), row=None, kind="hold")


STRAIGHT = (1.0, 0.0, 0.0)
CALM = ArmSeen((0.45, 0.0, 0.3), 0.0, 0.0, STRAIGHT, LIGHT, disturbed=False, pushed=False)


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        (replace(CALM, speed_m_per_s=0.7), "arm_speed_m_per_s"),
        (replace(CALM, position=(0.721, 0.0, 0.3)), "arm_outside_workspace_m"),
        (replace(CALM, contact_n=32.0), "arm_force_n"),
    ],
)
def test_what_the_arm_really_did_is_judged(seen, limit):
    checker = Checker(LIMITS)
    checker.anchor(row())
    for _ in range(150):
        assert checker.arm(CALM, 0.01) == []
    found = [violation.limit for _ in range(50) for violation in checker.arm(seen, 0.01)]
    assert set(found) == {limit}


def swung_m(heft: Heft, *, turns_round: bool) -> float:
    """How far beyond 0 a mass gets on x'' = (k (r - x) + d (r' - x')) / m.

    r comes at full speed and stops dead at 0; or before that it goes to and fro between 0 and
    behind it, just when the mass swings most.
    """
    speed, damping, dt_s = LIMITS.speed[0], heft.damping_n_s_per_m / heft.mass_kg, 1e-4
    w = np.sqrt(LIMITS.stiffness_n_per_m / heft.mass_kg)
    swing_s = np.pi / np.sqrt(w**2 - min(damping / 2, 0.9 * w) ** 2)
    x, v, furthest_m = -12 * speed * swing_s * (not turns_round), speed, 0.0
    for t in np.arange(-12 * swing_s, 1.0, dt_s):
        left, into_s = divmod(-t, swing_s)
        r, rate = (speed * t, speed) if t < 0 else (0.0, 0.0)
        if turns_round and t < 0:
            r, rate = (
                (-speed * into_s, speed) if left % 2 == 0 else (speed * (into_s - swing_s), -speed)
            )
        v += dt_s * (w * w * (r - x) + damping * (rate - v))
        x += dt_s * v
        furthest_m = max(furthest_m, x if t > 0 else 0.0)
    return furthest_m


@pytest.mark.parametrize("damping", [60.0, 120.0, 2 * np.sqrt(600 * 7), 600.0])
def test_no_spring_swings_further_beyond_commands_that_end_at_a_border(damping: float):
    heft = Heft(7.0, damping)
    furthest_m = max(swung_m(heft, turns_round=turns_round) for turns_round in (False, True))
    assert furthest_m == pytest.approx(LIMITS.swing_m(heft), rel=5e-3)


def test_the_heaviest_that_a_calm_arm_has_been_counts_until_it_is_disturbed():
    checker = Checker(LIMITS)
    checker.anchor(row())
    heavy = replace(CALM, heft=Heft(28.0, 140.0))
    out_m = LIMITS.swing_m(LIGHT) + LIMITS.high_m[0] + 0.005
    beyond = replace(CALM, position=(out_m, 0.0, 0.3))
    for seen in (heavy, *[CALM] * 150, beyond):
        assert checker.arm(seen, 0.01) == []
    for seen in (replace(CALM, disturbed=True), *[CALM] * 150):
        assert checker.arm(seen, 0.01) == []
    assert [v.limit for v in checker.arm(beyond, 0.01)] == ["arm_outside_workspace_m"]


@pytest.mark.parametrize(
    ("lever", "most_n"),
    [
        ((1.0, 0.0, 0.0), 30.0),
        ((2.0, 0.0, 0.0), 60.0),  # a wedge: the tool goes 2 m for each that the contact goes in
        ((1.0, 5.0, 0.0), 45.0),  # 3 N·m, 0.2 m from it
        ((1.0, 0.0, 7.0), 37.0),  # something else presses as well
    ],
)
def test_what_an_arm_may_press_with_follows_the_law_of_the_lever(lever, most_n):
    for contact_n, found in (
        (1.04 * (most_n - lever[2]) + lever[2], set()),
        (1.06 * most_n, {"arm_force_n"}),
    ):
        checker = Checker(LIMITS)
        checker.anchor(row())
        press = replace(CALM, contact_n=contact_n, lever=lever, disturbed=True)
        assert {v.limit for _ in range(50) for v in checker.arm(press, 0.01)} == found


SLOW = Limits.of({**GATE, "measured": {"max_speed_m_per_s": 3.0, "max_turn_rad_per_s": 20.0}})


@pytest.mark.parametrize("lie", [row(0.6), row(yaw_rad=1.0)])
def test_a_pose_where_no_arm_can_have_got_to_is_neither_followed_nor_a_leash(lie):
    stream = Stream(SLOW)
    assert stream.ticks([row()] * 3) == set()
    assert "followed_unusable_state" in stream.tick(row(), measured=lie)
    stream = Stream(SLOW)
    stream.ticks([row()] * 3)
    assert stream.tick(row(), measured=lie, kind="hold") == []
    near_lie = row(0.55) if lie[0] > 0.5 else row(yaw_rad=0.7)
    assert stream.tick(near_lie, measured=lie, kind="hold") != []


def test_a_pose_that_goes_on_being_elsewhere_is_the_leash_after_its_way_at_full_speed():
    stream, there = Stream(SLOW), row(0.45 + 0.10, yaw_rad=0.5)
    assert stream.ticks([row()] * 3) == set()
    for _ in range(3):
        stream.tick(row(), measured=there, kind="hold")
        assert stream.checker.doubts
    found = stream.tick(row(), measured=there, kind="hold")
    assert not stream.checker.doubts
    assert set(found) == {"leash_m", "leash_rad"}


def test_the_first_state_of_all_may_be_the_false_one():
    stream = Stream(SLOW)
    stream.checker.anchor(row(0.65))
    assert "leash_m" in stream.tick(row(0.65), measured=row(), kind="hold")


def test_a_blow_is_no_lasting_force_and_a_push_is_not_the_arm():
    checker = Checker(LIMITS)
    checker.anchor(row())
    hit = replace(CALM, contact_n=300.0, disturbed=True)
    pushed = replace(CALM, contact_n=300.0, speed_m_per_s=9.0, disturbed=True, pushed=True)
    for seen in [CALM, hit] * 60 + [pushed] * 150:
        assert checker.arm(seen, 0.01) == []
    assert checker.arm(pushed, 0.4) == [], "nor in a tick that comes late"


def test_an_arm_that_goes_on_after_a_stop_is_caught():
    stream = Stream()
    stream.checker.stop()
    moving, found = replace(CALM, speed_m_per_s=0.02), set()
    for _ in range(300):
        stream.tick(row(), kind="stopped")
        found |= {violation.limit for violation in stream.checker.arm(moving, 0.01)}
    assert found == {"arm_moves_when_stopped"}


RULES = {
    "planes": [{"point_m": [0.6, 0.0, 0.3], "normal": [-1.0, 0.0, 0.0]}],
    "keep_out_boxes": [{"low_m": [0.3, 0.1, 0.1], "high_m": [0.4, 0.2, 0.4]}],
    "keep_out_spheres": [{"centre_m": [0.45, -0.2, 0.3], "radius_m": 0.05}],
    "touch": {"measured_force": "required", "max_force_n": 40.0, "max_torque_nm": 4.0},
}
FELT = np.zeros(6)


@pytest.mark.parametrize(
    ("outside", "inside", "limit"),
    [
        ((0.599, 0.0, 0.3), (0.601, 0.0, 0.3), "behind_plane_m"),
        ((0.35, 0.099, 0.3), (0.35, 0.101, 0.3), "in_keep_out_box_m"),
        ((0.35, 0.15, 0.401), (0.35, 0.15, 0.399), "in_keep_out_box_m"),
        ((0.45, -0.149, 0.3), (0.45, -0.151, 0.3), "in_keep_out_sphere_m"),
    ],
)
def test_a_command_where_the_tool_must_not_be_is_caught_but_not_one_on_its_way_out(
    outside, inside, limit
):
    stream = Stream(Limits.of({**GATE, **RULES}))
    stream.checker.anchor(row(*outside))
    there = {"measured": row(*outside), "wrench": FELT}
    assert limit in stream.tick(row(*inside), **there)
    assert limit not in stream.tick(row(*outside), **there)


def test_the_leash_may_pull_through_a_keep_out_box_to_an_arm_behind_it():
    stream = Stream(Limits.of({**GATE, **RULES}))
    stream.checker.anchor(row(0.35, 0.09, 0.3))
    assert stream.tick(row(0.35, 0.18, 0.3), measured=row(0.35, 0.23, 0.3), wrench=FELT) == []


@pytest.mark.parametrize("wrench", [None, np.zeros(3), np.full(6, np.nan), "wrench"])
def test_an_arm_that_feels_nothing_although_it_should_is_not_followed(wrench):
    stream = Stream(Limits.of({**GATE, **RULES}))
    assert stream.tick(row(), wrench=FELT) == []
    assert "followed_unusable_state" in stream.tick(row(), wrench=wrench)


@pytest.mark.parametrize(("axis", "value"), [(1, 40.1), (4, 4.1)])
def test_an_arm_that_feels_too_much_must_be_stopped(axis, value):
    wrench = np.zeros(6)
    wrench[axis] = -value
    stream = Stream(Limits.of({**GATE, **RULES}))
    assert "left_or_entered_stopped_by_itself" in stream.tick(row(), wrench=wrench)
    stream = Stream(Limits.of({**GATE, **RULES}))
    assert stream.tick(row(), wrench=wrench, kind="stopped") == []
    assert stream.tick(row(), wrench=FELT, kind="stopped") == []
