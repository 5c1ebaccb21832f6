"""Why a command was changed, held or stopped: codes that are recorded and shown."""

from enum import StrEnum


class Reason(StrEnum):
    """In the order of the checks."""

    SHAPE = "shape"
    NOT_FINITE = "not_finite"
    NOT_UNIT = "not_unit"
    SEQUENCE = "sequence"  # not newer than the last command
    EXPIRED = "expired"
    CLOCK = "clock"  # less than a period since the last tick, or the command is due in the future
    STATE_UNUSABLE = "state_unusable"  # what the arm measured: shape, not finite, not unit
    STATE_JUMPED = "state_jumped"  # what the arm measured: further from before than an arm gets
    CHUNK_REJECTED = "chunk_rejected"  # an earlier command of this chunk broke a limit
    WORKSPACE = "workspace"
    PLANE = "plane"
    KEEP_OUT = "keep_out"
    WIDTH = "width"
    SPEED = "speed"
    ACCELERATION = "acceleration"
    JERK = "jerk"
    TURN_SPEED = "turn_speed"
    TURN_ACCELERATION = "turn_acceleration"
    TURN_JERK = "turn_jerk"
    WIDTH_SPEED = "width_speed"
    LEASH_FORCE = "leash_force"
    LEASH_TORQUE = "leash_torque"
    JOINT_LIMIT = "joint_limit"
    JOINT_SPEED = "joint_speed"
    JOINT_ACCELERATION = "joint_acceleration"
    JOINT_JERK = "joint_jerk"
    UNREACHABLE = "unreachable"  # no joint angles put the tool there
    SELF_DISTANCE = "self_distance"
    OBSTACLE_DISTANCE = "obstacle_distance"
    SINGULARITY = "singularity"
    FORCE = "force"  # measured: latches a stop
    TORQUE = "torque"
    NO_PLAN = "no_plan"
    STATE_STALE = "state_stale"
    OPERATOR = "operator"  # a person pressed the software stop


# What `on_violation` in a config is about.
GROUPS = {
    "workspace": (Reason.WORKSPACE, Reason.PLANE, Reason.KEEP_OUT),
    "gripper": (Reason.WIDTH, Reason.WIDTH_SPEED),
    "speed": (Reason.SPEED, Reason.TURN_SPEED),
    "acceleration": (Reason.ACCELERATION, Reason.TURN_ACCELERATION),
    "jerk": (Reason.JERK, Reason.TURN_JERK),
    "leash": (Reason.LEASH_FORCE, Reason.LEASH_TORQUE),
    "joints": (
        Reason.JOINT_LIMIT,
        Reason.JOINT_SPEED,
        Reason.JOINT_ACCELERATION,
        Reason.JOINT_JERK,
        Reason.UNREACHABLE,
    ),
    "geometry": (Reason.SELF_DISTANCE, Reason.OBSTACLE_DISTANCE, Reason.SINGULARITY),
}
