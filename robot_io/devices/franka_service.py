"""What only a person beside a Franka arm does: end an error, home the hand. Each asks first."""

import sys
from typing import Any

from robot_io.devices.franka_faults import explained, import_sdk, names, sdk_errors
from robot_io.devices.franka_settings import FrankaSettings


def recover(settings: FrankaSettings) -> None:
    """Says why the arm stopped and ends the error, if the person agrees. Moves nothing.

    Exits with 1 on a failure.
    """
    sdk = import_sdk()
    try:
        robot = _connected(sdk, settings)
        state = robot.state
        mode = state.robot_mode.name
        print(f"mode        {mode}")
        print(f"errors      {', '.join(names(state.current_errors)) or 'none'}")
        print(f"last stop   {', '.join(names(state.last_motion_errors)) or 'no reason given'}")
        if _agreed("The arm is clear, and I know why it stopped."):
            print("recovered" if robot.recover_from_errors() else "still in error: look at Desk")
    except sdk_errors(sdk) as error:
        _end(sdk, settings, error)


def home_hand(settings: FrankaSettings) -> None:
    """Lets the hand close and open once, to find its width. Exits with 1 on a failure."""
    sdk = import_sdk()
    try:
        gripper = sdk.Gripper(settings.address)
        if _agreed("Nothing is between the fingers; they will open and close."):
            gripper.homing()
            print(f"the hand opens to {gripper.max_width:.3f} m")
    except sdk_errors(sdk) as error:
        _end(sdk, settings, error)


def _connected(sdk: Any, settings: FrankaSettings) -> Any:
    return sdk.Robot(settings.address, realtime_config=sdk.RealtimeConfig.Ignore)


def _agreed(what: str) -> bool:
    return input(f"{what} Type yes: ").strip() == "yes"


def _end(sdk: Any, settings: FrankaSettings, error: Exception) -> None:
    print(explained(sdk, settings.address, None, error), file=sys.stderr)
    sys.exit(1)
