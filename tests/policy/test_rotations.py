"""Rotations and rigid motions on random poses, and where formulas usually break."""

import numpy as np
import pytest
import torch

from policy.rotations import (
    multiply,
    pose_from,
    pose_in,
    quat_from_rot6,
    rot6_from_quat,
    rotate,
    rotvec_from_quat,
)


def random_quat(n: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def same_rotation(a: torch.Tensor, b: torch.Tensor) -> None:
    overlap = (a * b).sum(-1).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), atol=1e-12, rtol=0)


def test_six_numbers_give_the_rotation_back() -> None:
    quat = random_quat(1000)
    same_rotation(quat_from_rot6(rot6_from_quat(quat)), quat)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_survive_the_matrix(axis: int) -> None:
    quat = torch.zeros(1, 4, dtype=torch.float64)
    quat[0, 1 + axis] = 1.0
    same_rotation(quat_from_rot6(rot6_from_quat(quat)), quat)


def test_crooked_columns_are_straightened() -> None:
    rot6 = torch.randn(100, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    quat = quat_from_rot6(rot6)
    torch.testing.assert_close(quat.norm(dim=-1), torch.ones(100, dtype=torch.float64))
    straight = rot6_from_quat(quat)
    torch.testing.assert_close(
        straight[:, :3], rot6[:, :3] / rot6[:, :3].norm(dim=-1, keepdim=True)
    )
    torch.testing.assert_close(
        (straight[:, :3] * straight[:, 3:]).sum(-1), torch.zeros(100, dtype=torch.float64)
    )


def test_the_product_turns_by_the_second_then_the_first() -> None:
    a, b = random_quat(50, 1), random_quat(50, 2)
    v = torch.randn(50, 3, dtype=torch.float64)
    torch.testing.assert_close(rotate(multiply(a, b), v), rotate(a, rotate(b, v)))


@pytest.mark.parametrize("angle_rad", [0.0, 1e-9, 1e-4, 1.0, 3.0, np.pi])
def test_the_rotation_vector_is_axis_times_angle(angle_rad: float) -> None:
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    quat = torch.cat([torch.tensor([np.cos(angle_rad / 2)]), np.sin(angle_rad / 2) * axis])
    for sign in (1, -1):
        rotvec = rotvec_from_quat(sign * quat[None])[0]
        if angle_rad == np.pi:  # either sense is right
            rotvec = rotvec * torch.sign(rotvec[0])
        torch.testing.assert_close(rotvec, angle_rad * axis, atol=1e-12, rtol=1e-9)


def test_a_pose_seen_from_a_frame_and_back_is_itself() -> None:
    frame = (torch.randn(20, 1, 3, dtype=torch.float64), random_quat(20)[:, None])
    pose = (torch.randn(20, 5, 3, dtype=torch.float64), random_quat(100, 5).view(20, 5, 4))
    position, quat = pose_from(frame, pose_in(frame, pose))
    torch.testing.assert_close(position, pose[0])
    same_rotation(quat, pose[1])
