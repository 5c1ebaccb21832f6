"""From a device's clock to ours."""

from collections import deque

from robot_io.types import MonoNs

WINDOW = 300  # frames; 10 s at 30 Hz


class ClockMap:
    """host = device + offset, the offset estimated over a sliding window.

    A frame needs at least the shortest transfer to reach us, so the smallest difference
    `received - device` of the window is the best offset: it follows the drift of both clocks and
    ignores late deliveries. What it cannot see is that shortest transfer itself: stamps are late
    by it, always by the same amount for a given camera and mode.

    A device clock that jumps back (it wrapped, or the device restarted) begins a new window.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._differences_ns: deque[int] = deque(maxlen=window)
        self._last_device_ns: int | None = None

    def host_ns(self, device_ns: int, received_ns: int) -> MonoNs:
        """When it was, on our clock; never later than `received_ns`."""
        if self._last_device_ns is not None and device_ns < self._last_device_ns:
            self._differences_ns.clear()
        self._last_device_ns = device_ns
        self._differences_ns.append(received_ns - device_ns)
        return MonoNs(device_ns + min(self._differences_ns))
