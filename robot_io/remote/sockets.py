"""Both ends of the line between a robot and its policy server, and why a line does not come about.

TCP, small queues, bounded messages, ZMQ's own heartbeats, and CURVE wherever there are keys.
"""

import functools
import operator
from contextlib import suppress

import zmq
from zmq.utils.monitor import recv_monitor_message

from robot_io.remote.keys import Keys, secure_client, secure_server
from robot_io.remote.protocol import MAX_BYTES
from robot_io.wire_format import WireError

QUEUE = 16  # messages that wait on either side; further ones are dropped
HEARTBEAT_MS = 500
DEAD_AFTER_MS = 2000  # without a heartbeat, or in the middle of a handshake
RECONNECT_MS, RECONNECT_MAX_MS = 50, 500

_DO_NOT_FIT = "only one side uses keys, or its key is not the one trusted here"
_CAUSES = {
    zmq.Event.CLOSED: "nobody listens there",
    zmq.Event.HANDSHAKE_FAILED_AUTH: "it does not know this robot's key",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: _DO_NOT_FIT,
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: _DO_NOT_FIT,
    zmq.Event.HANDSHAKE_SUCCEEDED: "it does not answer",
}


def listen(context: zmq.Context, endpoint: str, keys: Keys | None) -> zmq.Socket:
    """The server's ROUTER; WireError in one sentence when it cannot be bound."""
    socket = _bounded(context, zmq.ROUTER, endpoint)
    if keys is not None:
        secure_server(socket, keys)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        hint = " End the other server or choose another port." * (error.errno == zmq.EADDRINUSE)
        reason = zmq.strerror(error.errno or 0)
        raise WireError(f"Cannot listen at {endpoint}: {reason}.{hint}") from None
    return socket


class RobotLine:
    """The robot's DEALER. What is sent while nobody is connected is dropped, not kept.

    A line that was refused in the handshake is dead for good: ZMQ does not try again.
    """

    def __init__(self, context: zmq.Context, endpoint: str, keys: Keys | None) -> None:
        self.socket = _bounded(context, zmq.DEALER, endpoint)
        if keys is not None:
            secure_client(self.socket, keys)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        self._monitor = self.socket.get_monitor_socket(functools.reduce(operator.or_, _CAUSES))
        self._cause = zmq.Event.CLOSED
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise WireError(
                f"Cannot connect to {endpoint}: {zmq.strerror(error.errno or 0)}."
            ) from None

    def close(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close()
        self.socket.close()

    def why_not(self) -> str:
        """Why nothing comes through, as far as the last attempt to connect has told."""
        with suppress(zmq.Again):
            while True:
                self._cause = zmq.Event(recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"])
        return _CAUSES[self._cause]


def _bounded(context: zmq.Context, kind: int, endpoint: str) -> zmq.Socket:
    socket = context.socket(kind)
    for option, value in (
        (zmq.LINGER, 0),
        (zmq.SNDHWM, QUEUE),
        (zmq.RCVHWM, QUEUE),
        (zmq.MAXMSGSIZE, MAX_BYTES),
        (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
        (zmq.HEARTBEAT_TIMEOUT, DEAD_AFTER_MS),
        (zmq.HEARTBEAT_TTL, DEAD_AFTER_MS),
        (zmq.HANDSHAKE_IVL, DEAD_AFTER_MS),
        (zmq.IPV6, int("[" in endpoint)),
    ):
        socket.setsockopt(option, value)
    return socket
