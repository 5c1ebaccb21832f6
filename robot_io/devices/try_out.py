"""What the `main()` of every camera driver does: a table for the person beside the camera."""

import sys
from collections.abc import Callable

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.errors import FeelforwardError
from robot_io.interfaces import Camera
from robot_io.types import Frame

READ_TIMEOUT_S = 2.0


def show_frames(make: Callable[[], Camera], count: int) -> None:
    """Reads `count` frames and prints rate, age and brightness. Exits with 1 on a failure."""
    try:
        with make() as camera:
            frames = [_next_frame(camera) for _ in range(count)]
    except FeelforwardError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    print(summary(frames))


def summary(frames: list[Frame]) -> str:
    """Some lines on what came: size, rate, losses, how old a frame was when it was received."""
    exposed_ns = np.array([frame.exposed_ns for frame in frames])
    age_ms = np.array([f.received_ns - f.exposed_ns for f in frames]) / NS_PER_MS
    period_s = np.diff(exposed_ns) / NS_PER_S
    rate_hz = 1 / np.median(period_s) if period_s.size and np.median(period_s) > 0 else np.nan
    lost = frames[-1].sequence - frames[0].sequence + 1 - len(frames)
    height_px, width_px = frames[0].image_HWC.shape[:2]
    return "\n".join(
        [
            f"frames      {len(frames)} of {width_px}x{height_px}, lost {lost}",
            f"rate        {rate_hz:.2f} Hz",
            f"age         {np.median(age_ms):.1f} ms median, {age_ms.max():.1f} ms max",
            f"brightness  {np.mean([frame.image_HWC.mean() for frame in frames]):.0f} of 255",
        ]
    )


def _next_frame(camera: Camera) -> Frame:
    frame = camera.read(READ_TIMEOUT_S)
    if frame is None:
        raise FeelforwardError(
            f"Camera {camera.name!r} gave no frame within {READ_TIMEOUT_S:g} s. Check its cable."
        )
    return frame
