"""The Franka hand: it takes one order at a time and is busy until that one is done."""

import threading
from collections.abc import Callable
from typing import Any

from robot_io.devices.franka_settings import HandSettings

PERIOD_S = 0.02
JOIN_TIMEOUT_S = 2.0
ANY_WIDTH_M = 0.1  # whatever is between the fingers counts as grasped
MAX_FORCE_N = 70.0  # of the hand, continuously: data sheet
NOT_HOMED_M = 0.005  # a hand that has been homed opens wider


class FrankaHand:
    """A thread that gives the hand the newest width whenever it is free.

    Orders block in libfranka, and a new one does not reliably end the last: so a movement is
    always finished, and what was asked for meanwhile, except the newest, is skipped. Closing is a
    grasp, which holds with `grip_force_n`; opening is a movement.
    """

    def __init__(
        self,
        gripper: Any,
        settings: HandSettings,
        *,
        grip_force_n: float,
        failed: Callable[[Exception], None],  # told once, from the thread
    ) -> None:
        self._gripper = gripper
        self._settings = settings
        self._grip_force_n = grip_force_n
        self._failed = failed
        self._leaving = threading.Event()
        self._wanted_m: float | None = None
        self.width_m = float(gripper.width)  # measured last
        self._thread = threading.Thread(target=self._run, name="franka-hand", daemon=True)
        self._thread.start()

    def want(self, width_m: float) -> None:
        """Returns at once."""
        self._wanted_m = width_m

    def close(self) -> None:
        """Gives no more orders. What the hand holds, it goes on holding."""
        self._leaving.set()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        ordered_m, order = self.width_m, None
        try:
            while not self._leaving.wait(PERIOD_S):
                self.width_m = float(self._gripper.width)
                if order is not None and not order.wait(0):
                    continue
                if order is not None:
                    order.get()  # raises what went wrong
                    order = None
                wanted_m = self._wanted_m
                if wanted_m is not None and abs(wanted_m - ordered_m) >= self._settings.step_m:
                    order, ordered_m = self._order(wanted_m), wanted_m
        except Exception as error:  # the top of this thread: the arm's owner must know
            self._failed(error)

    def _order(self, width_m: float) -> Any:
        speed = self._settings.speed_m_per_s
        if width_m > self.width_m:
            return self._gripper.move_async(width_m, speed)
        force_n = self._grip_force_n
        return self._gripper.grasp_async(width_m, speed, force_n, ANY_WIDTH_M, ANY_WIDTH_M)
