"""Cameras that the operating system knows (UVC), gel sensors among them, through OpenCV.

Try it at the camera: `python -m robot_io.devices.uvc --help`.
"""

import argparse
import threading
from typing import Any, Self

import cv2

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.devices.try_out import show_frames
from robot_io.errors import FeelforwardError
from robot_io.types import Frame, MonoNs

PLAUSIBLE_AGE_NS = NS_PER_S
JOIN_TIMEOUT_S = 2.0


class UvcCamera:
    """A video device by its number or path (`/dev/v4l/by-id/...` stays the same), or a film.

    A thread takes each frame as it comes, so that `read` always gives the newest one.
    `exposed_ns` is the driver's stamp where it is one of the host's monotonic clock (Linux UVC:
    the start of exposure or of the transfer), else the instant of reception. A film is played at
    its own pace.
    """

    def __init__(
        self,
        name: str,
        *,
        source: int | str = 0,
        width_px: int = 640,
        height_px: int = 480,
        rate_hz: float = 30.0,
    ) -> None:
        self.name = name
        self._source = source
        self._size_px = (width_px, height_px)
        self._rate_hz = rate_hz
        self._clock = MonotonicClock()
        self._arrival = threading.Condition()
        self._newest: Frame | None = None  # not yet returned
        self._fault: str | None = None
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        capture = self._open()
        self._leaving.clear()
        self._newest = self._fault = None
        self._thread = threading.Thread(target=self._take_frames, args=(capture,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._leaving.set()
            thread.join(JOIN_TIMEOUT_S)

    def read(self, timeout_s: float) -> Frame | None:
        if self._thread is None:
            raise FeelforwardError(f"Camera {self.name!r} is not connected. Enter it first.")
        with self._arrival:
            self._arrival.wait_for(lambda: self._newest or self._fault, timeout_s)
            frame, self._newest = self._newest, None
            if frame is None and self._fault is not None:
                raise FeelforwardError(self._fault)
            return frame

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._source)
        if not capture.isOpened():
            raise FeelforwardError(
                f"Camera {self.name!r}: cannot open video source {self._source!r}. "
                "List the devices with: ls /dev/v4l/by-id"
            )
        width_px, height_px = self._size_px
        settings = {
            cv2.CAP_PROP_FRAME_WIDTH: width_px,
            cv2.CAP_PROP_FRAME_HEIGHT: height_px,
            cv2.CAP_PROP_FPS: self._rate_hz,
            cv2.CAP_PROP_BUFFERSIZE: 1,
        }
        for key, value in settings.items():
            capture.set(key, value)
        got_px = tuple(
            int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if got_px != self._size_px:
            capture.release()
            raise FeelforwardError(
                f"Camera {self.name!r}: size = {width_px}x{height_px} px, "
                f"the source gives {got_px[0]}x{got_px[1]} px. Ask for that size."
            )
        return capture

    def _take_frames(self, capture: cv2.VideoCapture) -> None:
        """The thread: one frame after the other until the source ends or the camera is left."""
        begin_ns = self._clock.now_ns()
        is_film = capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        sequence = 0
        while not self._leaving.is_set() and capture.grab():
            position_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
            if is_film:
                position_ns += begin_ns
                self._clock.sleep_until(position_ns)
            received_ns = self._clock.now_ns()
            retrieved, image_bgr = capture.retrieve()
            if retrieved:
                self._deliver(sequence, position_ns, received_ns, image_bgr)
            sequence += 1
        capture.release()
        with self._arrival:
            self._fault = f"Camera {self.name!r}: source {self._source!r} gives no more frames."
            self._arrival.notify()

    def _deliver(self, sequence: int, stamp_ns: int, received_ns: int, image_bgr: Any) -> None:
        plausible = 0 <= received_ns - stamp_ns <= PLAUSIBLE_AGE_NS
        frame = Frame(
            stream=self.name,
            sequence=sequence,
            exposed_ns=MonoNs(stamp_ns if plausible else received_ns),
            received_ns=MonoNs(received_ns),
            image_HWC=cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB),
        )
        with self._arrival:
            self._newest = frame
            self._arrival.notify()


def main() -> None:
    """Shows what the camera gives, for a person beside it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--source", default="0", help="number or path of the device, or a film")
    parser.add_argument("--width-px", type=int, default=640)
    parser.add_argument("--height-px", type=int, default=480)
    parser.add_argument("--rate-hz", type=float, default=30.0)
    parser.add_argument("--frames", type=int, default=90)
    given = vars(parser.parse_args())
    frames = given.pop("frames")
    source = given.pop("source")
    source = int(source) if source.isdigit() else source
    show_frames(lambda: UvcCamera("uvc", source=source, **given), frames)


if __name__ == "__main__":
    main()
