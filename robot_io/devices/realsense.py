"""Intel RealSense cameras: colour images with the device's own exposure stamps.

Try it at the camera: `python -m robot_io.devices.realsense --help`.
"""

import argparse
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from robot_io.clock import NS_PER_MS, MonotonicClock
from robot_io.devices.clock_map import ClockMap
from robot_io.devices.try_out import show_frames
from robot_io.errors import FeelforwardError
from robot_io.types import Frame, MonoNs

INSTALL = (
    "pyrealsense2 does not load ({reason}). Run: pip install 'feelforward[camera]' "
    "and, on Debian, apt-get install libusb-1.0-0 libudev1."
)


def import_sdk() -> Any:
    """The module `pyrealsense2`; FeelforwardError with the install line when it does not load."""
    try:
        import pyrealsense2
    except ImportError as error:
        raise FeelforwardError(INSTALL.format(reason=error)) from None
    return pyrealsense2


def find_device(serial: str | None) -> Any:
    """The connected device with this serial number, or the only one."""
    devices = list(import_sdk().context().query_devices())
    serials = [_serial_of(device) for device in devices]
    if serial is None and len(devices) == 1:
        return devices[0]
    if serial in serials:
        return devices[serials.index(serial)]
    raise FeelforwardError(
        f"RealSense serial = {serial!r}, connected: {', '.join(serials) or 'none'}. "
        "Give one of these, and check the USB 3 cable."
    )


def _serial_of(device: Any) -> str:
    return device.get_info(import_sdk().camera_info.serial_number)


class RealSenseCamera:
    """The colour stream of one device, at a mode that the device really has.

    `exposed_ns` is the frame's stamp (hardware clock or librealsense's global time), mapped to
    the host's monotonic clock by `ClockMap`.
    """

    def __init__(
        self,
        name: str,
        *,
        serial: str | None = None,
        width_px: int = 640,
        height_px: int = 480,
        rate_hz: int = 30,
        find: Callable[[str | None], Any] = find_device,
    ) -> None:
        self.name = name
        self._serial = serial
        self._mode = (width_px, height_px, rate_hz)
        self._find = find
        self._clock = MonotonicClock()
        self._map = ClockMap()
        self._sensor: Any = None
        self._queue: Any = None

    def __enter__(self) -> Self:
        sdk = import_sdk()
        device = self._find(self._serial)
        sensor, profile = self._matching(device)
        queue = sdk.frame_queue(1)  # keeps the newest
        try:
            sensor.open(profile)
            sensor.start(queue)
        except RuntimeError as error:
            raise FeelforwardError(f"Camera {self.name!r} does not start: {error}.") from None
        self._device, self._sensor, self._queue = device, sensor, queue
        return self

    def __exit__(self, *exc: object) -> None:
        sensor, self._sensor, self._queue = self._sensor, None, None
        if sensor is not None:
            sensor.stop()
            sensor.close()

    def read(self, timeout_s: float) -> Frame | None:
        if self._queue is None:
            raise FeelforwardError(f"Camera {self.name!r} is not connected. Enter it first.")
        arrived, frame = self._queue.try_wait_for_frame(round(timeout_s * 1000))
        if not arrived:
            return None
        received_ns = self._clock.now_ns()
        device_ns = round(frame.get_timestamp() * NS_PER_MS)
        image = np.asanyarray(frame.get_data()).copy()
        return Frame(
            stream=self.name,
            sequence=frame.get_frame_number(),
            exposed_ns=self._map.host_ns(device_ns, received_ns),
            received_ns=MonoNs(received_ns),
            image_HWC=image,
        )

    def _matching(self, device: Any) -> tuple[Any, Any]:
        """The sensor with this mode and its profile: a D405 has colour on its stereo module."""
        modes = set()
        for sensor in device.query_sensors():
            for profile in _colour_profiles(sensor):
                mode = (profile.width(), profile.height(), profile.fps())
                if mode == self._mode:
                    return sensor, profile
                modes.add(mode)
        listed = ", ".join(f"{w}x{h} at {hz} Hz" for w, h, hz in sorted(modes))
        width_px, height_px, rate_hz = self._mode
        raise FeelforwardError(
            f"Camera {self.name!r}: mode {width_px}x{height_px} at {rate_hz} Hz, "
            f"allowed {listed or 'none: no colour stream'}."
        )


def _colour_profiles(sensor: Any) -> list[Any]:
    sdk = import_sdk()
    return [
        profile.as_video_stream_profile()
        for profile in sensor.get_stream_profiles()
        if profile.stream_type() == sdk.stream.color and profile.format() == sdk.format.rgb8
    ]


def main() -> None:
    """Shows what the camera gives, for a person beside it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--serial", help="needed when several are connected")
    parser.add_argument("--width-px", type=int, default=640)
    parser.add_argument("--height-px", type=int, default=480)
    parser.add_argument("--rate-hz", type=int, default=30)
    parser.add_argument("--frames", type=int, default=90)
    given = vars(parser.parse_args())
    frames = given.pop("frames")
    show_frames(lambda: RealSenseCamera("realsense", **given), frames)


if __name__ == "__main__":
    main()
