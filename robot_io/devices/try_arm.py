"""What the `main()` of an arm's driver does: numbers and one slow move for the person beside it."""

import sys
from collections.abc import Callable

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.interfaces import Arm
from robot_io.types import ArmState

PERIOD_S = 0.01
MOVE_S = 6.0  # up and down again
MAX_UP_M = 0.1


def try_arm(make: Callable[[], Arm], *, seconds: float, up_m: float) -> None:
    """Reads for `seconds`, then moves if `up_m` is not 0. Exits with 1 on a failure."""
    try:
        if not 0 <= up_m <= MAX_UP_M:
            raise FeelforwardError(f"up = {up_m * 1000:g} mm, allowed 0 to {MAX_UP_M * 1000:g} mm.")
        with make() as arm:
            print(reading(arm, seconds))
            if up_m > 0 and _agreed(up_m):
                print(moving(arm, up_m))
    except FeelforwardError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def reading(arm: Arm, seconds: float) -> str:
    """Some lines on what the arm measures, and how fresh it is."""
    clock = MonotonicClock()
    states, ages_ms = [], []
    for _ in range(round(seconds / PERIOD_S)):
        clock.sleep_until(clock.now_ns() + round(PERIOD_S * NS_PER_S))
        states.append(arm.read())
        ages_ms.append((clock.now_ns() - states[-1].stamp_ns) / NS_PER_MS)
    new = len({state.stamp_ns for state in states})
    last = states[-1]
    wrench = "not measured" if last.wrench_6 is None else f"{_numbers(last.wrench_6)} N, N·m"
    return "\n".join(
        [
            f"tool        {_numbers(last.row_D)} (x y z m, qw qx qy qz, width m)",
            f"joints      {_numbers(last.joint_rad_J)} rad",
            f"wrench      {wrench}",
            f"new         {new} of {len(states)} reads at {1 / PERIOD_S:g} Hz",
            f"age         {np.median(ages_ms):.1f} ms median, {max(ages_ms):.1f} ms max",
        ]
    )


def moving(arm: Arm, up_m: float) -> str:
    """Moves the tool up and down along a cosine; some lines on how the arm followed."""
    clock = MonotonicClock()
    start_D = arm.read().row_D
    begin_ns = clock.now_ns()
    calls_ms, behind_mm, reached_m = [], [], 0.0
    for tick in range(round(MOVE_S / PERIOD_S)):
        clock.sleep_until(begin_ns + round(tick * PERIOD_S * NS_PER_S))
        state = arm.read()
        target_D = start_D.copy()
        target_D[2] += up_m * (1 - np.cos(2 * np.pi * tick * PERIOD_S / MOVE_S)) / 2
        called_ns = clock.now_ns()
        arm.command(target_D)
        calls_ms.append((clock.now_ns() - called_ns) / NS_PER_MS)
        behind_mm.append(_apart_mm(target_D, state))
        reached_m = max(reached_m, state.row_D[2] - start_D[2])
    arm.stop()
    return "\n".join(
        [
            f"reached     {reached_m * 1000:.1f} mm of {up_m * 1000:g} mm",
            f"behind      {np.median(behind_mm):.1f} mm median, {max(behind_mm):.1f} mm max",
            f"command()   {np.median(calls_ms):.3f} ms median, {max(calls_ms):.3f} ms max",
        ]
    )


def _agreed(up_m: float) -> bool:
    print(f"The tool will move up by {up_m * 1000:g} mm and back within {MOVE_S:g} s.")
    return input("One hand on the red button. Type yes to move: ").strip() == "yes"


def _apart_mm(target_D: np.ndarray, state: ArmState) -> float:
    return 1000 * float(np.linalg.norm(target_D[:3] - state.row_D[:3]))


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.3f}" for value in values)
