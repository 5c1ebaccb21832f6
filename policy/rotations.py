"""Rotations and rigid motions in batches of torch tensors.

Legend: "..." any leading shape; quat_wxyz (..., 4), rot6 (..., 6) the first two columns of a
rotation matrix (Zhou et al. 2019), rotvec (..., 3) axis times angle, rad. Poses are
(position m, quat_wxyz) pairs.
"""

import torch
from torch import Tensor
from torch.nn import functional


def multiply(a_wxyz: Tensor, b_wxyz: Tensor) -> Tensor:
    """The Hamilton product: first b, then a."""
    aw, av = a_wxyz[..., :1], a_wxyz[..., 1:]
    bw, bv = b_wxyz[..., :1], b_wxyz[..., 1:]
    w = aw * bw - (av * bv).sum(-1, keepdim=True)
    return torch.cat([w, aw * bv + bw * av + torch.linalg.cross(av, bv)], -1)


def conjugate(quat_wxyz: Tensor) -> Tensor:
    """The inverse of a unit quaternion."""
    return torch.cat([quat_wxyz[..., :1], -quat_wxyz[..., 1:]], -1)


def rotate(quat_wxyz: Tensor, vector: Tensor) -> Tensor:
    """A vector (..., 3) turned by a unit quaternion."""
    w, v = quat_wxyz[..., :1], quat_wxyz[..., 1:]
    u = 2 * torch.linalg.cross(v, vector)
    return vector + w * u + torch.linalg.cross(v, u)


def rot6_from_quat(quat_wxyz: Tensor) -> Tensor:
    """The first two columns of the rotation matrix, one after the other."""
    w, x, y, z = quat_wxyz.unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y + w * z),
            2 * (x * z - w * y),
            2 * (x * y - w * z),
            1 - 2 * (x * x + z * z),
            2 * (y * z + w * x),
        ],
        -1,
    )


def quat_from_rot6(rot6: Tensor) -> Tensor:
    """The rotation nearest to two columns by Gram-Schmidt; any scale of the columns will do."""
    first = functional.normalize(rot6[..., :3], dim=-1)
    second = rot6[..., 3:]
    second = functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return quat_from_matrix(torch.stack([first, second, torch.linalg.cross(first, second)], -1))


def quat_from_matrix(matrix: Tensor) -> Tensor:
    """Unit quaternion (sign arbitrary) of rotation matrices (..., 3, 3).

    4 q qᵀ is linear in the matrix; its row with the largest diagonal element is the best
    conditioned multiple of q.
    """
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    ww = 1 + m[0][0] + m[1][1] + m[2][2]
    xx = 1 + m[0][0] - m[1][1] - m[2][2]
    yy = 1 - m[0][0] + m[1][1] - m[2][2]
    zz = 1 - m[0][0] - m[1][1] + m[2][2]
    rows = [[ww, wx, wy, wz], [wx, xx, xy, xz], [wy, xy, yy, yz], [wz, xz, yz, zz]]
    outer = torch.stack([torch.stack(row, -1) for row in rows], -2)
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*wx.shape, 1, 4)
    return functional.normalize(outer.gather(-2, best).squeeze(-2), dim=-1)


def rotvec_from_quat(quat_wxyz: Tensor) -> Tensor:
    """Axis times angle, the angle in [0, π] rad."""
    quat_wxyz = torch.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz)
    w, v = quat_wxyz[..., :1], quat_wxyz[..., 1:]
    sine = v.norm(dim=-1, keepdim=True)
    tiny = sine < 1e-7
    angle_over_sine = 2 * torch.atan2(sine, w) / torch.where(tiny, torch.ones_like(sine), sine)
    return v * torch.where(tiny, torch.full_like(sine, 2.0), angle_over_sine)


def pose_in(frame: tuple[Tensor, Tensor], pose: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """`pose` as seen from `frame`; both given in the base frame."""
    inverse = conjugate(frame[1])
    return rotate(inverse, pose[0] - frame[0]), multiply(inverse, pose[1])


def pose_from(
    frame: tuple[Tensor, Tensor], pose_in_frame: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The inverse of `pose_in`: a pose given in `frame`, as seen from the base."""
    position = frame[0] + rotate(frame[1], pose_in_frame[0])
    return position, multiply(frame[1], pose_in_frame[1])
