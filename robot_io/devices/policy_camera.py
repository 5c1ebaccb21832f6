"""A camera as a policy sees it: the largest square in the middle of the image, scaled."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import cv2
import numpy as np
from pydantic import TypeAdapter

from robot_io.devices.camera_settings import AnyCamera, RealSenseSettings
from robot_io.devices.realsense import RealSenseCamera
from robot_io.devices.uvc import UvcCamera
from robot_io.interfaces import Camera
from robot_io.types import Frame

MODE = ("width_px", "height_px", "rate_hz")


def make_camera(name: str, settings: Mapping[str, Any]) -> "PolicyCamera":
    """From plain data, for a process that is told what to make."""
    chosen: AnyCamera = TypeAdapter(AnyCamera).validate_python(settings)
    mode: dict[str, Any] = {each: getattr(chosen, each) for each in MODE}
    if isinstance(chosen, RealSenseSettings):
        camera: Camera = RealSenseCamera(name, serial=chosen.serial, **mode)
    else:
        camera = UvcCamera(name, source=chosen.source, **mode)
    return PolicyCamera(camera, image_px=chosen.image_px)


class PolicyCamera:
    """Implements `robot_io.interfaces.Camera` around one."""

    def __init__(self, camera: Camera, *, image_px: int) -> None:
        self.name = camera.name
        self._camera, self._image_px = camera, image_px

    def __enter__(self) -> Self:
        self._camera.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._camera.__exit__(*exc)

    def read(self, timeout_s: float) -> Frame | None:
        frame = self._camera.read(timeout_s)
        if frame is None:
            return None
        return replace(frame, image_HWC=square(frame.image_HWC, self._image_px))


def square(image_HWC: np.ndarray, side_px: int) -> np.ndarray:
    """The largest square in the middle of the image, (side_px, side_px, C)."""
    height, width = image_HWC.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle_HWC = image_HWC[top : top + side, left : left + side]
    return cv2.resize(middle_HWC, (side_px, side_px), interpolation=cv2.INTER_AREA)
