"""A camera of a real robot, as one table `[cameras.NAME]` of its config; NAME is the stream's.

None has a default: what a policy sees is nobody's guess.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Pixels = Annotated[int, Field(ge=8, le=8192)]


class CameraSettings(BaseModel):
    """What every camera has: its mode, and what the policy gets of an image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width_px: Pixels  # of the device's mode
    height_px: Pixels
    rate_hz: Annotated[int, Field(ge=1, le=1000)]
    image_px: Pixels  # what the policy gets: the largest square in the middle, scaled to it
    max_age_ms: Annotated[float, Field(gt=0, le=10_000)]  # since the newest exposure


class RealSenseSettings(CameraSettings):
    """An Intel RealSense camera's colour stream."""

    driver: Literal["realsense"]
    serial: str


class UvcSettings(CameraSettings):
    """A camera that the operating system knows; most gel sensors are one."""

    driver: Literal["uvc"]
    source: str  # /dev/v4l/by-id/..., which stays the same, or a film to try without a camera


AnyCamera = Annotated[RealSenseSettings | UvcSettings, Field(discriminator="driver")]
