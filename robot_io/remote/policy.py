"""A policy on another machine. No torch is needed on the robot's side.

Whatever arrives is only a plan: it passes the buffer and the gate like any other. Its rows are due
by the robot's own clock, since they begin at the stamp of the robot's own observation.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import zmq

from robot_io.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.interfaces import NoPlanError
from robot_io.remote.clock_offset import Offset
from robot_io.remote.keys import check_endpoint, load_keys
from robot_io.remote.link import PolicyLink
from robot_io.remote.protocol import Failure, Plan, Welcome
from robot_io.remote.report import LinkCount
from robot_io.remote.watch import LinkFault
from robot_io.types import Observation

CONNECT_TIMEOUT_NS = 5 * NS_PER_S
TEND_EVERY_NS = 20 * NS_PER_MS
IDLE_EVERY_S = 0.25
NOT_ENTERED = "The policy server is not connected. Enter the policy first."


class RemotePolicy:
    """Asks a policy server for plans; a `robot_io.interfaces.DistantSource`.

    Entering connects and fails in one sentence when there is no server. Afterwards a server that
    is away, slow or restarted only means `NoPlanError` from `plan`, until it is back.

    >>> with RemotePolicy("tcp://gpu:5555", keys="keys") as policy:
    ...     policy.reset(seed=1)
    ...     row_HD = policy.plan(observation)
    """

    def __init__(
        self, endpoint: str, *, keys: Path | str | None = None, clock: Clock | None = None
    ) -> None:
        loaded = load_keys(Path(keys)) if keys is not None else None
        self._endpoint = check_endpoint(endpoint, loaded)
        self._clock = clock if clock is not None else MonotonicClock()
        self._context = zmq.Context()
        self._link = PolicyLink(self._context, self._endpoint, keys=loaded, clock=self._clock)
        self._lock = threading.Lock()  # around the link, which two threads tend
        self._leaving = threading.Event()
        self._episode, self._seed = 0, 0

    def __enter__(self) -> Self:
        end_ns = self._clock.now_ns() + CONNECT_TIMEOUT_NS
        try:
            while not self._link.connected or self._link.offset.estimate(end_ns) is None:
                self._link.tend()
                self._link.hear(until_ns=self._clock.now_ns() + TEND_EVERY_NS)
                if self._clock.now_ns() > end_ns:
                    raise FeelforwardError(
                        f"No policy server at {self._endpoint}: {self._link.why_not()}."
                    )
        except BaseException:
            self._close()
            raise
        threading.Thread(target=self._stay_alive, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._leaving.set()
        with self._lock:
            self._close()

    @property
    def offer(self) -> Welcome:
        """What the policy wants to see and how long its plans are."""
        if self._link.welcome is None:
            raise FeelforwardError(NOT_ENTERED)
        return self._link.welcome

    @property
    def alive_age_ns(self) -> int | None:
        """How long ago the server last gave a sign of life."""
        heard_ns = self._link.heard_ns
        return None if heard_ns is None else self._clock.now_ns() - heard_ns

    @property
    def clock_offset(self) -> Offset:
        """The server's clock against ours. Nothing is due by it: it tells how the line does."""
        offset = self._link.offset.estimate(self._clock.now_ns())
        if offset is None:
            raise FeelforwardError(NOT_ENTERED)
        return offset

    @property
    def dropped(self) -> dict[str, int]:
        """Messages that were not believed, counted by why: garbage, foreign, repeated, late."""
        return dict(self._link.dropped)

    def reset(self, seed: int) -> None:
        """A new episode; the server hears of it with the next observation."""
        with self._lock:
            self._episode += 1
            self._seed = seed
            self._link.count = LinkCount()

    def news(self) -> list[str]:
        """Lines for the operator since the last time, one per fault at its begin and its end."""
        return self._link.watch.news()

    def link_report(self) -> Mapping[str, int | float]:
        """What a `LinkReport` of this episode is made of."""
        with self._lock:
            offset = self._link.offset.estimate(self._clock.now_ns())
            return self._link.count.report(offset).values()

    def plan(self, observation: Observation) -> np.ndarray:
        """Rows (H, D); row h is meant for `observation.observed_ns + h * step_ns`.

        Waits for half the time that a plan lasts, which leaves time for another try before the old
        plan is over; then raises `NoPlanError`. Two threads may not plan at once.
        """
        with self._lock:
            begin_ns, limit_ns = self._clock.now_ns(), self.offer.rows * self.offer.step_ns // 2
            self._link.count.wanted += 1
            answer = self._answer(observation, until_ns=begin_ns + limit_ns)
            if isinstance(answer, Plan):
                self._link.count.planned += 1
                return answer.row_HD
            if isinstance(answer, Failure):
                self._link.count.failed += 1
                raise self._lost(f"it cannot plan: {answer.reason}", begin_ns)
            limit_ms = limit_ns // NS_PER_MS
            raise self._lost(f"no plan within {limit_ms} ms: {self._link.why_not()}", begin_ns)

    def _answer(self, observation: Observation, *, until_ns: int) -> Plan | Failure | None:
        """Asks, and asks again when the session is a new one; None when nothing comes in time."""
        session, wanted = None, None
        while self._clock.now_ns() < until_ns:
            self._link.tend()
            if wanted is None or session is not self._link.welcome:
                session = self._link.welcome
                wanted = self._link.ask(observation, episode=self._episode, seed=self._seed)
            wait_ns = min(until_ns, self._clock.now_ns() + TEND_EVERY_NS)
            for answer in self._link.hear(until_ns=wait_ns):
                if answer.answers == wanted and session is self._link.welcome:
                    return answer
                self._link.let_go(answer)
        return None

    def _stay_alive(self) -> None:
        """Between plans: keeps the place at the server, and compares the clocks."""
        while not self._leaving.wait(IDLE_EVERY_S):
            if self._lock.acquire(blocking=False):  # a plan that is being waited for tends as well
                try:
                    if not self._leaving.is_set():
                        self._link.tend()
                        for answer in self._link.hear(until_ns=self._clock.now_ns()):
                            self._link.let_go(answer)
                finally:
                    self._lock.release()

    def _close(self) -> None:
        self._link.close()
        self._context.destroy()

    def _lost(self, reason: str, since_ns: int) -> NoPlanError:
        now_ns = self._clock.now_ns()
        self._link.watch.note(LinkFault.NO_PLANS, f"{reason}.", now_ns, since_ns=since_ns)
        return NoPlanError(f"Policy server {self._endpoint}: {reason}.")
