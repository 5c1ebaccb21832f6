"""What one half of the tool's motion remembers between two ticks."""

from typing import Generic, NamedTuple

from robot_io.gate.motion import Moving, PointT
from robot_io.gate.reasons import Reason
from robot_io.gate.stop_path import Stopping, Way
from robot_io.so3 import Vector


class Track(NamedTuple, Generic[PointT]):
    """What was emitted last and how it moved; what was asked last; how to come to rest."""

    moving: Moving[PointT]
    target: Moving[PointT]  # differs from `moving` while the gate trails behind what is asked
    to_rest: Stopping | Way | None  # worked out when needed; none when at rest
    accel_now: Vector | None = None  # at the tick, where the gate made the last step and knows it


class Chosen(NamedTuple, Generic[PointT]):
    """What a part goes on with, and what was wrong with what was asked."""

    track: Track[PointT]
    reasons: tuple[Reason, ...] = ()

    @property
    def point(self) -> PointT:
        return self.track.moving.point


def at_rest(point: PointT) -> Track[PointT]:
    return Track(Moving(point), Moving(point), None)
