"""Films: every picture that explains an episode side by side, as H.264 in an mp4 file.

    ┌───────────────┬───────┬───────┐
    │               │ wrist │ touch │
    │     scene     ├───────┴───────┤
    │               │ plan          │
    │               ├───────────────┤
    │               │ torque        │
    └───────────────┴───────────────┘

Images are HWC uint8 RGB; times in s from the start of the episode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np

WIDTH_PX, HEIGHT_PX = 1280, 720
SCENE_PX = 720
WRIST_PX = 280
TOUCH_PX = 140
GRAPH_SIZE_PX = (WIDTH_PX - SCENE_PX, (HEIGHT_PX - WRIST_PX) // 2)  # width, height
PAST_S, AHEAD_S = 4.0, 1.7  # what the plan graph shows around now

INK = (235, 235, 235)
DIM = (140, 140, 140)
BACKGROUND = (24, 26, 30)
GRAPH = (34, 37, 42)
GREEN, BLUE, ORANGE, RED = (120, 200, 120), (110, 170, 250), (250, 170, 80), (240, 100, 90)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a graph."""

    label: str
    time_s_N: np.ndarray
    value_N: np.ndarray
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything one film frame shows."""

    title: str
    status: Sequence[str]
    scene: np.ndarray
    wrist: np.ndarray
    tactile_left: np.ndarray
    tactile_right: np.ndarray
    now_s: float
    plan: Sequence[Curve]  # past and planned tool motion
    torque: Curve
    torque_band_nm: tuple[float, float]


class FilmWriter:
    """Frames in, an mp4 file out; leaving the context closes the file."""

    def __init__(self, path: Path, *, rate_hz: int) -> None:
        self._path, self._rate_hz = path, rate_hz

    def __enter__(self) -> Self:
        self._container = av.open(str(self._path), mode="w", format="mp4")
        stream = self._container.add_stream("libx264", rate=self._rate_hz)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast"}
        self._stream = stream
        return self

    def add(self, image_HWC: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(image_HWC, format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def compose(moment: Moment) -> np.ndarray:
    """One film frame, (720, 1280, 3)."""
    canvas = np.full((HEIGHT_PX, WIDTH_PX, 3), BACKGROUND, np.uint8)
    _paste(canvas, moment.scene, 0, 0, SCENE_PX)
    _text(canvas, moment.title, (16, 32), scale=0.8)
    _paste(canvas, moment.wrist, SCENE_PX, 0, WRIST_PX)
    _text(canvas, "wrist", (SCENE_PX + 8, 20))
    touch_x = SCENE_PX + WRIST_PX
    for index, (name, image) in enumerate(
        (("left finger", moment.tactile_left), ("right finger", moment.tactile_right))
    ):
        _paste(canvas, image, touch_x + index * TOUCH_PX, 0, TOUCH_PX)
        _text(canvas, name, (touch_x + index * TOUCH_PX + 6, 16), scale=0.42)
    for index, line in enumerate(moment.status):
        _text(canvas, line, (touch_x + 12, TOUCH_PX + 26 + 24 * index), scale=0.5)
    window = (moment.now_s - PAST_S, moment.now_s + AHEAD_S)
    plan = draw_graph(moment.plan, title="plan in the buffer", window_s=window, now_s=moment.now_s)
    canvas[WRIST_PX : WRIST_PX + GRAPH_SIZE_PX[1], SCENE_PX:] = plan
    torque = draw_graph(
        [moment.torque],
        title="tightening torque (N m)",
        window_s=(0.0, max(10.0, moment.now_s + 1.0)),
        now_s=moment.now_s,
        band=moment.torque_band_nm,
    )
    canvas[WRIST_PX + GRAPH_SIZE_PX[1] :, SCENE_PX:] = torque
    return canvas


def draw_graph(
    curves: Sequence[Curve],
    *,
    title: str,
    window_s: tuple[float, float],
    now_s: float,
    band: tuple[float, float] | None = None,
) -> np.ndarray:
    """A small graph over time. With `band`: that range is shaded and fixes the scale."""
    width, height = GRAPH_SIZE_PX
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    image[4:-4, 4:-4] = GRAPH
    low, high = _value_range(curves, band)

    def at(time_s: np.ndarray, value: np.ndarray) -> np.ndarray:
        x = 8 + (time_s - window_s[0]) / (window_s[1] - window_s[0]) * (width - 16)
        y = height - 12 - (value - low) / (high - low) * (height - 48)
        return np.stack([x, y], axis=-1).round().astype(np.int32)

    if band is not None:
        corners = at(np.array(window_s), np.array(band))
        cv2.rectangle(image, corners[0].tolist(), corners[1].tolist(), (44, 66, 48), cv2.FILLED)
    now_x = int(at(np.array([now_s]), np.array([low]))[0, 0])
    cv2.line(image, (now_x, 28), (now_x, height - 8), DIM, 1)
    for curve in curves:
        shown = (curve.time_s_N >= window_s[0]) & (curve.time_s_N <= window_s[1])
        points = at(curve.time_s_N[shown], curve.value_N[shown])
        cv2.polylines(image, [points], False, curve.colour, 2, cv2.LINE_AA)
        for point in points[curve.time_s_N[shown] > now_s]:  # what lies ahead: one dot per row
            cv2.circle(image, point.tolist(), 3, curve.colour, cv2.FILLED, cv2.LINE_AA)
    _text(image, title, (12, 22), scale=0.45)
    label_x = 12 + 9 * len(title)
    for curve in curves:
        _text(image, curve.label, (label_x, 22), scale=0.42, colour=curve.colour)
        label_x += 14 + 8 * len(curve.label)
    return image


def _value_range(curves: Sequence[Curve], band: tuple[float, float] | None) -> tuple[float, float]:
    values = [curve.value_N for curve in curves if curve.value_N.size]
    if band is not None:
        values.append(np.array([0.0, 1.4 * band[1]]))
    if not values:
        return 0.0, 1.0
    low, high = (float(extreme(np.concatenate(values))) for extreme in (np.min, np.max))
    return low, max(high, low + 1e-3)


def _paste(canvas: np.ndarray, image: np.ndarray, x: int, y: int, size_px: int) -> None:
    enlarge = cv2.INTER_NEAREST if image.shape[0] < 64 else cv2.INTER_LINEAR
    canvas[y : y + size_px, x : x + size_px] = cv2.resize(
        image, (size_px, size_px), interpolation=enlarge
    )


def _text(
    image: np.ndarray,
    text: str,
    at: tuple[int, int],
    *,
    scale: float = 0.5,
    colour: tuple[int, int, int] = INK,
) -> None:
    cv2.putText(image, text, at, FONT, scale, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, at, FONT, scale, colour, 1, cv2.LINE_AA)
