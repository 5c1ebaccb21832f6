"""The algebra of rows: rotations as rotations, curves without kinks."""

import numpy as np
import pytest
from control_toys import HOME, STEP_NS, moved, same, smooth_plan
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io import so3
from robot_io.rows import (
    ToolRows,
    VectorRows,
    matrix_from_quat,
    quat_distance_rad,
    quat_from_matrix,
    quat_from_rotvec,
    quat_multiply,
    rotate,
    rotvec_between,
    rotvec_from_quat,
    slerp,
)

TOOL = ToolRows()
number = st.floats(-3, 3)
rotvec = st.tuples(number, number, number).map(np.array)


@settings(deadline=None, max_examples=50)
@given(rotvec)
def test_a_rotation_survives_every_way_of_writing_it(rotvec_3):
    quat_4 = quat_from_rotvec(rotvec_3)
    assert quat_distance_rad(quat_4, quat_from_rotvec(rotvec_from_quat(quat_4))) < 1e-7
    assert quat_distance_rad(quat_4, quat_from_matrix(matrix_from_quat(quat_4))) < 1e-7
    assert quat_distance_rad(quat_4, -quat_4) < 1e-7


@settings(deadline=None, max_examples=50)
@given(rotvec, rotvec)
def test_products_of_quaternions_are_products_of_matrices(a_3, b_3):
    a_4, b_4 = quat_from_rotvec(a_3), quat_from_rotvec(b_3)
    product_33 = matrix_from_quat(a_4) @ matrix_from_quat(b_4)
    assert np.allclose(matrix_from_quat(quat_multiply(a_4, b_4)), product_33, atol=1e-12)
    assert np.allclose(rotate(a_4, b_3), matrix_from_quat(a_4) @ b_3, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(rotvec, rotvec)
def test_single_rotations_in_floats_agree_with_arrays(a_3, b_3):
    a, b = so3.exponential(tuple(a_3)), so3.exponential(tuple(b_3))
    assert np.allclose(a, quat_from_rotvec(a_3), atol=1e-12)
    assert np.allclose(so3.multiply(a, b), quat_multiply(a, b), atol=1e-12)
    turned = quat_from_rotvec(np.array(so3.between(a, b)))
    assert quat_distance_rad(quat_multiply(turned, a), np.array(b)) < 1e-7


def test_slerp_takes_the_short_way_whatever_the_sign_of_the_quaternion():
    a_4, b_4 = HOME[3:7], -moved(yaw_rad=1.0)[3:7]
    middle_4 = slerp(a_4, b_4, 0.5)
    assert quat_distance_rad(a_4, middle_4) == pytest.approx(0.5)
    assert quat_distance_rad(middle_4, b_4) == pytest.approx(0.5)


def test_a_curve_goes_through_its_rows():
    rows_HD = smooth_plan(16)
    rows_HD[::3, 3:7] *= -1
    curve = TOOL.curve(rows_HD, STEP_NS)
    for h, row_D in enumerate(rows_HD):
        at_D, _ = curve.at(h * STEP_NS)
        assert np.array_equal(at_D[[0, 1, 2, 7]], row_D[[0, 1, 2, 7]])
        assert TOOL.distance(at_D, row_D)[1] < 1e-7


def test_a_vector_curve_gives_its_rows_back_bit_for_bit():
    rows_HD = np.random.default_rng(0).uniform(0, 512, (16, 2))
    curve = VectorRows(2).curve(rows_HD, STEP_NS)
    assert all(np.array_equal(curve.at(h * STEP_NS)[0], rows_HD[h]) for h in range(16))


def test_a_curve_reports_the_velocity_it_has_also_across_its_rows():
    rng = np.random.default_rng(1)
    rows_HD = np.stack([moved(by_m=rng.normal(0, 0.1, 3), yaw_rad=rng.normal()) for _ in range(9)])
    rows_HD[:, 3:7] = quat_multiply(quat_from_rotvec(rng.normal(0, 0.5, (9, 3))), rows_HD[:, 3:7])
    curve, half_ns = TOOL.curve(rows_HD, STEP_NS), 500
    for at_ns in [*rng.integers(half_ns, 8 * STEP_NS - half_ns, 100).tolist(), 3 * STEP_NS]:
        (before_D, _), (after_D, _) = curve.at(at_ns - half_ns), curve.at(at_ns + half_ns)
        turned_3 = rotvec_between(before_D[3:7], after_D[3:7])
        measured_6 = np.concatenate([after_D[:3] - before_D[:3], turned_3]) / (2 * half_ns * 1e-9)
        assert np.allclose(measured_6, curve.at(at_ns)[1][:6], atol=5e-3)


def test_the_gripper_never_overshoots_between_rows():
    rows_HD = np.stack([HOME] * 4)
    rows_HD[:, 7] = (0.08, 0.08, 0.0, 0.0)
    curve = TOOL.curve(rows_HD, STEP_NS)
    widths = [curve.at(t)[0][7] for t in range(0, 3 * STEP_NS, 7_000_000)]
    assert min(widths) >= 0 and max(widths) <= 0.08


@pytest.mark.parametrize(
    ("row_D", "words"),
    [
        (np.full(8, np.nan), "finite"),
        (np.where(np.arange(8) == 2, np.inf, HOME), "finite"),
        (np.zeros(8), "quaternion"),
        (np.ones(7), "shape"),
        (np.arange(8), "floats"),
        ([0.0] * 8, "floats"),
    ],
)
def test_an_unusable_row_is_told_why(row_D, words):
    assert words in TOOL.fault(row_D)


def test_a_usable_row_has_no_fault():
    assert TOOL.fault(HOME) is None
    assert TOOL.fault(smooth_plan(4)) is None
    assert VectorRows(2).fault(np.zeros((3, 2))) is None


def test_a_limited_step_goes_no_further_than_allowed_and_stops_at_the_goal():
    goal_D = moved(by_m=(0.3, 0.0, 0.4), yaw_rad=1.0)
    assert TOOL.distance(HOME, TOOL.limit_step(HOME, goal_D, 0.1, 0.2)) == pytest.approx((0.1, 0.2))
    assert TOOL.limit_step(HOME, goal_D, 0.6, 1.1) is goal_D
    step_2 = VectorRows(2).limit_step(np.zeros(2), np.array([3.0, 4.0]), 1.0, 0.0)
    assert np.allclose(step_2, (0.6, 0.8))


def test_samples_are_interpolated_on_the_rotation_and_held_beyond_the_ends():
    stamps_N, rows_ND = np.array([0, 100]), np.stack([HOME, moved(by_m=(0, 0, 0.2), yaw_rad=0.8)])
    early_D, middle_D, late_D = TOOL.interpolate(stamps_N, rows_ND, np.array([-50, 25, 500]))
    assert np.array_equal(early_D, rows_ND[0]) and same(late_D, rows_ND[1])
    assert same(middle_D, moved(by_m=(0, 0, 0.05), yaw_rad=0.2))
