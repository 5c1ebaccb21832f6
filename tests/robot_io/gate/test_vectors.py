"""Frames that are laid along vectors, of which some have no direction."""

import numpy as np
import pytest

from robot_io.gate.vectors import direction, frame_along

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@pytest.mark.parametrize(("length", "has_one"), [(5e-12, True), (5e-13, False), (0.0, False)])
def test_what_is_shorter_than_a_trillionth_has_no_direction(length, has_one):
    assert direction((length, 0.0, 0.0)) == (pytest.approx(X) if has_one else None)
    _, second, _ = frame_along(X, (0.0, 0.0, length))
    assert second == pytest.approx(Z if has_one else Y)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_frame_is_orthonormal_also_when_all_that_is_wanted_lies_along_one_line(scale):
    rng = np.random.default_rng(0)
    for _ in range(100):
        x, y, z = rng.normal(size=3)
        frame_33 = np.array(frame_along((x, y, z), (x * scale, y * scale, z * scale)))
        assert np.allclose(frame_33 @ frame_33.T, np.eye(3), rtol=0, atol=1e-9)
        assert np.linalg.det(frame_33) == pytest.approx(1.0)
