"""What a session is made of: plain data, so that each child can be told its part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robot_io.control.spec import ControlSpec
from robot_io.session.processes import Factory, SessionError


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How often a stream comes, and how old its newest sample may be."""

    rate_hz: float
    max_age_s: float

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= 10_000 or not 1 / self.rate_hz < self.max_age_s <= 10:
            raise SessionError(
                f"A stream of rate_hz = {self.rate_hz}, max_age_s = {self.max_age_s}; allowed"
                " (0, 10000] Hz, and more than a period up to 10 s. Mend the robot's config."
            )


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Everything a session starts. The streams of `images` are the names of `cameras`.

    `streams` has limits for every camera and for "chunks", the policy's plans (their age is that
    of the observation behind them). There is no default "no limit".
    """

    arm: Factory  # makes an `interfaces.Arm`
    policy: Factory  # makes an `interfaces.ChunkSource`
    control: ControlSpec
    step_ns: int  # of a chunk and of the observation history
    vectors: Mapping[str, int]  # stream -> steps of history the policy sees
    images: Mapping[str, int]
    streams: Mapping[str, StreamLimits]
    max_target_age_s: float  # of what the arm was told: older, it stops by itself
    cameras: Mapping[str, Factory] = field(default_factory=dict)  # stream -> `interfaces.Camera`
    world: Factory | None = None  # makes a `session_world.RealtimeWorld`
    record: Path | None = None  # a new folder for what the session records

    def __post_init__(self) -> None:
        missing = [name for name in (*self.cameras, "chunks") if name not in self.streams]
        if missing:
            raise SessionError(
                f"Streams without a rate and an age limit: {', '.join(missing)}. Name them in the"
                " robot's config; there is no default."
            )
