"""What a session is made of: plain data, so that each child can be told its part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robot_io.clock import NS_PER_MS
from robot_io.gate import GateLimits
from robot_io.loop import LoopLimits
from robot_io.processes import Factory


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """The control process: its rate, its limits, how plans are laid over each other."""

    gate: GateLimits
    loop: LoopLimits
    max_age_ns: int  # of the observation behind a command
    seam_ns: int
    period_ns: int = 10 * NS_PER_MS

    def plain(self) -> dict[str, Any]:
        return {
            "gate": self.gate.model_dump(mode="json"),
            "loop": self.loop.model_dump(mode="json"),
            "max_age_ns": self.max_age_ns,
            "seam_ns": self.seam_ns,
            "period_ns": self.period_ns,
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "ControlSpec":
        return cls(
            gate=GateLimits.model_validate(content["gate"]),
            loop=LoopLimits.model_validate(content["loop"]),
            max_age_ns=content["max_age_ns"],
            seam_ns=content["seam_ns"],
            period_ns=content["period_ns"],
        )


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Everything a session starts. The streams of `images` are the names of `cameras`."""

    arm: Factory  # makes an `interfaces.Arm`
    policy: Factory  # makes an `interfaces.ChunkSource`
    control: ControlSpec
    step_ns: int  # of a chunk and of the observation history
    vectors: Mapping[str, int]  # stream -> steps of history the policy sees
    images: Mapping[str, int]
    cameras: Mapping[str, Factory] = field(default_factory=dict)  # stream -> `interfaces.Camera`
    world: Factory | None = None  # makes a `session_world.RealtimeWorld`
