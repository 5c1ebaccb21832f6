"""What a controller is made of: plain data, so that it can be told to a process and recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robot_io.clock import NS_PER_MS
from robot_io.control.loop import LoopLimits
from robot_io.gate.body import Body
from robot_io.gate.limits import GateLimits
from robot_io.geometry.config import BodyConfig


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """The control process: its rate, its limits, how plans are laid over each other."""

    gate: GateLimits
    loop: LoopLimits
    max_age_ns: int  # of the observation behind a command
    seam_ns: int
    body: BodyConfig | None = None  # of the whole arm; none where the gate looks at the tool alone
    period_ns: int = 10 * NS_PER_MS
    fifo: bool = True  # SCHED_FIFO where the system allows it; without it only to compare

    def build_body(self) -> Body | None:
        """The model of the whole arm; takes a moment, and serves many episodes."""
        return None if self.body is None else self.body.build()

    def plain(self) -> dict[str, Any]:
        return {
            "gate": self.gate.model_dump(mode="json"),
            "loop": self.loop.model_dump(mode="json"),
            "max_age_ns": self.max_age_ns,
            "seam_ns": self.seam_ns,
            "body": None if self.body is None else self.body.model_dump(mode="json"),
            "period_ns": self.period_ns,
            "fifo": self.fifo,
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "ControlSpec":
        body = content.get("body")  # records of older versions have none
        return cls(
            gate=GateLimits.model_validate(content["gate"]),
            loop=LoopLimits.model_validate(content["loop"]),
            max_age_ns=content["max_age_ns"],
            seam_ns=content["seam_ns"],
            body=None if body is None else BodyConfig.model_validate(body),
            period_ns=content["period_ns"],
            fifo=content["fifo"],
        )
