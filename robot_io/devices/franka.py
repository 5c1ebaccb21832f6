"""Franka arms (FR3, Panda) on franky and libfranka: Cartesian impedance, 100 Hz rows in.

                            our process
    command(row) ──▶ reference ──▶ 1 kHz impedance in C++ (franky) ══ UDP, 1 kHz ══ the arm
    read()       ◀── state, stamped by the arm's own clock ◀──┘

franky holds the last reference for ever. So two watch over it: a thread here (`TargetWatchdog`),
and, for a Python that hangs, the C++ loop itself, whose motion ends unless `command` renews it.
Nothing here recovers the arm from an error: a person does that, with `--recover` below.

Try it at the arm, after reading docs/hardware/franka.md:
`python -m robot_io.devices.franka --help`.
"""

import argparse
import sys
import threading
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.devices.clock_map import ClockMap
from robot_io.devices.franka_faults import (
    SERVICE,
    FrankaStoppedError,
    explained,
    import_sdk,
    require_ready,
    sdk_errors,
)
from robot_io.devices.franka_hand import MAX_FORCE_N, NOT_HOMED_M, FrankaHand
from robot_io.devices.franka_impedance import Impedance, References, check_within, column_major
from robot_io.devices.franka_service import home_hand, recover
from robot_io.devices.franka_settings import FrankaSettings
from robot_io.devices.try_arm import try_arm
from robot_io.errors import FeelforwardError
from robot_io.session.watchdog import NO_TARGET, REQUESTED, TargetWatchdog
from robot_io.types import ArmState

TRIAL_TARGET_AGE_S = 0.2
HAND = "hand"  # why the arm stands still: the hand failed
WATCH_PERIOD_S = 0.005
STOP_TIMEOUT_S = 2.5  # franky's stopping motion lasts at most 2 s
RENEWAL_NS = 100 * NS_PER_MS
LOOSE_S = 0.1  # more than RENEWAL_NS: the loop in C++ trips after the thread, if that lives


def make_arm(settings: Mapping[str, Any], **given: Any) -> "FrankaArm":
    """A `FrankaArm` from plain data, for a process that is told what to make."""
    return FrankaArm(FrankaSettings.model_validate(settings), **given)


class FrankaArm:
    """One arm; implements `robot_io.interfaces.Arm`. Rows: tool in base, opening of the hand.

    The motion begins with the first command, which must lie near the measured pose. It ends with
    `stop`, when commands cease (`stopped_by` says which), or when the arm stops itself: then every
    call raises. Later commands change nothing; leave, look, enter again.
    """

    def __init__(
        self,
        settings: FrankaSettings,
        *,
        stiffness_n_per_m: float,
        leash_m: float,
        stiffness_nm_per_rad: float,
        leash_rad: float,
        grip_force_n: float,
        max_target_age_s: float,
    ) -> None:
        check_within("grip_force_n", grip_force_n, (0.0, MAX_FORCE_N))
        self._grip_force_n = grip_force_n
        self._impedance = Impedance(
            settings,
            stiffness_n_per_m=stiffness_n_per_m,
            leash_m=leash_m,
            stiffness_nm_per_rad=stiffness_nm_per_rad,
            leash_rad=leash_rad,
            ends_after_s=max_target_age_s + RENEWAL_NS / NS_PER_S + LOOSE_S,
        )
        self._settings = settings
        self._max_target_age_s = max_target_age_s
        self._clock = MonotonicClock()
        self._lock = threading.Lock()  # of everything below: the watching thread stops, too
        self._sdk: Any = None
        self._robot: Any = None
        self._hand: FrankaHand | None = None
        self._leaving = threading.Event()
        self._watching: threading.Thread | None = None
        self._begin()

    def _begin(self) -> None:
        self._watchdog = TargetWatchdog(self._max_target_age_s)
        self._map = ClockMap()
        self._newest: ArmState | None = None
        self._device_ns = -1  # the arm's stamp of the newest state
        self._motion: Any = None
        self._moving = False
        self._renewed_ns = 0
        self._posture_rad_J = np.zeros(0)
        self._references = References(self._sdk, self._impedance.fastest)
        self._fault: FeelforwardError | None = None
        self.stopped_by: str | None = None  # why the arm takes no commands, until it is left

    def __enter__(self) -> Self:
        self._sdk = import_sdk()
        self._begin()
        with ExitStack() as opened:
            opened.callback(self._drop)
            try:
                self._open()
            except self._sdk_errors as error:
                raise self._explained(error) from error
            opened.pop_all()
        self._leaving.clear()
        self._watching = threading.Thread(target=self._watch, name="franka-watch", daemon=True)
        self._watching.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._robot is None:
            return
        self.stop()
        self._wait_for_rest()
        self._leaving.set()
        if self._watching is not None:
            self._watching.join(STOP_TIMEOUT_S)
        self._drop()

    def read(self) -> ArmState:
        """The newest measurement. Waits for nothing."""
        self._require_open()
        if self._moving and self._robot.is_in_control:  # out of control franky waits for a state
            try:
                self._take(self._robot.state)
            except self._sdk_errors as error:
                self._fail(error)
        if self._fault is not None:
            raise self._fault
        assert self._newest is not None, "entering reads a first state"
        return self._newest

    def command(self, row_D: np.ndarray) -> None:
        """Sets the reference; the first one begins the motion.

        Raises ValueError for a row that no gate lets through, FrankaStoppedError and
        FrankaLinkError when the arm cannot be commanded any more.
        """
        if row_D.shape != (8,) or not np.all(np.isfinite(row_D)):
            raise ValueError(f"row = {row_D}, allowed 8 finite numbers: pose of the tool, width.")
        self._require_open()
        if self._fault is not None:
            raise self._fault
        now_ns = self._clock.now_ns()
        try:
            with self._lock:
                if self.stopped_by is None:
                    self._watchdog.fed(now_ns)
                    self._follow(row_D, now_ns)
        except self._sdk_errors as error:
            self._fail(error)
            raise self._fault or self._explained(error) from error
        if self._hand is not None and self.stopped_by is None:
            self._hand.want(float(row_D[7]))

    def stop(self, reason: str = REQUESTED) -> None:
        """Lets the spring go and damps the arm to rest; after that the arm's own brakes hold it."""
        self._require_open()
        with self._lock:
            if self.stopped_by is not None or self._fault is not None:
                return
            self.stopped_by = reason
            if self._moving:
                try:
                    self._robot.move(self._sdk.TorqueStopMotion(), asynchronous=True)
                except self._sdk_errors as error:  # it has stopped already
                    self._fault = self._explained(error)

    def _follow(self, row_D: np.ndarray, now_ns: int) -> None:
        if self._motion is None:
            self._require_near(row_D)
        reference = self._references.take(row_D, now_ns)
        if self._motion is None or now_ns - self._renewed_ns >= RENEWAL_NS:
            motion = self._impedance.motion(self._sdk, self._posture_rad_J)
            motion.set_reference(reference)
            self._robot.move(motion, asynchronous=True)
            self._motion, self._renewed_ns, self._moving = motion, now_ns, True
        else:
            self._motion.set_reference(reference)

    def _require_near(self, row_D: np.ndarray) -> None:
        assert self._newest is not None, "entering reads a first state"
        away_m = float(np.linalg.norm(row_D[:3] - self._newest.row_D[:3]))
        if not away_m <= self._impedance.leash_m:
            raise FeelforwardError(
                f"The first command lies {away_m:.3f} m from the measured tool, allowed"
                f" {self._impedance.leash_m:.3f} m. Begin where the arm is."
            )

    def _watch(self) -> None:
        """The thread: sees a motion end, stops one that nobody feeds, reads a resting arm."""
        while not self._leaving.wait(WATCH_PERIOD_S):
            try:
                self._look()
            except self._sdk_errors as error:
                self._fail(error)
            if self._fault is not None:
                return

    def _look(self) -> None:
        if not self._moving:
            self._take(self._robot.state)
            return
        self._robot.poll_motion()  # raises what ended a motion; what it returns means the opposite
        if not self._robot.is_in_control:
            with self._lock:
                self._moving = False
                # Without our doing: the loop in C++ has missed its renewal.
                self.stopped_by = self.stopped_by or NO_TARGET
        elif self._watchdog.tripped(self._clock.now_ns()):
            self.stop(NO_TARGET)

    def _take(self, state: Any) -> None:
        """Makes a state of the arm the newest, if its own stamp advances."""
        received_ns = self._clock.now_ns()
        device_ns = state.time.to_msec() * NS_PER_MS
        with self._lock:
            if device_ns == self._device_ns:
                return
            self._device_ns = device_ns
            pose = state.O_T_EE
            row_D = np.empty(8)
            row_D[:3] = np.ravel(pose.translation)
            row_D[3:7] = np.ravel(pose.quaternion)[[3, 0, 1, 2]]
            row_D[7] = 0.0 if self._hand is None else self._hand.width_m
            joint_rad_J, wrench_6 = np.array(state.q), np.array(state.O_F_ext_hat_K)
            for array in (row_D, joint_rad_J, wrench_6):
                array.flags.writeable = False  # several calls of `read` give the same state
            stamp_ns = self._map.host_ns(device_ns, received_ns)
            self._newest = ArmState(stamp_ns, row_D, joint_rad_J, wrench_6)

    def _open(self) -> None:
        """Connects, refuses an arm that is not ready, sets it up, reads a first state."""
        sdk, settings = self._sdk, self._settings
        kernel = sdk.RealtimeConfig
        config = kernel.Enforce if settings.realtime_kernel else kernel.Ignore
        self._robot = sdk.Robot(settings.address, realtime_config=config)
        state = self._robot.state
        require_ready(sdk, settings.address, state)
        self._robot.set_ee(column_major(settings.tool_in_nominal_ee))
        self._robot.set_load(settings.load_kg, list(settings.load_centre_in_flange_m), [0.0] * 9)
        joint_nm = list(settings.reflex_joint_torque_nm)
        wrench = [settings.reflex_force_n] * 3 + [settings.reflex_torque_nm] * 3
        self._robot.set_collision_behavior(joint_nm, joint_nm, wrench, wrench)
        if settings.hand is not None:
            gripper = sdk.Gripper(settings.address)
            if not gripper.max_width >= NOT_HOMED_M:
                line = SERVICE.format(address=settings.address, what="home-hand")
                raise FrankaStoppedError(
                    f"The hand at {settings.address} opens to {gripper.max_width:.3f} m: it has not"
                    f" been homed. Clear the fingers, then run: {line}"
                )
            self._hand = FrankaHand(
                gripper,
                settings.hand,
                grip_force_n=self._grip_force_n,
                failed=self._hand_failed,
            )
        state = self._robot.state
        self._posture_rad_J = np.array(state.q)
        self._take(state)

    def _fail(self, error: Exception) -> None:
        """Remembers the first thing that went wrong; every later call raises it."""
        if self._fault is None:
            fault = self._explained(error)
            with self._lock:
                self._fault = self._fault or fault
                self._moving = False

    def _hand_failed(self, error: Exception) -> None:
        self.stop(HAND)
        self._fail(error)

    def _explained(self, error: Exception) -> FeelforwardError:
        return explained(self._sdk, self._settings.address, self._robot, error)

    @property
    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        return sdk_errors(self._sdk)

    def _wait_for_rest(self) -> None:
        waiting = threading.Event()
        for _ in range(round(STOP_TIMEOUT_S / WATCH_PERIOD_S)):
            if not self._moving:
                return
            waiting.wait(WATCH_PERIOD_S)

    def _drop(self) -> None:
        """Ends hand and link; the last motion, should one still run, ends with its robot."""
        if self._hand is not None:
            self._hand.close()
        self._hand = self._motion = self._robot = None

    def _require_open(self) -> None:
        if self._robot is None:
            raise FeelforwardError("The arm is not connected. Enter it first.")


def main() -> None:
    """Shows what the arm measures and, if asked, moves its tool up and down again.

    Read docs/hardware/franka.md first.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--robot", type=Path, default=Path("configs/robots/fr3.toml"))
    parser.add_argument("--address", help="of the control box, instead of the config's")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long it only reads")
    parser.add_argument("--up-mm", type=float, default=0.0, help="then the tool moves so far, once")
    parser.add_argument("--recover", action="store_true", help="only end an error, after asking")
    parser.add_argument("--home-hand", action="store_true", help="only home the hand, after asking")
    parser.add_argument("--no-realtime-kernel", action="store_true", help="on a simulated arm")
    given = parser.parse_args()
    here: dict[str, Any] = {"realtime_kernel": False} if given.no_realtime_kernel else {}
    if given.address is not None:
        here["address"] = given.address
    try:
        table = tomllib.loads(given.robot.read_text(encoding="utf-8"))
        settings = FrankaSettings.model_validate({**table["franka"], **here})
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{given.robot}: {error!r}. Give a robot's config with [gate] and [franka].")
    if given.recover or given.home_hand:
        (recover if given.recover else home_hand)(settings)
        return
    try_arm(
        lambda: FrankaArm(settings, **_spring(table["gate"]), max_target_age_s=TRIAL_TARGET_AGE_S),
        seconds=given.seconds,
        up_m=given.up_mm / 1000,
    )


def _spring(gate: Mapping[str, float]) -> dict[str, float]:
    """What the arm needs of the gate's table."""
    return {
        "stiffness_n_per_m": gate["stiffness_n_per_m"],
        "leash_m": gate["force_max_n"] / gate["stiffness_n_per_m"],
        "stiffness_nm_per_rad": gate["stiffness_nm_per_rad"],
        "leash_rad": gate["torque_max_nm"] / gate["stiffness_nm_per_rad"],
        "grip_force_n": gate["max_grip_force_n"],
    }


if __name__ == "__main__":
    main()
