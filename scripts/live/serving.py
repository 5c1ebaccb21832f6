"""A policy for a robot on another machine: one robot at a time, and only one that is known.

The other end is `robot_io.remote.policy`; what they say to each other, `robot_io.remote.protocol`.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import zmq

from policy.config import PolicyConfig
from robot_io.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.interfaces import ChunkSource
from robot_io.remote import sockets as policy_socket
from robot_io.remote.keys import Doorkeeper, Keys, check_endpoint
from robot_io.remote.protocol import (
    NOBODY,
    REPLIES,
    REQUESTS,
    VERSION,
    Ask,
    Bye,
    Failure,
    Hello,
    Ping,
    Plan,
    Pong,
    Refusal,
    Reply,
    Request,
    Welcome,
    fresh_nonce,
)
from robot_io.wire_format import MAX_TEXT, WireError

SILENCE_NS = 3 * NS_PER_S  # of a robot; then another one may have its place
REMEMBERED = 1000  # nonces that do not work again
MAX_BATCH = 256  # messages taken before the next plan


@dataclass(frozen=True, slots=True)
class Offer:
    """What the policy wants to see, and what its plans look like."""

    step_ns: int
    rows: int
    vectors: dict[str, int]  # stream -> steps of history
    images: dict[str, int]


def offer_of(config: PolicyConfig) -> Offer:
    """What a checkpoint's config says about it."""
    return Offer(
        config.step_ms * NS_PER_MS,
        config.horizon,
        {stream.name: stream.history for stream in config.vectors if stream.value is None},
        {stream.name: stream.history for stream in config.images},
    )


class Place:
    """Who is served, and which of its messages are news."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._nonces: deque[bytes] = deque(maxlen=REMEMBERED)
        self._sequence = 0
        self._heard_ns = 0
        self.session = NOBODY
        self.dropped: Counter[str] = Counter()

    @property
    def taken(self) -> bool:
        return self.session != NOBODY

    def admit(self, hello: Hello, now_ns: int) -> Welcome | Refusal | None:
        """The answer to a hello; None when it has been answered before."""
        if hello.nonce in self._nonces:
            self.dropped["replayed"] += 1
            return None
        self._nonces.append(hello.nonce)
        if hello.version != VERSION:
            return Refusal(
                hello.nonce,
                f"it speaks version {VERSION} of the protocol, this robot {hello.version}; "
                "install the same Feelforward on both",
            )
        if self.taken and hello.previous != self.session and not self.silent(now_ns):
            return Refusal(hello.nonce, "it serves another robot")
        self.session, self._sequence, self._heard_ns = fresh_nonce(), 0, now_ns
        offer = self._offer
        return Welcome(
            hello.nonce, self.session, offer.step_ns, offer.rows, offer.vectors, offer.images
        )

    def is_news(self, request: Ask | Ping | Bye, now_ns: int) -> bool:
        """Whether the request is of who is served, and newer than all before it."""
        if not self.taken or request.session != self.session:
            self.dropped["foreign"] += 1
            return False
        if request.sequence <= self._sequence:
            self.dropped["replayed"] += 1
            return False
        self._sequence, self._heard_ns = request.sequence, now_ns
        return True

    def silent(self, now_ns: int) -> bool:
        return now_ns - self._heard_ns > SILENCE_NS

    def excuse(self, now_ns: int) -> None:
        """We were busy and could not hear until now: that silence is not the robot's."""
        self._heard_ns = now_ns

    def leave(self) -> None:
        self.session = NOBODY


class PolicyServer:
    """Answers one robot after the other.

    >>> with PolicyServer(policy, offer, "tcp://127.0.0.1:5555") as server:
    ...     server.run()  # until Ctrl-C

    `tell` gets a sentence when a robot comes or goes.
    """

    def __init__(
        self,
        source: ChunkSource,
        offer: Offer,
        endpoint: str,
        *,
        keys: Keys | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
        clock: Clock | None = None,
    ) -> None:
        self._source = source
        self._endpoint = check_endpoint(endpoint, keys)
        self._keys = keys
        self._tell = tell
        self._clock = clock if clock is not None else MonotonicClock()
        self._place = Place(offer)
        self._stack = ExitStack()
        self._episode: tuple[bytes, int] | None = None  # session and episode being planned for

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            context = zmq.Context()
            stack.callback(context.destroy, linger=0)
            if self._keys is not None:
                stack.enter_context(Doorkeeper(context, self._keys, refuse=self._refuse))
            self._socket = policy_socket.listen(context, self._endpoint, self._keys)
            stack.callback(self._socket.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def dropped(self) -> dict[str, int]:
        """What was not believed, by why: garbage, foreign, replayed, stale, unknown key."""
        return dict(self._place.dropped)

    def run(self) -> None:
        while True:
            self.serve(wait_s=0.5)

    def serve(self, *, wait_s: float) -> None:
        """Answers what is there or comes within `wait_s`; plans for the newest ask only."""
        self._socket.poll(round(wait_s * 1000))
        if self._place.taken and self._place.silent(self._clock.now_ns()) and not self._waiting():
            self._free("The robot has fallen silent.")
        newest: tuple[bytes, Ask, int] | None = None
        for address, request, received_ns in self._requests():
            if isinstance(request, Hello):
                self._admit(address, request, received_ns)
            elif not self._place.is_news(request, received_ns):
                if request.session != self._place.session:
                    self._send(address, Refusal(request.session, "it knows no such session"))
            elif isinstance(request, Ask):
                if newest is not None:
                    self._place.dropped["stale"] += 1
                newest = (address, request, received_ns)
            elif isinstance(request, Ping):
                stamps = (received_ns, self._clock.now_ns())
                self._send(address, Pong(request.session, request.sequence, *stamps))
            else:
                self._free("The robot has said goodbye.")
        if newest is not None and newest[1].session == self._place.session:
            address, ask, received_ns = newest
            self._send(address, self._plan(ask, received_ns))

    def _plan(self, ask: Ask, received_ns: int) -> Plan | Failure:
        if self._episode != (ask.session, ask.episode):
            self._episode = (ask.session, ask.episode)
            self._source.reset(ask.seed)
        try:
            row_HD = self._source.plan(ask.observation)
        except (ValueError, RuntimeError, FeelforwardError) as error:  # of this observation
            return Failure(ask.session, ask.sequence, " ".join(str(error).split())[:MAX_TEXT])
        finally:
            self._place.excuse(self._clock.now_ns())
        return Plan(ask.session, ask.sequence, received_ns, self._clock.now_ns(), row_HD)

    def _admit(self, address: bytes, hello: Hello, now_ns: int) -> None:
        was_taken = self._place.taken
        answer = self._place.admit(hello, now_ns)
        if isinstance(answer, Welcome):
            self._tell("A robot is served." if not was_taken else "A robot is served anew.")
        if answer is not None:
            self._send(address, answer)

    def _free(self, sentence: str) -> None:
        self._place.leave()
        dropped = ", ".join(f"{count} {why}" for why, count in self.dropped.items())
        self._tell(f"{sentence} Dropped so far: {dropped}." if dropped else sentence)

    def _refuse(self) -> None:
        """A client with an unknown key: told once, since it will knock again and again."""
        self._place.dropped["unknown key"] += 1
        if self._place.dropped["unknown key"] == 1:
            self._tell("A client with an unknown key was refused.")

    def _waiting(self) -> bool:
        return bool(self._socket.poll(0))

    def _requests(self) -> Iterator[tuple[bytes, Request, int]]:
        """What has arrived: from where, what, when. Garbage is dropped and counted."""
        for _ in range(MAX_BATCH):
            try:
                address = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            received_ns = self._clock.now_ns()
            data = self._socket.recv() if self._socket.rcvmore else b""
            while self._socket.rcvmore:  # nobody of ours sends more than one part
                data = self._socket.recv() and b""
            try:
                yield address, REQUESTS.decode(data), received_ns
            except WireError:
                self._place.dropped["garbage"] += 1

    def _send(self, address: bytes, reply: Reply) -> None:
        """Hands the reply over; whoever is gone or does not read loses it."""
        try:
            self._socket.send_multipart((address, REPLIES.encode(reply)), zmq.NOBLOCK)
        except zmq.Again:
            self._place.dropped["unread"] += 1
