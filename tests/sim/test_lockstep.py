from collections.abc import Iterator

import numpy as np
import pytest

from robot_io.errors import FeelforwardError
from sim.lockstep import LockstepCap
from sim.view import STREAMS, CapView


@pytest.fixture(scope="module")
def cap() -> Iterator[LockstepCap]:
    with LockstepCap() as world:
        yield world


def frames(cap: LockstepCap, seed: int, until_ns: int) -> dict[str, np.ndarray]:
    cap.reset(seed)
    cap.advance_to(until_ns)
    newest = {camera.name: camera.read(0.0) for camera in cap.cameras}
    return {name: frame.image_HWC for name, frame in newest.items() if frame is not None}


def test_every_sensor_delivers_images_of_its_size(cap: LockstepCap):
    images = frames(cap, 1, 500_000_000)
    assert set(images) == set(STREAMS)
    assert images["wrist"].shape == images["scene"].shape == (96, 96, 3)
    assert images["tactile_left"].shape == (32, 32, 3)


def test_the_same_seed_gives_the_same_pixels_twice(cap: LockstepCap):
    first, other = frames(cap, 1, 300_000_000), frames(cap, 2, 300_000_000)
    again = frames(cap, 1, 300_000_000)
    for name in STREAMS:
        assert np.array_equal(first[name], again[name])
    assert not np.array_equal(first["wrist"], other["wrist"])


def test_a_frame_arrives_after_its_latency_and_only_once(cap: LockstepCap):
    cap.reset(1)
    wrist = next(camera for camera in cap.cameras if camera.name == "wrist")
    cap.advance_to(10_000_000)
    assert wrist.read(0.0) is None
    cap.advance_to(15_000_000)
    frame = wrist.read(0.0)
    assert frame is not None
    assert (frame.exposed_ns, frame.received_ns) == (0, 15_000_000)
    assert wrist.read(0.0) is None


def test_an_unknown_sensor_is_named_in_the_error(cap: LockstepCap):
    with pytest.raises(FeelforwardError, match="No sensor 'elbow'"):
        CapView().draw("elbow", cap.world.snapshot())
