from pathlib import Path

import av
import numpy as np

from robot_io.control.loop import Rung, Tick
from robot_io.control.record import EpisodeLog
from robot_io.session.timing import Outcome, Plans
from robot_io.types import ArmState, Command, MonoNs, Provenance, Verdict, VerdictKind
from scripts.bench.plots import plot_timing
from scripts.tasks.film import Curve, FilmWriter, Moment, compose

NOTHING = np.array([])


def moment(torque_nm: float = 0.5) -> Moment:
    time_s = np.linspace(0, 3, 30)
    return Moment(
        title="TightenCap, seed 1",
        status=("t = 3.0 s", "plan"),
        scene=np.full((240, 240, 3), 90, np.uint8),
        wrist=np.full((96, 96, 3), 60, np.uint8),
        tactile_left=np.full((32, 32, 3), 200, np.uint8),
        tactile_right=np.full((32, 32, 3), 20, np.uint8),
        now_s=3.0,
        plan=[Curve("turn (rad)", time_s, np.sin(time_s), (255, 0, 0))],
        torque=Curve("N m", time_s, torque_nm * time_s / 3, (0, 255, 0)),
        torque_band_nm=(0.4, 0.8),
    )


def test_every_picture_has_its_place_in_a_film_frame() -> None:
    frame = compose(moment())
    assert frame.shape == (720, 1280, 3)
    assert (frame[400, 360] == 90).all()
    assert (frame[140, 860] == 60).all()
    assert (frame[70, 1070] == 200).all()
    assert (frame[70, 1210] == 20).all()


def test_a_film_frame_can_be_drawn_before_anything_was_planned() -> None:
    empty = Curve("none", NOTHING, NOTHING, (0, 0, 0))
    assert compose(Moment(**{**_fields(moment()), "plan": [empty], "torque": empty})).any()


def test_a_film_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with FilmWriter(path, rate_hz=10) as film:
        for _ in range(5):
            film.add(compose(moment()))
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 5
    assert (frames[0].width, frames[0].height) == (1280, 720)


def test_the_timing_plot_is_written_even_when_every_tick_was_on_time(tmp_path: Path) -> None:
    path = tmp_path / "timing.png"
    plot_timing(path, [outcome_on_time(ticks=50)])
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]


def outcome_on_time(ticks: int) -> Outcome:
    log = EpisodeLog()
    row_D = np.zeros(2)
    state = ArmState(MonoNs(0), row_D, np.empty(0))
    for tick in range(ticks):
        stamp_ns = MonoNs(tick * 10_000_000)
        origin = Provenance("policy", chunk_id=1, row=0, observed_ns=MonoNs(0))
        command = Command(tick, stamp_ns, row_D, origin)
        log.add(Tick(stamp_ns, command, Verdict(VerdictKind.ACCEPTED, row_D), Rung.PLAN), state)
    return Outcome({}, log.record(), no_plans(), 0)


def no_plans() -> Plans:
    return Plans(*[NOTHING] * 6)


def _fields(value: Moment) -> dict:
    return {name: getattr(value, name) for name in Moment.__slots__}
