"""The robot's end of the line to a policy server: says hello, stays alive, finds back.

Nothing here waits for long and nothing runs by itself: somebody calls `tend` again and again.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from statistics import median

import zmq

from robot_io.clock import NS_PER_MS, NS_PER_S, Clock
from robot_io.remote.clock_offset import ClockOffset, Exchange
from robot_io.remote.keys import Keys
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
from robot_io.remote.report import LinkCount
from robot_io.remote.sockets import RobotLine
from robot_io.remote.watch import LinkFault, LinkWatch
from robot_io.types import Observation
from robot_io.wire_format import WireError

HELLO_EVERY_NS = 250 * NS_PER_MS
PING_EVERY_NS = 500 * NS_PER_MS
SILENCE_NS = 2 * NS_PER_S  # without any answer; then the line is laid anew
UNHEARD_NS = NS_PER_S  # without any answer; then the operator is told
TRIPS = 10  # round trips of plans that are judged together
MAX_OPEN = 64  # requests whose answers are still awaited; the oldest are given up


class PolicyLink:
    """One line after the other to the same server, and what is known about it."""

    def __init__(
        self, context: zmq.Context, endpoint: str, *, keys: Keys | None, clock: Clock
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._keys = keys
        self._clock = clock
        self._line: RobotLine | None = None
        self._session = NOBODY
        self._previous = NOBODY  # also after the session is over: who asks for the place again
        self._nonces: set[bytes] = set()  # of the hellos on this line
        self._sequence = 0
        self._asked_ns: dict[int, int] = {}  # sequence -> when
        self._waiting_ns: int | None = None  # since when nothing has answered
        self._hello_ns = self._ping_ns = 0
        self._refusal = ""
        self.welcome: Welcome | None = None  # the last one
        self.heard_ns: int | None = None  # when the server last gave a sign of life
        self.offset = ClockOffset()
        self.dropped: Counter[str] = Counter()
        self.count = LinkCount()
        self.watch = LinkWatch(endpoint)
        self._trips_ns: deque[int] = deque(maxlen=TRIPS)  # of the newest plans

    @property
    def connected(self) -> bool:
        return self._session != NOBODY

    def why_not(self) -> str:
        """Why there is no session, or no answer in it."""
        if self._refusal:
            return self._refusal
        return self._line.why_not() if self._line is not None else "no line was laid"

    def tend(self) -> None:
        """Lays a line where there is none that answers; says hello or that we are alive."""
        now_ns = self._clock.now_ns()
        silent = self._waiting_ns is not None and now_ns - self._waiting_ns > SILENCE_NS
        if self._line is None or silent:
            self._lay_line(now_ns)
        if not self.connected and now_ns - self._hello_ns > HELLO_EVERY_NS:
            self._say_hello(now_ns)
        if self.connected and now_ns - self._ping_ns > PING_EVERY_NS:
            self._ping_ns = now_ns
            self._request(lambda sequence: Ping(self._session, sequence))
        self._notice_silence(now_ns)

    def ask(self, observation: Observation, *, episode: int, seed: int) -> int | None:
        """Asks for a plan; the number that its answer will carry, None while nobody is there."""
        if not self.connected:
            return None
        return self._request(
            lambda sequence: Ask(self._session, sequence, episode, seed, observation)
        )

    def hear(self, *, until_ns: int) -> Sequence[Plan | Failure]:
        """Answers to `ask` that are there or come until then; everything else is dealt with."""
        assert self._line is not None
        left_ms = math.ceil(max(until_ns - self._clock.now_ns(), 0) / NS_PER_MS)
        self._line.socket.poll(left_ms)
        answers = []
        for _ in range(MAX_OPEN):
            try:
                data = self._line.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            answer = self._take(data, self._clock.now_ns())
            if isinstance(answer, (Plan, Failure)):
                answers.append(answer)
        return answers

    def close(self) -> None:
        """Gives the place back, if there is still somebody to hear it."""
        if self._line is None:
            return
        if self.connected:
            self._line.socket.setsockopt(zmq.LINGER, 100)
            self._request(lambda sequence: Bye(self._session, sequence))
        self._line.close()
        self._line, self._session = None, NOBODY

    def let_go(self, answer: Plan | Failure) -> None:
        """An answer of `hear` that came too late for whoever had asked."""
        self.count.late += 1
        self.dropped["late"] += 1

    def _notice_silence(self, now_ns: int) -> None:
        """A server that is not there is news once it has been; until then somebody waits for it."""
        silent_ns = 0 if self._waiting_ns is None else now_ns - self._waiting_ns
        if self.welcome is not None and (silent_ns > UNHEARD_NS or not self.connected):
            what = f"no answer for {silent_ns / NS_PER_S:.1f} s" if self.connected else "no session"
            line = f"{what}: {self.why_not()}."
            self.watch.note(LinkFault.NO_PLANS, line, now_ns, since_ns=self.heard_ns)
        self.watch.look(now_ns)

    # ---- sending

    def _lay_line(self, now_ns: int) -> None:
        if self._line is not None:
            self._line.close()
        self._line = RobotLine(self._context, self._endpoint, self._keys)
        self._session = NOBODY
        self._nonces.clear()
        self._hello_ns, self._waiting_ns = now_ns - HELLO_EVERY_NS - 1, now_ns

    def _say_hello(self, now_ns: int) -> None:
        nonce = fresh_nonce()
        if self._send(Hello(VERSION, nonce, self._previous)) is not None:
            self._nonces.add(nonce)
            self._hello_ns = now_ns

    def _request(self, make: Callable[[int], Request]) -> int | None:
        """Sends what `make` makes of the next sequence number; the number if it went out."""
        self._sequence += 1
        sent_ns = self._send(make(self._sequence))
        if sent_ns is None:
            return None
        self._asked_ns[self._sequence] = sent_ns
        if len(self._asked_ns) > MAX_OPEN:
            del self._asked_ns[min(self._asked_ns)]
        return self._sequence

    def _send(self, request: Request) -> int | None:
        """When it went out, on our clock; None when nobody is connected, or does not read."""
        assert self._line is not None
        data = REQUESTS.encode(request)
        sent_ns = self._clock.now_ns()  # before: the server may have it when `send` returns
        if self._waiting_ns is None:  # also for what nobody takes: there is no answer to it either
            self._waiting_ns = sent_ns
        try:
            self._line.socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return None
        self.count.sent_bytes += len(data)
        return sent_ns

    # ---- receiving

    def _take(self, data: bytes, now_ns: int) -> Reply | None:
        """The reply, if it is one to us and the first one."""
        self.count.heard_bytes += len(data)
        try:
            reply = REPLIES.decode(data)
        except WireError as error:
            self._refuse("garbage", f"garbage ({error})", now_ns)
            return None
        if not self._is_ours(reply, now_ns):
            return None
        self.heard_ns, self._waiting_ns = now_ns, None
        match reply:
            case Welcome():
                self._begin(reply)
            case Refusal():
                self._refusal, self._session = reply.reason, NOBODY
            case Plan() | Pong():
                self._compare_clocks(reply, now_ns)
            case Failure():
                del self._asked_ns[reply.answers]
        return reply

    def _is_ours(self, reply: Reply, now_ns: int) -> bool:
        if isinstance(reply, (Welcome, Refusal)):
            of_hello = not self.connected and reply.nonce in self._nonces
            ours = of_hello or (isinstance(reply, Refusal) and reply.nonce == self._session)
        else:
            ours = reply.session == self._session
        if not ours:
            self._refuse("foreign", "not of this session", now_ns)
            return False
        if isinstance(reply, (Welcome, Refusal)):
            return True
        if reply.answers not in self._asked_ns:
            self._refuse("repeated", "answered before, or never asked", now_ns)
            return False
        return True

    def _refuse(self, why: str, what: str, now_ns: int) -> None:
        self.dropped[why] += 1
        self.count.refused += 1
        self.watch.note(LinkFault.REFUSED, f"a message was refused: {what}.", now_ns)

    def _begin(self, welcome: Welcome) -> None:
        self._session = self._previous = welcome.session
        self.welcome, self._refusal = welcome, ""
        self._nonces.clear()
        self._asked_ns.clear()
        self._sequence = 0
        self._ping_ns = 0

    def _compare_clocks(self, reply: Plan | Pong, now_ns: int) -> None:
        asked_ns = self._asked_ns.pop(reply.answers)
        exchange = Exchange(asked_ns, reply.received_ns, reply.sent_ns, now_ns)
        before = self.offset.estimate(now_ns)
        if self.offset.add(exchange) and before is not None:
            moved_ms = (exchange.offset_ns - before.offset_ns) / NS_PER_MS
            what = f"its clock has moved by {moved_ms:.3f} ms against ours; nothing is due by it."
            self.watch.note(LinkFault.CLOCK, what, now_ns)
        if isinstance(reply, Plan):  # a pong may have waited until a plan was made
            self._judge_trip(exchange.round_trip_ns, now_ns)

    def _judge_trip(self, round_trip_ns: int, now_ns: int) -> None:
        """Slow is a row: so much later than planned comes every plan."""
        assert self.welcome is not None
        self.count.round_trips_ns.append(round_trip_ns)
        self._trips_ns.append(round_trip_ns)
        usual_ms, limit_ms = median(self._trips_ns) / NS_PER_MS, self.welcome.step_ns / NS_PER_MS
        if len(self._trips_ns) == TRIPS and not usual_ms <= limit_ms:
            what = f"a round trip takes {usual_ms:.0f} ms, more than a row of {limit_ms:.0f} ms."
            self.watch.note(LinkFault.SLOW, what, now_ns)
