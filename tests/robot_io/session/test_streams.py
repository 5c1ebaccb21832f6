"""Every stream answers: alive by its stamp, valid, on rate. The operator reads a fault once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.spec import ControlSpec
from robot_io.session.processes import Factory, SessionError
from robot_io.session.spec import SessionSpec, StreamLimits
from robot_io.session.streams import (
    CALM_S,
    RATE_WINDOW_S,
    StreamHealth,
    StreamSpec,
    StreamWatch,
    Trouble,
    WhenLate,
    stream_table,
)

MS = NS_PER_MS
BEGIN_NS = 7 * NS_PER_S
WORLD = StreamSpec("world", "world", 50, 0.1, WhenLate.WORLD_STANDS)
WRIST = StreamSpec("wrist", "camera_wrist", 10, 0.3, WhenLate.PLANS_STOP, needs=("world",))
CHUNKS = StreamSpec("chunks", "policy", 10, 0.6, WhenLate.TAIL, needs=("world", "wrist"))


def fed(*exposed_ms: int) -> StreamHealth:
    health = StreamHealth(WRIST, BEGIN_NS)
    for each_ms in exposed_ms:
        health.add(BEGIN_NS + each_ms * MS)
    return health


def test_a_stream_lives_while_its_newest_stamp_is_young() -> None:
    health = fed(100, 200)
    assert health.age_s(BEGIN_NS + 450 * MS) == pytest.approx(0.25)
    assert health.alive(BEGIN_NS + 500 * MS)
    assert not health.alive(BEGIN_NS + 500 * MS + 1)


def test_the_same_frame_in_a_new_call_is_no_sign_of_life() -> None:
    """grabette #89: a frozen camera repeats its last frame and the arm moves erratically."""
    health = fed(100, *[200] * 50)
    assert not health.alive(BEGIN_NS + 600 * MS)
    assert health.rate_hz(BEGIN_NS + 1000 * MS) == pytest.approx(2)


def test_before_the_first_sample_a_stream_has_its_limit_to_begin() -> None:
    assert fed().alive(BEGIN_NS + 300 * MS)
    assert not fed().alive(BEGIN_NS + 301 * MS)


def test_a_stamp_from_the_future_is_no_sign_of_life() -> None:
    assert not fed(60_000).alive(BEGIN_NS + 100 * MS)


def test_an_unusable_sample_makes_nothing_younger_and_is_forgiven_by_the_next_good_one() -> None:
    health = fed(100)
    health.add(BEGIN_NS + 200 * MS, fault="not finite")
    assert not health.valid
    assert health.age_s(BEGIN_NS + 200 * MS) == pytest.approx(0.1)
    health.add(BEGIN_NS + 100 * MS)
    assert not health.valid, "an old sample again is no good one"
    health.add(BEGIN_NS + 300 * MS)
    assert health.valid


def test_a_stream_at_half_its_rate_is_on_rate_and_below_it_is_not() -> None:
    assert fed(*range(0, 4001, 180)).on_rate(BEGIN_NS + 4000 * MS)
    assert not fed(*range(0, 4001, 250)).on_rate(BEGIN_NS + 4000 * MS)
    assert fed(100).on_rate(BEGIN_NS + 1900 * MS), "not judged before a whole window"


@given(st.lists(st.integers(-(10**9), 10**11), max_size=60), st.integers(0, 10**11))
def test_age_is_that_of_the_largest_stamp_and_the_rate_counts_what_advanced(
    stamps_ns: list[int], later_ns: int
) -> None:
    health = StreamHealth(WRIST, 0)
    advanced = []
    for stamp_ns in stamps_ns:
        health.add(stamp_ns)
        if stamp_ns > max(advanced, default=0):
            advanced.append(stamp_ns)
    now_ns = max(advanced, default=0) + later_ns
    assert health.age_s(now_ns) == pytest.approx(later_ns / NS_PER_S)
    assert health.alive(now_ns) == (later_ns <= 300 * MS)
    window_ns = min(round(RATE_WINDOW_S * NS_PER_S), now_ns)
    if window_ns > 0:
        came = sum(1 for stamp_ns in advanced if stamp_ns > now_ns - window_ns)
        assert health.rate_hz(now_ns) == pytest.approx(came * NS_PER_S / window_ns)


class Scene:
    """A world, a camera and a policy that keep their rates, except where a test says no."""

    def __init__(self) -> None:
        self.watch = StreamWatch((WORLD, WRIST, CHUNKS), BEGIN_NS)
        self.now_ms = 0
        self.lines: list[str] = []

    def run(self, until_ms: int, *silent: str) -> list[str]:
        """Polls every 20 ms; returns what the operator has read meanwhile."""
        before = len(self.lines)
        while self.now_ms < until_ms:
            self.now_ms += 20
            now_ns = BEGIN_NS + self.now_ms * MS
            if "world" not in silent:
                self.watch.add("world", now_ns)
            if self.now_ms % 100 == 0:
                for name in {"wrist", "chunks"} - set(silent):
                    self.watch.add(name, now_ns - 30 * MS)
            self.lines += [news.line for news in self.watch.news(now_ns)]
        return self.lines[before:]


def test_nothing_is_said_while_all_is_well() -> None:
    assert Scene().run(10_000) == []


def test_a_fault_is_one_line_and_its_end_another() -> None:
    scene = Scene()
    scene.run(3000)
    assert scene.run(6000, "wrist", "chunks") == [
        "wrist: nothing new for 0.31 s, limit 0.30 s: plans stop; the arm executes the tail, "
        "slows down and holds."
    ]
    over = scene.run(9000)
    assert len(over) == 1
    assert over[0].startswith("wrist: well again after 2.")


def test_a_silence_is_blamed_on_its_cause_only() -> None:
    scene = Scene()
    scene.run(3000)
    assert [line.split(":")[0] for line in scene.run(8000, "world", "wrist", "chunks")] == ["world"]


def test_a_frozen_camera_is_not_well_again_because_the_world_hesitates() -> None:
    scene = Scene()
    scene.run(3000)
    scene.run(4000, "wrist", "chunks")
    scene.run(5500, "world", "wrist", "chunks")
    scene.run(9000, "wrist", "chunks")
    assert [line for line in scene.lines if line.startswith("wrist")] == scene.lines[:1]


def test_a_policy_that_pauses_beside_living_cameras_is_named() -> None:
    scene = Scene()
    scene.run(3000)
    (line,) = scene.run(5000, "chunks")
    assert line.startswith("chunks: nothing new for 0.6")


def test_a_stream_that_flickers_does_not_fill_the_screen() -> None:
    scene = Scene()
    scene.run(2000)
    for at_ms in range(2000, 12_000, 500):  # silent for 400 of each 500 ms
        scene.run(at_ms + 400, "wrist", "chunks")
        scene.run(at_ms + 500)
    assert len(scene.lines) == 1
    assert len(scene.run(11_900 + round(CALM_S * 1000))) == 0, "not over yet"
    assert len(scene.run(20_000)) == 1


def test_one_refused_plan_is_told_with_its_reason_even_if_a_good_one_follows_at_once() -> None:
    scene = Scene()
    scene.run(3000)
    scene.watch.add("chunks", 0, fault="not finite")
    scene.watch.add("chunks", BEGIN_NS + 3000 * MS)
    lines = scene.run(6000)
    assert lines[0].startswith("chunks: refused, not finite; unless a good one comes, ")
    assert lines[1].startswith("chunks: well again")
    assert len(lines) == 2


def test_a_stream_below_its_rate_is_told_with_both_numbers() -> None:
    watch = StreamWatch((WORLD, WRIST), BEGIN_NS)
    news = []
    for now_ms in range(20, 5000, 20):
        watch.add("world", BEGIN_NS + now_ms * MS)
        if now_ms % 240 == 0:
            watch.add("wrist", BEGIN_NS + now_ms * MS)
        news += watch.news(BEGIN_NS + now_ms * MS)
    (item,) = news
    assert item.trouble is Trouble.SLOW
    assert item.line == "wrist: 4.0 Hz, at least 5.0 Hz of 10 wanted."


def test_a_watch_that_was_kept_from_looking_blames_nobody_for_what_it_missed() -> None:
    scene = Scene()
    scene.run(3000)
    scene.now_ms = 5980
    assert scene.run(12_000) == []


def spec(control: ControlSpec, **changed: object) -> SessionSpec:
    limits = StreamLimits(rate_hz=10, max_age_s=0.3)
    parts = {
        "arm": Factory("a:b"),
        "policy": Factory("a:b"),
        "control": control,
        "step_ns": 100 * MS,
        "vectors": {"measured": 1},
        "images": {"wrist": 1},
        "streams": {"wrist": limits, "tactile_left": limits, "chunks": limits},
        "max_target_age_s": 0.2,
        "cameras": {"wrist": Factory("a:b"), "tactile_left": Factory("a:b")},
    }
    return SessionSpec(**{**parts, **changed})  # type: ignore[arg-type]


@pytest.fixture
def control() -> ControlSpec:
    from control_toys import gate_limits

    from robot_io.control.loop import LoopLimits

    loop = LoopLimits(stop_after_s=5, max_state_age_s=0.1)
    return ControlSpec(gate=gate_limits(), loop=loop, max_age_ns=1, seam_ns=1)


def test_the_table_names_every_stream_with_its_producer_and_what_it_needs(
    control: ControlSpec,
) -> None:
    table = {stream.name: stream for stream in stream_table(spec(control, world=Factory("a:b")))}
    assert list(table) == ["world", "commands", "arm", "wrist", "tactile_left", "chunks"]
    assert table["tactile_left"].producer == "camera_tactile_left"
    assert table["commands"].rate_hz == 100
    assert table["commands"].max_age_s == 0.2
    assert table["arm"].max_age_s == 0.1
    assert set(table["chunks"].needs) == set(table) - {"chunks"}
    without = {stream.name: stream for stream in stream_table(spec(control))}
    assert "world" not in without
    assert without["arm"].producer == "control"


def test_every_needed_stream_is_judged_before_those_that_need_it(control: ControlSpec) -> None:
    seen: set[str] = set()
    for stream in stream_table(spec(control, world=Factory("a:b"))):
        assert set(stream.needs) <= seen
        seen.add(stream.name)


@pytest.mark.parametrize("missing", ["wrist", "tactile_left", "chunks"])
def test_a_stream_without_limits_is_refused(control: ControlSpec, missing: str) -> None:
    limits = StreamLimits(rate_hz=10, max_age_s=0.3)
    streams = dict.fromkeys({"wrist", "tactile_left", "chunks"} - {missing}, limits)
    with pytest.raises(SessionError, match=f"age limit: {missing}"):
        spec(control, streams=streams)


@pytest.mark.parametrize(
    ("rate_hz", "max_age_s"),
    [(0, 1), (10, 0.05), (10, float("nan")), (float("nan"), 1), (10, float("inf"))],
)
def test_limits_that_do_not_limit_are_refused(rate_hz: float, max_age_s: float) -> None:
    with pytest.raises(SessionError, match="allowed"):
        StreamLimits(rate_hz=rate_hz, max_age_s=max_age_s)
