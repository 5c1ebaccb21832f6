"""Camera drivers without cameras: librealsense's software device, and a film for OpenCV."""

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_io.clock import NS_PER_MS, MonotonicClock
from robot_io.devices.clock_map import ClockMap
from robot_io.devices.policy_camera import make_camera, square
from robot_io.devices.realsense import RealSenseCamera, find_device
from robot_io.devices.try_out import summary
from robot_io.devices.uvc import UvcCamera
from robot_io.errors import FeelforwardError
from robot_io.types import Frame, MonoNs

WIDTH_PX, HEIGHT_PX = 64, 48


class SoftwareRealSense:
    """A device of librealsense that gives what the test puts into it."""

    def __init__(self) -> None:
        self.rs = rs = pytest.importorskip("pyrealsense2", exc_type=ImportError)
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, "software")
        self.device.register_info(rs.camera_info.serial_number, "123")
        self.sensor = self.device.add_sensor("RGB Camera")
        stream = rs.video_stream()
        stream.type, stream.fmt = rs.stream.color, rs.format.rgb8
        stream.index, stream.uid, stream.bpp, stream.fps = 0, 1, 3, 30
        stream.width, stream.height = WIDTH_PX, HEIGHT_PX
        stream.intrinsics = rs.intrinsics()
        self.profile = self.sensor.add_video_stream(stream).as_video_stream_profile()

    def expose(self, number: int, *, stamp_ms: float) -> None:
        frame = self.rs.software_video_frame()
        frame.pixels = np.full((HEIGHT_PX, WIDTH_PX, 3), (number, 100, 200), np.uint8)
        frame.bpp, frame.stride = 3, WIDTH_PX * 3
        frame.timestamp, frame.frame_number = stamp_ms, number
        frame.domain = self.rs.timestamp_domain.hardware_clock
        frame.profile = self.profile
        self.sensor.on_video_frame(frame)

    def camera(self, **mode: int) -> RealSenseCamera:
        size = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX}
        return RealSenseCamera("wrist", find=lambda serial: self.device, **{**size, **mode})


@pytest.fixture
def realsense() -> SoftwareRealSense:
    return SoftwareRealSense()


def test_a_realsense_frame_keeps_colours_number_and_the_devices_stamp(
    realsense: SoftwareRealSense,
) -> None:
    with realsense.camera() as camera:
        frames = []
        for number in range(5):
            realsense.expose(number, stamp_ms=1000 + 33.25 * number)
            frames.append(camera.read(1.0))
        assert camera.read(0.01) is None
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[3].image_HWC.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert (frames[3].image_HWC == (3, 100, 200)).all()
    now_ns = MonotonicClock().now_ns()
    assert all(frame.exposed_ns <= frame.received_ns <= now_ns for frame in frames)
    assert now_ns - frames[-1].exposed_ns < 1e9


def test_a_realsense_reader_that_was_busy_gets_the_newest_frame(
    realsense: SoftwareRealSense,
) -> None:
    with realsense.camera() as camera:
        for number in range(4):
            realsense.expose(number, stamp_ms=1000 + 33.25 * number)
        frame = camera.read(1.0)
        assert frame is not None
        assert frame.sequence == 3


def test_a_realsense_can_be_entered_again(realsense: SoftwareRealSense) -> None:
    camera = realsense.camera()
    for number in (1, 2):
        with camera:
            realsense.expose(number, stamp_ms=1000.0 * number)
            assert camera.read(1.0) is not None
    camera.__exit__(None, None, None)
    with pytest.raises(FeelforwardError, match="not connected"):
        camera.read(0.0)


def test_a_mode_that_the_realsense_lacks_is_answered_with_those_it_has(
    realsense: SoftwareRealSense,
) -> None:
    with pytest.raises(FeelforwardError, match="allowed 64x48 at 30 Hz"):
        realsense.camera(rate_hz=90).__enter__()


def test_a_realsense_that_is_not_there_is_one_sentence() -> None:
    pytest.importorskip("pyrealsense2", exc_type=ImportError)
    with pytest.raises(FeelforwardError, match="serial = '42', connected: "):
        find_device("42")


def test_a_missing_sdk_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_sdk(name: str, *args: Any) -> Any:
        if name == "pyrealsense2":
            raise ImportError("libusb-1.0.so.0: cannot open shared object file")
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_sdk)
    with pytest.raises(FeelforwardError, match=r"pip install 'feelforward\[camera\]'"):
        RealSenseCamera("wrist").__enter__()


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Path]:
    """Ten frames at 50 Hz, red growing by 20 with each."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (WIDTH_PX, HEIGHT_PX))
    for number in range(10):
        writer.write(np.full((HEIGHT_PX, WIDTH_PX, 3), (0, 0, 20 * number), np.uint8))
    writer.release()
    yield path


def uvc(source: Path | str, **size: int) -> UvcCamera:
    mode = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX, **size}
    return UvcCamera("scene", source=str(source), **mode)


def test_a_film_is_played_at_its_own_pace_in_rgb_and_its_end_is_said(film: Path) -> None:
    frames = []
    with uvc(film) as camera, pytest.raises(FeelforwardError, match="gives no more frames"):
        while True:
            frames.append(camera.read(1.0))
    numbers = np.array([frame.sequence for frame in frames])
    assert numbers[-1] == 9
    assert (np.diff(numbers) > 0).all()  # a busy machine may lose frames, newest wins
    steps_ms = np.diff([frame.exposed_ns for frame in frames]) / NS_PER_MS
    assert np.allclose(steps_ms, 20 * np.diff(numbers), atol=1)
    assert all(0 <= frame.received_ns - frame.exposed_ns < 5e8 for frame in frames)
    red, green, blue = frames[-1].image_HWC[24, 32]
    assert abs(int(red) - 180) < 10
    assert max(green, blue) < 20


def test_a_source_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FeelforwardError, match="cannot open video source"):
        uvc(tmp_path / "missing.avi").__enter__()


def test_a_source_of_another_size_says_which(film: Path) -> None:
    with pytest.raises(FeelforwardError, match="size = 640x48 px, the source gives 64x48 px"):
        uvc(film, width_px=640).__enter__()


def test_a_camera_left_in_the_middle_can_be_entered_again(film: Path) -> None:
    camera = uvc(film)
    for _ in range(2):
        with camera:
            frame = camera.read(1.0)
            assert frame is not None
    with pytest.raises(FeelforwardError, match="not connected"):
        camera.read(0.0)


def test_a_policy_sees_the_middle_square_at_its_own_size(film: Path) -> None:
    given = {"driver": "uvc", "source": str(film), "width_px": WIDTH_PX, "height_px": HEIGHT_PX}
    settings = {**given, "rate_hz": 50, "image_px": 24, "max_age_ms": 300.0}
    with make_camera("wrist", settings) as camera:
        frame = camera.read(1.0)
    assert frame is not None
    assert (frame.stream, frame.image_HWC.shape, frame.image_HWC.dtype) == (
        "wrist", (24, 24, 3), np.uint8
    )  # fmt: skip


def test_the_square_is_cut_from_the_middle_and_means_of_pixels_stay() -> None:
    image_HWC = np.zeros((48, 64, 3), np.uint8)
    image_HWC[:, :8] = 255  # left of the square, with its outermost column at 8
    image_HWC[:24, 8:] = 200
    seen_HWC = square(image_HWC, 24)
    assert np.all(seen_HWC[:12] == 200)
    assert np.all(seen_HWC[12:] == 0)


@settings(deadline=None)
@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.integers(0, 50 * NS_PER_MS), min_size=2, max_size=40),
)
def test_device_stamps_are_mapped_with_the_shortest_delay_seen(
    offset_ns: int, delays_ns: list[int]
) -> None:
    clock_map = ClockMap()
    for number, delay_ns in enumerate(delays_ns):
        true_ns = number * 33 * NS_PER_MS
        host_ns = clock_map.host_ns(true_ns - offset_ns, true_ns + delay_ns)
        assert host_ns == true_ns + min(delays_ns[: number + 1])
        assert host_ns <= true_ns + delay_ns


def test_a_device_clock_that_jumps_back_is_mapped_anew() -> None:
    clock_map = ClockMap()
    assert clock_map.host_ns(4_000_000, 5_000_000) == 5_000_000
    assert clock_map.host_ns(10, 6_000_000) == 6_000_000


def test_the_table_for_a_person_says_rate_age_and_losses() -> None:
    image = np.full((48, 64, 3), 80, np.uint8)
    frames = [
        Frame("wrist", n, MonoNs(n * 50_000_000), MonoNs(n * 50_000_000 + 4_000_000), image)
        for n in (0, 1, 2, 4)
    ]
    text = summary(frames)
    assert "4 of 64x48, lost 1" in text
    assert "20.00 Hz" in text
    assert "4.0 ms median" in text
    assert "80 of 255" in text
