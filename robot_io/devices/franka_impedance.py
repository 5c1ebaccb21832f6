"""What franky is asked to do with a reference: the spring, the damper, and when they end.

F = K (x_ref - x) + D (v_ref - v)        K e no larger than the leash allows, along each axis
tau = J^T F + posture in the null space + a push away from the joints' limits
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.devices.franka_settings import FrankaSettings
from robot_io.errors import FeelforwardError
from robot_io.rows import matrix_from_quat, rotvec_between

STIFFNESS_N_PER_M = (10.0, 3000.0)  # what the arm's maker allows its own impedance
STIFFNESS_NM_PER_RAD = (1.0, 300.0)
SHORTEST_STEP_NS = 10 * NS_PER_MS  # a row that came early is no faster motion
LONGEST_STEP_NS = 50 * NS_PER_MS  # rows further apart tell no velocity
GAINS_TIME_CONSTANT_S = 0.001  # at once: a renewed motion must not begin with other gains


@dataclass(frozen=True, slots=True)
class Impedance:
    """Stiffness and leash are the gate's: what it counts on is what the arm does."""

    settings: FrankaSettings
    stiffness_n_per_m: float
    leash_m: float  # the spring is never stretched further, whatever the reference
    stiffness_nm_per_rad: float
    leash_rad: float
    ends_after_s: float  # in the loop in C++, unless a new motion has taken over

    def __post_init__(self) -> None:
        check_within("stiffness_n_per_m", self.stiffness_n_per_m, STIFFNESS_N_PER_M)
        check_within("stiffness_nm_per_rad", self.stiffness_nm_per_rad, STIFFNESS_NM_PER_RAD)

    @property
    def fastest(self) -> tuple[float, float]:
        """m/s, rad/s: a reference that moves so fast pulls with all that the leash allows."""
        force_n = self.stiffness_n_per_m * self.leash_m
        torque_nm = self.stiffness_nm_per_rad * self.leash_rad
        settings = self.settings
        return force_n / settings.damping_n_s_per_m, torque_nm / settings.damping_nm_s_per_rad

    def motion(self, sdk: Any, posture_rad_J: np.ndarray) -> Any:
        """A motion that waits for its reference. Begun while the last one runs, it goes on."""
        settings = self.settings
        motion = sdk.CartesianImpedanceTrackingMotion(
            translational_stiffness=self.stiffness_n_per_m,
            rotational_stiffness=self.stiffness_nm_per_rad,
            translational_error_clip=np.full(3, self.leash_m),
            rotational_error_clip=np.full(3, self.leash_rad),
            posture_task=sdk.PostureTask(posture_rad_J, settings.posture_stiffness_nm_per_rad),
            lower_joint_limits=np.array(settings.joint_low_rad),
            upper_joint_limits=np.array(settings.joint_high_rad),
            gains_time_constant=GAINS_TIME_CONSTANT_S,
        )
        motion.set_gains(
            sdk.CartesianImpedanceGains.isotropic(
                self.stiffness_n_per_m,
                self.stiffness_nm_per_rad,
                settings.damping_n_s_per_m,
                settings.damping_nm_s_per_rad,
            )
        )
        too_old = sdk.Measure.REL_TIME > self.ends_after_s  # noqa: SIM300 - this makes a Condition
        motion.add_reaction(sdk.TorqueReaction(too_old, sdk.TorqueStopMotion()))
        return motion


class References:
    """Rows to references: pose and its velocity. Without it a steady motion lags, like a force.

    A jump is no velocity: beyond `fastest` (m/s, rad/s) it is cut, or the damper would pull with
    any force.
    """

    def __init__(self, sdk: Any, fastest: tuple[float, float]) -> None:
        self._sdk = sdk
        self._fastest = fastest
        self._last: tuple[int, np.ndarray] | None = None

    def take(self, row_D: np.ndarray, now_ns: int) -> Any:
        last, self._last = self._last, (now_ns, row_D.copy())
        twist = self._sdk.Twist()
        if last is not None and 0 < now_ns - last[0] <= LONGEST_STEP_NS:
            step_s = max(now_ns - last[0], SHORTEST_STEP_NS) / NS_PER_S
            speed_3 = (row_D[:3] - last[1][:3]) / step_s
            turn_3 = rotvec_between(last[1][3:7], row_D[3:7]) / step_s
            twist = self._sdk.Twist(*map(_cut, (speed_3, turn_3), self._fastest))
        pose = self._sdk.Affine(row_D[:3], row_D[[4, 5, 6, 3]])
        return self._sdk.CartesianReference(target=pose, target_twist=twist)


def _cut(vector_3: np.ndarray, longest: float) -> np.ndarray:
    length = float(np.linalg.norm(vector_3))
    return vector_3 if length <= longest else vector_3 * (longest / length)


def column_major(pose_7: tuple[float, ...]) -> list[float]:
    """A 4x4 transform of `x y z qw qx qy qz`, as libfranka wants it."""
    transform_44 = np.eye(4)
    transform_44[:3, 3] = pose_7[:3]
    transform_44[:3, :3] = matrix_from_quat(np.array(pose_7[3:]))
    return transform_44.flatten(order="F").tolist()


def check_within(name: str, value: float, allowed: tuple[float, float]) -> None:
    if not allowed[0] <= value <= allowed[1]:
        raise FeelforwardError(
            f"{name} = {value}, a Franka arm allows {allowed[0]:g} to {allowed[1]:g}. Mend the"
            " robot's config."
        )
