"""Films of `TightenCap`: scenes drawn again in full detail, beside plan and torque."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from robot_io.clock import NS_PER_S
from robot_io.files import replacing
from robot_io.rows import rotate
from scripts.tasks import film
from scripts.tasks.episode import Episode, Scene
from scripts.tasks.progress import episode_progress
from sim.tighten_cap import BAND_NM
from sim.view import CapView
from sim.world import Snapshot

RATE_HZ = 10  # a scene every 100 ms: the film runs in real time
END_S = 1.5  # the last picture of an episode stays this long


def write_film(path: Path, episodes: Sequence[Episode]) -> None:
    """Writes those episodes that kept their scenes, one after the other."""
    filmed = [episode for episode in episodes if episode.scenes]
    with (
        replacing(path) as temporary,
        CapPictures() as pictures,
        film.FilmWriter(temporary, rate_hz=RATE_HZ) as writer,
        episode_progress() as progress,
    ):
        bar = progress.add_task("film", total=len(filmed), note="")
        for episode in filmed:
            for picture in _pictures(pictures, episode):
                writer.add(picture)
            progress.advance(bar)


class CapPictures:
    """The scene in full detail, and what the policy's own sensors saw, only larger."""

    def __init__(self) -> None:
        scene_px, wrist_px = film.SCENE_PX, film.WRIST_PX
        self._film = CapView(width_px=scene_px, height_px=scene_px, full_mesh=True)
        self._policy = CapView(width_px=wrist_px, height_px=wrist_px)

    def __enter__(self) -> Self:
        self._film.__enter__()
        self._policy.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._policy.__exit__(*exc)
        self._film.__exit__(*exc)

    def draw(self, stream: str, snapshot: Snapshot) -> np.ndarray:
        view = self._film if stream == "scene" else self._policy
        return view.draw(stream, snapshot)


def _pictures(pictures: CapPictures, episode: Episode) -> Iterator[np.ndarray]:
    picture = None
    for index in range(len(episode.scenes)):
        picture = film.compose(_moment(pictures, episode, index))
        yield picture
    if picture is not None:
        yield from [picture] * round(END_S * RATE_HZ)


def _moment(pictures: CapPictures, episode: Episode, index: int) -> film.Moment:
    scene, past = episode.scenes[index], episode.scenes[: index + 1]
    snapshot = Snapshot.unpack(scene.snapshot_N)
    result, over = episode.result, index == len(episode.scenes) - 1
    now_s = _elapsed_s(episode, np.array([scene.stamp_ns]))[0]
    return film.Moment(
        title=f"TightenCap, seed {result.seed}",
        status=(f"t = {now_s:4.1f} s", scene.status, result.reason if over else ""),
        scene=pictures.draw("scene", snapshot),
        wrist=pictures.draw("wrist", snapshot),
        tactile_left=pictures.draw("tactile_left", snapshot),
        tactile_right=pictures.draw("tactile_right", snapshot),
        now_s=float(now_s),
        plan=_plan_curves(episode, past),
        torque=film.Curve(
            f"{snapshot.tightening_nm:.2f} of {BAND_NM[0]} to {BAND_NM[1]}",
            _elapsed_s(episode, np.array([each.stamp_ns for each in past])),
            np.array([Snapshot.unpack(each.snapshot_N).tightening_nm for each in past]),
            film.ORANGE,
        ),
        torque_band_nm=BAND_NM,
    )


def _plan_curves(episode: Episode, past: Sequence[Scene]) -> list[film.Curve]:
    """What was sent, and from now on what is planned: turn, height and opening of the hand."""
    now = past[-1]
    stamp_ns = np.concatenate([[each.stamp_ns for each in past], now.plan_ns_P])
    rows = np.concatenate([np.stack([each.sent_D for each in past]), now.plan_PD])
    time_s = _elapsed_s(episode, stamp_ns)
    x_axis = rotate(rows[:, 3:7], np.array([1.0, 0.0, 0.0]))
    turn_rad = np.unwrap(np.arctan2(x_axis[:, 1], x_axis[:, 0]))
    return [
        film.Curve("turn (rad)", time_s, turn_rad, film.BLUE),
        film.Curve("height (dm)", time_s, 10 * rows[:, 2], film.GREEN),
        film.Curve("opening (cm)", time_s, 100 * rows[:, 7], film.RED),
    ]


def _elapsed_s(episode: Episode, stamp_ns: np.ndarray) -> np.ndarray:
    return (stamp_ns - episode.scenes[0].stamp_ns) / NS_PER_S
