"""The gate as benches look at it: with the limits of the simulated FR3, some of them changed."""

from pathlib import Path

from robot_io.gate.limits import GateLimits
from scripts.robot import SIM_FR3, load_robot


def tool_limits(robot: Path = SIM_FR3, **changed: object) -> GateLimits:
    """The limits of a robot for a bench that looks at the tool alone: no joints, no bodies."""
    plain = load_robot(robot).gate.model_dump()
    alone = {"joints": "none", "geometry": "unchecked"}
    return GateLimits.model_validate({**plain, **alone, **changed})
