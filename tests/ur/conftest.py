"""A peer per test: it plays the controller, in a process of its own, at an address of its own."""

from collections.abc import Iterator

import pytest
from ur_parts import Peer, arm_at

from robot_io.devices.ur import URArm


@pytest.fixture
def peer() -> Iterator[Peer]:
    pytest.importorskip("rtde_control", reason="needs the extra 'ur'")
    peer = Peer()
    yield peer
    peer.kill()


@pytest.fixture
def arm(peer: Peer) -> Iterator[URArm]:
    with arm_at(peer.address) as arm:
        yield arm
