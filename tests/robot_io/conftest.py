"""A small session of fake devices in real processes.

The presence of this file lets the tests in the folders below import what lies beside it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transport_parts import CONTROL, STREAMS

from robot_io.session.processes import Factory
from robot_io.session.spec import SessionSpec


@pytest.fixture
def make_spec(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SessionSpec]:
    """A spec of fakes; keywords replace parts of it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # children find transport_world

    def make(**changes: Any) -> SessionSpec:
        parts: dict[str, Any] = {
            "arm": Factory("robot_io.devices.fake:FakeArm"),
            "policy": Factory("robot_io.devices.fake:CirclePlanner", {"rows": 8}),
            "control": CONTROL,
            "step_ns": 100_000_000,
            "vectors": {"measured": 2, "commanded": 2},
            "images": {"wrist": 2, "scene": 1},
            "streams": STREAMS,
            "max_target_age_s": 0.2,
            "cameras": {
                "wrist": Factory("robot_io.devices.fake:FakeCamera", {"name": "wrist"}),
                "scene": Factory("robot_io.devices.fake:FakeCamera", {"name": "scene"}),
            },
        }
        return SessionSpec(**{**parts, **changes})

    return make
