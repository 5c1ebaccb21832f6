"""The limits that the sessions of these tests run with."""

from robot_io.control.loop import LoopLimits
from robot_io.control.spec import ControlSpec
from robot_io.gate.limits import GateLimits, MeasuredLimits, OnViolation, TouchLimits
from robot_io.session.spec import StreamLimits

GATE = GateLimits(
    period_s=0.01,
    max_command_age_s=0.1,
    workspace_low_m=(0.2, -0.4, 0.0),
    workspace_high_m=(0.8, 0.4, 0.6),
    planes=(),
    keep_out_boxes=(),
    keep_out_spheres=(),
    max_width_m=0.08,
    max_width_speed_m_per_s=0.1,
    max_grip_force_n=50.0,
    max_speed_m_per_s=0.5,
    max_accel_m_per_s2=5.0,
    max_jerk_m_per_s3=500.0,
    max_turn_rad_per_s=2.0,
    max_turn_accel_rad_per_s2=15.0,
    max_turn_jerk_rad_per_s3=1500.0,
    force_max_n=60.0,
    stiffness_n_per_m=700.0,
    torque_max_nm=2.0,
    stiffness_nm_per_rad=5.0,
    joints="none",
    geometry="unchecked",
    measured=MeasuredLimits(max_speed_m_per_s=3, max_turn_rad_per_s=20, max_joint_rad_per_s=10),
    touch=TouchLimits(measured_force="absent", max_force_n=100.0, max_torque_nm=10.0),
    on_violation=OnViolation.model_validate(dict.fromkeys(OnViolation.model_fields, "clip")),
)
CONTROL = ControlSpec(
    gate=GATE,
    loop=LoopLimits(stop_after_s=5.0, max_state_age_s=0.2),
    max_age_ns=2_000_000_000,
    seam_ns=100_000_000,
)
STREAMS = dict.fromkeys(("chunks", "wrist", "scene"), StreamLimits(rate_hz=10, max_age_s=1))
