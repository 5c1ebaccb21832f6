"""The simulated sensors of a session in real time, timed as the robot's config says."""

from pathlib import Path

from robot_io.clock import MonotonicClock
from sim.lockstep import SensorTiming
from sim.realtime import RealtimeCamera


def make_camera(
    name: str, snapshots: str, *, rate_hz: float, latency_ms: float, noise_counts: float
) -> RealtimeCamera:
    """What a sensor's process calls. `snapshots`: the ring that the world's process publishes."""
    timing = SensorTiming(rate_hz, latency_ms, noise_counts)
    return RealtimeCamera(name, Path(snapshots), timing, MonotonicClock())
