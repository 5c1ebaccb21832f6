"""Between a UR arm's object and its driver's process: packets over a pair of Unix sockets.

    to the driver    T  stamp_ns, x y z (m), rotation vector (rad)     a target
                     R                                                 come to rest
                     (end of file)                                     leave
    from the driver  S  stamp_ns, pose_6, joint_rad_6, wrench_6        a measurement
                     F  a sentence                                     why the arm moves no more

Neither side waits for the other. One that dies is an end of file to the other.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Self

from robot_io.errors import FeelforwardError

Six = tuple[float, ...]  # x y z (m), rotation vector (rad); or joints (rad); or N and N·m

_TARGET = struct.Struct("=cq6d")
_STATE = struct.Struct("=cq18d")
_LARGEST = 4096


class LinkEndError(FeelforwardError):
    """The other side is gone."""


@dataclass(frozen=True, slots=True)
class Target:
    stamp_ns: int  # when it was given
    pose_6: Six


@dataclass(frozen=True, slots=True)
class Rest:
    """Brake, and wait for the next target."""


@dataclass(frozen=True, slots=True)
class Measurement:
    stamp_ns: int
    pose_6: Six  # of the TCP in base
    joint_rad_6: Six
    wrench_6: Six  # at the TCP, axes of base


@dataclass(frozen=True, slots=True)
class Fault:
    sentence: str


Packet = Target | Rest | Measurement | Fault


class Link:
    """One end. `send` and `receive` raise LinkEndError when the other one is gone."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def inherited(cls, descriptor: int) -> Self:
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def send(self, packet: Packet) -> bool:
        """Whether it was taken: never waits, not even for one who has stopped reading."""
        try:
            self._end.send(_packed(packet), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkEndError(f"The UR driver's link has ended ({error}).") from None
        return True

    def receive(self, timeout_s: float = 0.0) -> Packet | None:
        """The next packet; None when none comes within `timeout_s`."""
        self._end.settimeout(timeout_s)
        try:
            data = self._received()
        except (BlockingIOError, TimeoutError):
            return None
        except OSError as error:
            raise LinkEndError(f"The UR driver's link has ended ({error}).") from None
        if not data:
            raise LinkEndError("The other side of the UR driver's link has ended.")
        return _unpacked(data)

    def _received(self) -> bytes:
        try:
            return self._end.recv(_LARGEST)
        except ConnectionResetError:  # told once, before what the other side said at its end
            return self._end.recv(_LARGEST)


def _packed(packet: Packet) -> bytes:
    match packet:
        case Target():
            return _TARGET.pack(b"T", packet.stamp_ns, *packet.pose_6)
        case Rest():
            return b"R"
        case Measurement():
            numbers = (*packet.pose_6, *packet.joint_rad_6, *packet.wrench_6)
            return _STATE.pack(b"S", packet.stamp_ns, *numbers)
        case Fault():
            return b"F" + packet.sentence.encode()[: _LARGEST - 1]


def _unpacked(data: bytes) -> Packet:
    match data[:1]:
        case b"T":
            _, stamp_ns, *pose_6 = _TARGET.unpack(data)
            return Target(stamp_ns, tuple(pose_6))
        case b"R":
            return Rest()
        case b"S":
            _, stamp_ns, *numbers = _STATE.unpack(data)
            return Measurement(
                stamp_ns, tuple(numbers[:6]), tuple(numbers[6:12]), tuple(numbers[12:])
            )
        case _:
            return Fault(data[1:].decode(errors="replace"))
