"""A small session of fake devices in real processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robot_io.gate import GateLimits
from robot_io.loop import LoopLimits
from robot_io.processes import Factory
from robot_io.session_spec import ControlSpec, SessionSpec

GATE = GateLimits(
    period_s=0.01,
    max_command_age_s=0.1,
    workspace_low_m=(0.2, -0.4, 0.0),
    workspace_high_m=(0.8, 0.4, 0.6),
    max_width_m=0.08,
    max_speed_m_per_s=0.5,
    max_accel_m_per_s2=5.0,
    max_turn_rad_per_s=2.0,
    max_turn_accel_rad_per_s2=15.0,
    max_width_speed_m_per_s=0.1,
    force_max_n=60.0,
    stiffness_n_per_m=700.0,
    torque_max_nm=2.0,
    stiffness_nm_per_rad=5.0,
)
CONTROL = ControlSpec(
    gate=GATE,
    loop=LoopLimits(stop_after_s=5.0, max_state_age_s=0.2),
    max_age_ns=2_000_000_000,
    seam_ns=100_000_000,
)


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
            "cameras": {
                "wrist": Factory("robot_io.devices.fake:FakeCamera", {"name": "wrist"}),
                "scene": Factory("robot_io.devices.fake:FakeCamera", {"name": "scene"}),
            },
        }
        return SessionSpec(**{**parts, **changes})

    return make
