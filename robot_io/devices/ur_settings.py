"""What a UR arm is told when it is entered: one table, `[ur]`, of a robot's config.

None has a default: a missing one means that the arm is not entered. Tool centre point, payload and
the arm's own limits are set at its pendant, in the installation.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class URSettings(BaseModel):
    """How the arm follows its targets: arguments of UR's `servoj`, which gives the gain no unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str  # of the controller: name or IPv4
    lookahead_s: Annotated[float, Field(ge=0.03, le=0.2)]  # smooths, and lags by about as much
    gain: Annotated[float, Field(ge=100, le=2000)]  # how hard it pulls towards the target
