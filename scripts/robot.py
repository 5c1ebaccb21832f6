"""The config of a robot: limits of its gate, how plans join, what its sensors deliver."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from policy.config import Joining
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.loop import LoopLimits
from robot_io.control.spec import ControlSpec
from robot_io.devices.camera_settings import AnyCamera
from robot_io.devices.franka_settings import FrankaSettings
from robot_io.devices.ur_settings import URSettings
from robot_io.errors import FeelforwardError
from robot_io.gate.limits import GateLimits
from robot_io.geometry.config import BodyConfig
from robot_io.session.spec import StreamLimits
from robot_io.session.streams import CHUNKS
from scripts.checkpoints import REPOSITORY
from scripts.config import StrictModel, load_config

SIM_FR3 = REPOSITORY / "configs" / "robots" / "sim_fr3.toml"


class BufferConfig(StrictModel):
    """How plans are laid over each other."""

    joining: Joining
    max_age_ms: float = Field(gt=0, le=10_000)
    seam_ms: float = Field(ge=0, le=1000)


class ArmConfig(StrictModel):
    """What the arm does by itself."""

    max_target_age_s: float = Field(gt=0, le=1)


class ChunksConfig(StrictModel):
    """When the operator is told that plans are late."""

    rate_hz: float = Field(gt=0, le=100)
    max_age_ms: float = Field(gt=0, le=10_000)


class SensorConfig(StrictModel):
    """When a simulated sensor exposes, when its frame arrives, how noisy it is, when it is late."""

    rate_hz: float = Field(gt=0, le=1000)
    latency_ms: float = Field(ge=0, le=1000)
    noise_counts: float = Field(ge=0, le=255)
    max_age_ms: float = Field(gt=0, le=10_000)

    def timing(self) -> dict[str, float]:
        """What a simulated sensor needs to know of it."""
        return self.model_dump(exclude={"max_age_ms"})


# Beyond these a number is almost certainly in another unit.
PLAUSIBLE = {
    "period_s": 0.1,
    "max_command_age_s": 5,
    "workspace_low_m": 5,
    "workspace_high_m": 5,
    "max_width_m": 0.5,
    "max_speed_m_per_s": 5,
    "max_accel_m_per_s2": 50,
    "max_jerk_m_per_s3": 5_000,
    "max_turn_rad_per_s": 20,
    "max_turn_accel_rad_per_s2": 200,
    "max_turn_jerk_rad_per_s3": 20_000,
    "max_width_speed_m_per_s": 1,
    "max_grip_force_n": 500,
    "force_max_n": 500,
    "stiffness_n_per_m": 20_000,
    "torque_max_nm": 100,
    "stiffness_nm_per_rad": 1000,
}


class RobotConfig(StrictModel):
    """One file of configs/robots."""

    # from an observation to its plan on the virtual clock: each time one of these, drawn
    lockstep_inference_ms: tuple[Annotated[float, Field(ge=0, le=10_000)], ...] = Field(
        min_length=1
    )
    buffer: BufferConfig
    loop: LoopLimits
    gate: GateLimits
    body: BodyConfig | Literal["none"]  # of the whole arm; none: the gate looks at the tool alone
    arm: ArmConfig
    chunks: ChunksConfig
    sensors: dict[str, SensorConfig]  # of the simulated robot
    cameras: dict[str, AnyCamera] = Field(default_factory=dict)  # of a real one
    franka: FrankaSettings | None = None  # the arm, where it is a Franka
    ur: URSettings | None = None  # or where it is a UR

    @field_validator("gate")
    @classmethod
    def _plausible(cls, gate: GateLimits) -> GateLimits:
        for name, largest in PLAUSIBLE.items():
            value = getattr(gate, name)
            if not np.max(np.abs(value)) <= largest:
                raise ValueError(f"{name} = {value}, allowed up to {largest}: is the unit right?")
        return gate

    @property
    def is_simulated(self) -> bool:
        return self.franka is None and self.ur is None

    @property
    def period_ns(self) -> int:
        return round(self.gate.period_s * NS_PER_S)

    @property
    def max_age_ns(self) -> int:
        return round(self.buffer.max_age_ms * NS_PER_MS)

    def control_spec(self) -> ControlSpec:
        """What a controller of this arm is made of."""
        return ControlSpec(
            gate=self.gate,
            loop=self.loop,
            max_age_ns=self.max_age_ns,
            seam_ns=self.seam_ns,
            body=None if self.body == "none" else self.body,
            period_ns=self.period_ns,
        )

    def stream_limits(self, sensors: Collection[str]) -> dict[str, StreamLimits]:
        """Of the plans and of these sensors; FeelforwardError for one that the robot lacks."""
        own = self.sensors if self.is_simulated else self.cameras
        missing = [name for name in sensors if name not in own]
        if missing:
            table = "sensors" if self.is_simulated else "cameras"
            raise FeelforwardError(
                f"The policy sees {', '.join(missing)}, which the robot does not have: add"
                f" {', '.join(f'[{table}.{name}]' for name in missing)} to its config"
                " (docs/hardware/cameras.md)."
            )
        each = {CHUNKS: self.chunks, **{name: own[name] for name in sensors}}
        return {
            name: StreamLimits(rate_hz=stream.rate_hz, max_age_s=stream.max_age_ms / 1000)
            for name, stream in each.items()
        }

    @property
    def seam_ns(self) -> int:
        return round(self.buffer.seam_ms * NS_PER_MS)


def load_robot(path: Path = SIM_FR3) -> RobotConfig:
    return load_config(path, RobotConfig)
