"""What goes wrong with a Franka arm, in sentences: franky's exceptions by type, and its modes."""

from typing import Any

from robot_io.errors import FeelforwardError

INSTALL = "franky does not load ({reason}). Run: pip install 'feelforward[franka]'"
SERVICE = "python -m robot_io.devices.franka --address {address} --{what}"


class FrankaLinkError(FeelforwardError):
    """The arm does not answer, or not any more."""


class FrankaStoppedError(FeelforwardError):
    """The arm has stopped itself, or does not let itself be moved: a person must look."""


def import_sdk() -> Any:
    """The module `franky`; FeelforwardError with the install line when it does not load."""
    try:
        import franky
    except ImportError as error:
        raise FeelforwardError(INSTALL.format(reason=error)) from None
    return franky


def sdk_errors(sdk: Any) -> tuple[type[Exception], ...]:
    """What franky throws; RuntimeError is its socket library's, on a connection that has died."""
    return (sdk.Exception, sdk.InvalidMotionTypeException, sdk.GripperException, RuntimeError)


def require_ready(sdk: Any, address: str, state: Any) -> None:
    """Raises FrankaStoppedError unless the arm waits, without an error, to be moved."""
    if state.robot_mode == sdk.RobotMode.Idle and not names(state.current_errors):
        return
    what = ", ".join(names(state.current_errors) or names(state.last_motion_errors))
    raise FrankaStoppedError(
        f"The arm at {address} is in mode {state.robot_mode.name}, allowed Idle"
        f"{f' ({what})' if what else ''}. {_way_out(sdk, address, state.robot_mode)}"
    )


def explained(sdk: Any, address: str, robot: Any, error: Exception) -> FeelforwardError:
    """One sentence on what franky threw, by its type. Asks a robot that stopped for the reason."""
    if isinstance(error, sdk.ControlException):
        return FrankaStoppedError(_why_stopped(sdk, address, robot, error))
    if isinstance(error, sdk.RealtimeException):
        return FeelforwardError(
            f"The arm at {address} needs a real-time kernel here ({error}). Boot one: see"
            " docs/hardware/franka.md."
        )
    if isinstance(error, sdk.IncompatibleVersionException):
        return FeelforwardError(
            f"The arm at {address} speaks another version ({error}). Install the build of"
            " franky-control for its system version: see docs/hardware/franka.md."
        )
    if isinstance(error, sdk.CommandException | sdk.InvalidOperationException):
        return FrankaStoppedError(
            f"The arm at {address} refuses ({error}). Look at it and at Desk, then start again."
        )
    return FrankaLinkError(
        f"No link to the arm at {address} ({error}). Check power, cable, and that FCI is active"
        " in Desk; look at the arm before you start again."
    )


def names(errors: Any) -> list[str]:
    """Those of libfranka's errors that are set."""
    known = [name for name in dir(errors) if not name.startswith("_")]
    return [name for name in known if getattr(errors, name) is True]


def _why_stopped(sdk: Any, address: str, robot: Any, error: Exception) -> str:
    try:
        state = robot.state
    except sdk_errors(sdk):
        return f"The arm at {address} has stopped ({error}). Look at it."
    why = ", ".join(names(state.last_motion_errors) or names(state.current_errors)) or str(error)
    way_out = _way_out(sdk, address, state.robot_mode)
    return f"The arm at {address} has stopped itself: {why}. {way_out}"


def _way_out(sdk: Any, address: str, mode: Any) -> str:
    modes = sdk.RobotMode
    if mode == modes.UserStopped:
        return "Look at the arm, then release its stop button."
    if mode in (modes.Guiding, modes.Move):
        return "Somebody else moves it: end that first."
    if mode == modes.Other:
        return "Unlock its joints and activate FCI in Desk."
    line = SERVICE.format(address=address, what="recover")
    return f"Look at the arm and at what it touches, then run: {line}"
