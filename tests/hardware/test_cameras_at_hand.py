"""At a real camera: `pytest -m hardware tests/hardware`, with one of each kind connected."""

import pytest

from robot_io.devices.realsense import RealSenseCamera
from robot_io.devices.uvc import UvcCamera
from robot_io.interfaces import Camera

pytestmark = pytest.mark.hardware


@pytest.mark.parametrize("make", [RealSenseCamera, UvcCamera])
def test_frames_advance_and_are_fresh(make: type) -> None:
    camera: Camera
    with make("camera") as camera:
        frames = [camera.read(2.0) for _ in range(30)]
    assert all(frame is not None for frame in frames)
    stamps = [frame.exposed_ns for frame in frames if frame is not None]
    assert stamps == sorted(set(stamps))
    ages_s = [(f.received_ns - f.exposed_ns) / 1e9 for f in frames if f is not None]
    assert max(ages_s) < 0.2
