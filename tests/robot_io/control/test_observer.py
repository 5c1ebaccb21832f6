"""What a policy sees, from streams that come in their own time."""

import numpy as np
import pytest
from control_toys import HOME, STEP_NS, moved, same, state

from robot_io.clock import NS_PER_MS
from robot_io.control.observer import Observer
from robot_io.rows import ToolRows, VectorRows
from robot_io.types import Frame, MonoNs

MS = NS_PER_MS
VECTORS = {"measured": 3, "commanded": 3}


def observer(**images: int) -> Observer:
    return Observer(ToolRows(), step_ns=STEP_NS, vectors=VECTORS, images=images)


def frame(stream: str, exposed_ms: int, value: int) -> Frame:
    image_HWC = np.full((2, 2, 3), value, np.uint8)
    exposed_ns = MonoNs(exposed_ms * MS)
    return Frame(stream, value, exposed_ns, MonoNs(exposed_ns + 15 * MS), image_HWC)


def feed_arm(seen: Observer, until_ms: int) -> None:
    """An arm that rises by 1 mm and turns by 1 mrad per ms, told to be 1 mm ahead."""
    for now_ms in range(0, until_ms + 1, 10):
        seen.add_state(state(now_ms * MS, rising(now_ms)))
        seen.add_sent(now_ms * MS, rising(now_ms + 1))


def rising(now_ms: float) -> np.ndarray:
    return moved(by_m=(0, 0, 0.001 * now_ms), yaw_rad=0.001 * now_ms)


def images_of(seen: Observer, stream: str) -> list[int]:
    observation = seen.observe()
    assert observation is not None
    return observation.images[stream][:, 0, 0, 0].tolist()


def test_nothing_is_observed_before_every_stream_has_spoken():
    seen = observer(wrist=1, tactile_left=1)
    assert seen.observe() is None
    seen.add_frame(frame("wrist", 0, 1))
    feed_arm(seen, 100)
    assert seen.observe() is None
    seen.add_frame(frame("tactile_left", 0, 1))
    assert seen.observe() is not None


def test_histories_lie_a_step_apart_and_end_at_the_exposure():
    seen = observer(wrist=1)
    seen.add_frame(frame("wrist", 325, 7))
    feed_arm(seen, 400)
    observation = seen.observe()
    assert observation is not None and observation.observed_ns == 325 * MS
    for k, at_ms in enumerate((125, 225, 325)):
        assert same(observation.vectors["measured"][k], rising(at_ms))
        assert same(observation.vectors["commanded"][k], rising(at_ms - 5 + 1)), "sent last"


def test_the_slowest_camera_says_when():
    seen = observer(wrist=1, tactile_left=2)
    feed_arm(seen, 400)
    for exposed_ms in (0, 100, 200):
        seen.add_frame(frame("wrist", exposed_ms, exposed_ms // 10))
    for exposed_ms in range(0, 300, 20):
        seen.add_frame(frame("tactile_left", exposed_ms + 10, exposed_ms // 10))
    observation = seen.observe()
    assert observation is not None and observation.observed_ns == 200 * MS
    assert observation.images["wrist"][0, 0, 0, 0] == 20
    assert observation.images["tactile_left"][-1, 0, 0, 0] == 18, "exposed at 190 ms, not at 210"


def test_a_camera_that_is_a_little_late_loses_no_step_of_history():
    seen = observer(wrist=3)
    feed_arm(seen, 400)
    for value, exposed_ms in enumerate((0, 101, 200)):
        seen.add_frame(frame("wrist", exposed_ms, value))
    assert images_of(seen, "wrist") == [0, 1, 2]


def test_before_the_first_sample_a_history_repeats_it():
    seen = observer(wrist=3)
    seen.add_frame(frame("wrist", 0, 9))
    seen.add_state(state(0, HOME))
    observation = seen.observe()
    assert observation is not None
    assert all(same(row_D, HOME) for row_D in observation.vectors["measured"])
    assert all(same(row_D, HOME) for row_D in observation.vectors["commanded"]), "told to stay"
    assert observation.images["wrist"].shape == (3, 2, 2, 3)


def test_an_observation_is_given_once():
    seen = observer(wrist=1)
    seen.add_frame(frame("wrist", 0, 1))
    feed_arm(seen, 200)
    assert seen.observe() is not None
    assert seen.observe() is None
    seen.add_frame(frame("wrist", 100, 2))
    assert seen.observe() is not None


def test_a_frozen_camera_brings_no_new_observation():
    """grabette #89: a frozen camera repeats its last frame and the arm moves erratically."""
    seen = observer(wrist=1, tactile_left=1)
    feed_arm(seen, 500)
    seen.add_frame(frame("wrist", 100, 1))
    seen.add_frame(frame("tactile_left", 100, 1))
    assert seen.observe() is not None
    for exposed_ms in (200, 300, 400):
        seen.add_frame(frame("wrist", 100, 1))
        seen.add_frame(frame("tactile_left", exposed_ms, 1))
        assert seen.observe() is None


def test_a_frame_that_comes_out_of_order_does_not_turn_time_back():
    seen = observer(wrist=2)
    feed_arm(seen, 300)
    for value, exposed_ms in enumerate((100, 200, 120)):
        seen.add_frame(frame("wrist", exposed_ms, value))
    observation = seen.observe()
    assert observation is not None and observation.observed_ns == 200 * MS
    assert observation.images["wrist"][:, 0, 0, 0].tolist() == [0, 1]


def test_a_frozen_arm_brings_no_new_observation():
    seen = observer(wrist=1)
    feed_arm(seen, 100)
    seen.add_frame(frame("wrist", 100, 1))
    assert seen.observe() is not None
    seen.add_state(state(100 * MS, HOME))
    seen.add_frame(frame("wrist", 200, 2))
    assert seen.observe() is None


def test_without_images_the_newest_vectors_say_when():
    seen = Observer(VectorRows(2), step_ns=STEP_NS, vectors={"keypoint": 2, "agent": 2})
    assert seen.observe() is None
    for tick in range(3):
        seen.add_vector("keypoint", tick * STEP_NS, np.full(18, tick, float))
        seen.add_vector("agent", tick * STEP_NS, np.full(2, 10.0 * tick))
    observation = seen.observe()
    assert observation is not None and observation.observed_ns == 2 * STEP_NS
    assert observation.vectors["keypoint"].shape == (2, 18)
    assert observation.vectors["agent"][:, 0].tolist() == [10.0, 20.0]


def test_streams_nobody_asked_for_are_ignored():
    seen = observer(wrist=1)
    seen.add_frame(frame("scene", 0, 1))
    seen.add_vector("weather", 0, np.zeros(3))
    seen.add_frame(frame("wrist", 0, 1))
    seen.add_state(state(0))
    observation = seen.observe()
    assert observation is not None and set(observation.images) == {"wrist"}
    assert set(observation.vectors) == set(VECTORS)


def test_a_reset_forgets_the_last_episode():
    seen = observer(wrist=1)
    seen.add_frame(frame("wrist", 500, 1))
    feed_arm(seen, 500)
    assert seen.observe() is not None
    seen.reset()
    assert seen.observe() is None
    seen.add_frame(frame("wrist", 0, 1))
    feed_arm(seen, 0)
    assert seen.observe() is not None


def test_a_long_session_keeps_only_what_it_needs():
    seen = observer(wrist=2)
    feed_arm(seen, 20_000)
    assert len(seen._history["measured"].value_N) < 200


@pytest.mark.parametrize(
    ("vectors", "images"), [({}, {}), ({"measured": 0}, {}), ({"measured": 1}, {"wrist": 0})]
)
def test_a_history_of_nothing_is_refused(vectors, images):
    with pytest.raises(ValueError, match="at least one"):
        Observer(ToolRows(), step_ns=STEP_NS, vectors=vectors, images=images)


@pytest.mark.parametrize("frozen", ["wrist", "tactile_left", "measured", "commanded"])
def test_no_stream_can_freeze_without_plans_coming_to_an_end(frozen):
    seen = observer(wrist=2, tactile_left=2)
    observed = []
    for now_ms in range(0, 3000, 10):
        alive = {"wrist", "tactile_left", "measured", "commanded"}
        if now_ms >= 1000:
            alive.remove(frozen)
        at_ms = {name: now_ms if name in alive else 990 for name in (*VECTORS, *seen._image_steps)}
        seen.add_state(state(at_ms["measured"] * MS, HOME))
        seen.add_sent(at_ms["commanded"] * MS, HOME)
        if now_ms % 100 == 0:
            for name in ("wrist", "tactile_left"):
                seen.add_frame(frame(name, at_ms[name] // 100 * 100, 1))
        observation = seen.observe()
        if observation is not None:
            observed.append(observation.observed_ns // MS)
    assert observed[-1] <= 990 + 100, "at most a step on"
    assert observed[-1] >= 900
