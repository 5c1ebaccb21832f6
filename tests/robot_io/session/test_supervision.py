"""What the session makes of what it looks at."""

from collections.abc import Callable

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.session.spec import SessionSpec
from robot_io.session.supervision import Supervisor
from robot_io.session.view import View
from robot_io.types import ArmState, Command, Frame, MonoNs, Provenance

HOME_D = np.array([0.45, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0, 0.04])


def view_at(stamp_ns: int) -> View:
    """A sample of every stream, all with the same stamp."""
    stamp, image_HWC = MonoNs(stamp_ns), np.zeros((1, 1, 3), np.uint8)
    frames = [Frame(name, 1, stamp, stamp, image_HWC) for name in ("wrist", "scene")]
    command = Command(1, stamp, HOME_D, Provenance("hold"))
    return View(frames, [ArmState(stamp, HOME_D, np.zeros(7)), command], [])


def lines_after(spec: SessionSpec, stamp_ns: int, *, now_ns: int, looked_ns: int) -> list[str]:
    told: list[str] = []
    supervisor = Supervisor(spec, 0, process_ids={}, tell=told.append)
    supervisor.look(view_at(stamp_ns), now_ns, looked_ns)
    return told


def test_what_happens_while_we_look_is_no_stamp_from_the_future(
    make_spec: Callable[..., SessionSpec],
) -> None:
    now_ns, looked_ns = 50 * NS_PER_MS, NS_PER_S
    assert lines_after(make_spec(), 900 * NS_PER_MS, now_ns=now_ns, looked_ns=looked_ns) == []


def test_a_stamp_from_after_the_look_is_one(make_spec: Callable[..., SessionSpec]) -> None:
    now_ns, looked_ns = 50 * NS_PER_MS, 60 * NS_PER_MS
    told = lines_after(make_spec(), 10 * NS_PER_S, now_ns=now_ns, looked_ns=looked_ns)
    assert any(line.startswith("commands: ") for line in told)
