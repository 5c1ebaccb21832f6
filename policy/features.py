"""From streams and rows to the numbers a network sees, and back: the same code trains and plans.

Legend: B batch, T steps of history (newest last), H rows, D width of a row, F numbers of an
observation, A numbers of an action. Units: m, rad, or whatever the streams have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from policy.config import PolicyConfig
from policy.rotations import (
    pose_from,
    pose_in,
    quat_from_rot6,
    rot6_from_quat,
    rotvec_from_quat,
)

Streams = Mapping[str, Tensor]  # name -> (B, T, D)
TOOL_ROW = 8  # x y z qw qx qy qz width


class Features(Protocol):
    """How a policy represents what it observes and what it does."""

    def observation(self, streams: Streams) -> Tensor:
        """(B, F)."""
        ...

    def encode(self, streams: Streams, row_BHD: Tensor) -> Tensor:
        """Rows as (B, H, A)."""
        ...

    def decode(self, streams: Streams, action_BHA: Tensor) -> Tensor:
        """The inverse of `encode`: (B, H, D)."""
        ...


def make_features(config: PolicyConfig) -> Features:
    """The representation that `config.action` names; the numbers of goals come last."""
    names = tuple(stream.name for stream in sorted(config.vectors, key=lambda each: each.goal))
    return ToolFeatures(names) if config.action == "tool" else VectorFeatures(names)


def without_past(streams: Streams) -> Streams:
    """Every step of every stream as the newest one: what moved does not show."""
    return {name: x_BTD[:, -1:].expand_as(x_BTD) for name, x_BTD in streams.items()}


@dataclass(frozen=True)
class VectorFeatures:
    """Streams and rows as they are."""

    names: tuple[str, ...]

    def observation(self, streams: Streams) -> Tensor:
        return torch.cat([streams[name].flatten(1) for name in self.names], -1)

    def encode(self, streams: Streams, row_BHD: Tensor) -> Tensor:
        return row_BHD

    def decode(self, streams: Streams, action_BHA: Tensor) -> Tensor:
        return action_BHA


@dataclass(frozen=True)
class ToolFeatures:
    """Everything as seen from the measured tool at the observed step, the "now" frame.

    Observation: the tool in the base frame (xyz, 6-D rotation, width); where the tool was before
    (xyz, rotation vector, width); and per step how far the command lay from the measurement of
    that same step (xyz and rotation vector in the tool frame then, width). Under impedance control
    that offset is the force: it stands alone so that millimetres are not lost among metres.
    Action: xyz and 6-D rotation of each row in the now frame, and the width.
    """

    names: tuple[str, ...]

    def observation(self, streams: Streams) -> Tensor:
        measured = streams["measured"]
        parts = [_absolute(measured[:, -1])]
        if measured.shape[1] > 1:
            now = _pose(measured[:, -1:])
            past = measured[:, :-1]
            parts += [_relative(now, past).flatten(1), past[..., 7]]
        for name in self.names:
            if name == "commanded":
                parts.append(_offset(measured, streams[name]).flatten(1))
            elif name != "measured":
                parts.append(streams[name].flatten(1))
        return torch.cat(parts, -1)

    def encode(self, streams: Streams, row_BHD: Tensor) -> Tensor:
        now = _pose(streams["measured"][:, -1:])
        position, quat_wxyz = pose_in(now, _pose(row_BHD))
        return torch.cat([position, rot6_from_quat(quat_wxyz), row_BHD[..., 7:]], -1)

    def decode(self, streams: Streams, action_BHA: Tensor) -> Tensor:
        """Rows with unit quaternions on the same side as the measured one."""
        now = _pose(streams["measured"][:, -1:])
        turn_wxyz = quat_from_rot6(action_BHA[..., 3:9])
        turn_wxyz = torch.where(turn_wxyz[..., :1] < 0, -turn_wxyz, turn_wxyz)
        position, quat_wxyz = pose_from(now, (action_BHA[..., :3], turn_wxyz))
        return torch.cat([position, quat_wxyz, action_BHA[..., 9:]], -1)


def _pose(row: Tensor) -> tuple[Tensor, Tensor]:
    quat_wxyz = row[..., 3:7]
    return row[..., :3], quat_wxyz / quat_wxyz.norm(dim=-1, keepdim=True)


def _absolute(row: Tensor) -> Tensor:
    position, quat_wxyz = _pose(row)
    return torch.cat([position, rot6_from_quat(quat_wxyz), row[..., 7:]], -1)


def _relative(frame: tuple[Tensor, Tensor], row: Tensor) -> Tensor:
    position, quat_wxyz = pose_in(frame, _pose(row))
    return torch.cat([position, rotvec_from_quat(quat_wxyz)], -1)


def _offset(measured_BTD: Tensor, commanded_BTD: Tensor) -> Tensor:
    """Command as seen from the measurement of the same step: xyz, rotation vector, width."""
    measured_BTD = measured_BTD[:, -commanded_BTD.shape[1] :]
    width = commanded_BTD[..., 7:] - measured_BTD[..., 7:]
    return torch.cat([_relative(_pose(measured_BTD), commanded_BTD), width], -1)
