"""The field of Push-T as numbers: mark, shape and key points of the block. Needs no gym-pusht.

A pose is x, y (px) of the middle of the bar's outer edge, and the angle (rad), on a field whose y
points down; the stem points along the block's own y.
"""

import numpy as np

FIELD_PX = 512.0
MARK_3 = np.array([256.0, 256.0, np.pi / 4])  # where the block is to be: x, y (px), angle (rad)
_BAR, _STEM = (-60.0, 60.0, 0.0, 30.0), (-15.0, 15.0, 30.0, 120.0)  # of the block: x, x, y, y in px

# Fitted to 25,650 recorded (state, keypoint) pairs; median residual 1e-5 px.
KEYPOINTS_IN_BLOCK_92 = np.array(
    [
        (9.2698, 90.0410),
        (-60.9835, -1.1867),
        (60.9128, -1.3934),
        (-0.2705, 25.5436),
        (-14.0649, 122.8159),
        (39.0027, 32.8574),
        (-39.9664, 32.7297),
        (-16.8243, 62.8632),
        (23.5415, -1.7003),
    ]
)
_AFFINE_93 = np.hstack([KEYPOINTS_IN_BLOCK_92, np.ones((9, 1))])  # for maps that shift as well


def keypoints_of_block(pose_3: np.ndarray) -> np.ndarray:
    """The 9 key points, flattened to (18,) px, of a block at x, y (px), angle (rad)."""
    return (KEYPOINTS_IN_BLOCK_92 @ _rotation(pose_3[2]).T + pose_3[:2]).ravel()


def block_of_keypoints(keypoint_18: np.ndarray) -> np.ndarray:
    """x, y (px), angle (rad) of the block whose key points lie there, by least squares."""
    point_92 = np.reshape(keypoint_18, KEYPOINTS_IN_BLOCK_92.shape)
    along_2, _, origin_2 = np.linalg.lstsq(_AFFINE_93, point_92)[0]
    return np.array([*origin_2, np.arctan2(along_2[1], along_2[0])])


def in_block(point_N2: np.ndarray, pose_3: np.ndarray) -> np.ndarray:
    """Which points (px) lie within a block at x, y (px), angle (rad): (N,) bool."""
    x_N, y_N = (_rotation(-pose_3[2]) @ (point_N2 - pose_3[:2]).T).round(9)
    return np.logical_or.reduce(
        [
            (left <= x_N) & (x_N <= right) & (low <= y_N) & (y_N <= high)
            for left, right, low, high in (_BAR, _STEM)
        ]
    )


def outline_of_block(pose_3: np.ndarray) -> np.ndarray:
    """Its 8 corners in order, (8, 2) px."""
    (bar_left, bar_right, edge, neck), (left, right, _, end) = _BAR, _STEM
    corner_82 = np.array(
        [
            *((bar_left, edge), (bar_right, edge), (bar_right, neck), (right, neck)),
            *((right, end), (left, end), (left, neck), (bar_left, neck)),
        ]
    )
    return corner_82 @ _rotation(pose_3[2]).T + pose_3[:2]


def mirrored(point_N2: np.ndarray) -> np.ndarray:
    """Points (px) in a mirror on the diagonal x + y = 512 px, in which the field looks the same."""
    return FIELD_PX - point_N2[..., ::-1]


def mirrored_keypoints(keypoint_N18: np.ndarray) -> np.ndarray:
    """The key points (px) of the block that is seen in the mirror, which has them elsewhere.

    It is the block with its own x turned round. Wherever a block is, its key points lie on an
    affine map of `KEYPOINTS_IN_BLOCK_92`, so those of the turned one are always the same
    combination of them.
    """
    turned_93 = _AFFINE_93 * (-1, 1, 1)
    combination_99 = turned_93 @ np.linalg.pinv(_AFFINE_93)
    keypoint_N92 = np.asarray(keypoint_N18, np.float64).reshape(-1, *KEYPOINTS_IN_BLOCK_92.shape)
    return mirrored(combination_99 @ keypoint_N92).reshape(np.shape(keypoint_N18))


def mirrored_image(image_NHWC: np.ndarray) -> np.ndarray:
    """Square images of the field in the mirror."""
    return image_NHWC[:, ::-1, ::-1].swapaxes(1, 2)


def _rotation(angle_rad: float) -> np.ndarray:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[cos, -sin], [sin, cos]])
