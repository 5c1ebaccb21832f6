"""What a controller is made of: plain data, so that it can be told to a process and recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robot_io.clock import NS_PER_MS
from robot_io.control.gate import GateLimits
from robot_io.control.loop import LoopLimits


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """The control process: its rate, its limits, how plans are laid over each other."""

    gate: GateLimits
    loop: LoopLimits
    max_age_ns: int  # of the observation behind a command
    seam_ns: int
    period_ns: int = 10 * NS_PER_MS
    fifo: bool = True  # SCHED_FIFO where the system allows it; without it only to compare

    def plain(self) -> dict[str, Any]:
        return {
            "gate": self.gate.model_dump(mode="json"),
            "loop": self.loop.model_dump(mode="json"),
            "max_age_ns": self.max_age_ns,
            "seam_ns": self.seam_ns,
            "period_ns": self.period_ns,
            "fifo": self.fifo,
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "ControlSpec":
        return cls(
            gate=GateLimits.model_validate(content["gate"]),
            loop=LoopLimits.model_validate(content["loop"]),
            max_age_ns=content["max_age_ns"],
            seam_ns=content["seam_ns"],
            period_ns=content["period_ns"],
            fifo=content["fifo"],
        )
