"""A Franka arm on a test bench: `franky-sim` behind the real libfranka protocol, and what it leaves
out of a real arm.

    python -m sim.franka_bench --address 127.2.3.4 --wall-x-m 0.55

`franky-sim` accepts every torque, feels nothing and never refuses. Here as on the real arm a motion
is aborted with a *reflex* when a limit is broken, and none begins until somebody has asked for
automatic error recovery. The checks are those of torque control; the values are the FR3's (data
sheet, and libfranka's `rate_limiting.h`). Contact is read from MuJoCo: the external force and the
external joint torques of the state are those of the contacts, smoothed as on the arm.

Ports are the protocol's own (1337, 1338): each bench needs an address of its own in 127.0.0.0/8.
"""

import argparse
import os
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from franky_sim.franka_robot_protocol import (
    AutomaticErrorRecoveryCommand,
    BaseCommand,
    MoveStatus,
    RobotCommand,
    RobotMode,
    SetCollisionBehaviorCommand,
    StateControllerMode,
    UDPCommand,
)
from franky_sim.franka_robot_server import FrankaRobotServer
from franky_sim.franka_robot_state import FrankaRobotState
from franky_sim.mujoco_simulator import FrankaMujocoRobot, MujocoSimulator

from robot_io.clock import NS_PER_MS, MonotonicClock
from robot_io.ring import RingWriter
from sim.fr3 import HOME_RAD, MAX_TORQUE_NM

STEP_NS = NS_PER_MS
PRIORITY = 10  # SCHED_FIFO where the system allows it: an arm that falls behind is a wrong arm
MAX_CATCH_UP_STEPS = 1000  # of a stalled host; what it missed beyond that is lost time
LOW_RAD = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
HIGH_RAD = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
MAX_SPEED_RAD_PER_S = np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26])
MAX_TORQUE_STEP_NM = 1.0  # per ms, plus what float32 on the wire may add
TORQUE_STEP_SLACK_NM = 1e-3
MAX_SILENT_STEPS = 20  # without a command during a motion
FORCE_SMOOTHING = 0.9  # per ms: a time constant of 10 ms

# Bits of libfranka's `Errors`
JOINT_POSITION_LIMITS_VIOLATION = 0
JOINT_VELOCITY_VIOLATION = 3
JOINT_REFLEX = 6
CARTESIAN_REFLEX = 7
COMMUNICATION_CONSTRAINTS_VIOLATION = 25
CONTROLLER_TORQUE_DISCONTINUITY = 32
TAU_J_RANGE_VIOLATION = 34
ERRORS = 41

# What the bench says of itself every millisecond, for whoever checks from outside.
WITNESS = ("force_n", "x_m", "y_m", "z_m", "speed_rad_per_s", "in_motion", "error")
NO_ERROR = -1.0


class BenchRobot(FrankaMujocoRobot):
    """The arm in MuJoCo, feeling what touches it."""

    def __init__(self) -> None:
        super().__init__(initial_q=HOME_RAD.tolist())
        self.wrench_6 = np.zeros(6)  # on the tool, in base: N, N·m
        self.torque_7 = np.zeros(7)  # of the contacts, on the joints: N·m
        self.force_n = 0.0  # this instant's, not smoothed
        self._arm_bodies: frozenset[int] = frozenset()

    def _attach_to_scene(self, model: Any, data: Any, prefix: str) -> None:
        """Takes the joints' friction away: the real arm's inner torque loop compensates it."""
        super()._attach_to_scene(model, data, prefix)
        model.dof_frictionloss[self._dof_addrs] = 0.0
        model.dof_damping[self._dof_addrs] = 0.0

    def feel(self) -> None:
        """After a step: what the contacts with everything that is not the arm do to it."""
        wrench_6, torque_7 = self._contacts()
        self.force_n = float(np.linalg.norm(wrench_6[:3]))
        self.wrench_6 = FORCE_SMOOTHING * self.wrench_6 + (1 - FORCE_SMOOTHING) * wrench_6
        self.torque_7 = FORCE_SMOOTHING * self.torque_7 + (1 - FORCE_SMOOTHING) * torque_7

    def tool_m(self) -> np.ndarray:
        """(3,): the tool in base."""
        return np.array(self.kinematics(np.array(self.inner_state.q)).translation)

    @property
    def state(self) -> FrankaRobotState:
        """franky-sim's own, which reports the motors' torques as external ones, put right."""
        return super().state.replace(
            O_F_ext_hat_K=tuple(self.wrench_6.tolist()),
            tau_ext_hat_filtered=tuple(self.torque_7.tolist()),
        )

    def _contacts(self) -> tuple[np.ndarray, np.ndarray]:
        """Wrench on the tool in base (6,) and torques on the joints (7,)."""
        model, data = self.model, self.data
        assert model is not None and data is not None, "the simulator has been started"
        if not self._arm_bodies:
            self._arm_bodies = _bodies_under(model, "robot0_")
        tool_3 = self.tool_m()
        wrench_6, torque_7 = np.zeros(6), np.zeros(7)
        local_6, jacobian = np.zeros(6), np.zeros((3, model.nv))
        for index in range(data.ncon):
            contact = data.contact[index]
            bodies = [int(model.geom_bodyid[geom]) for geom in contact.geom]
            on_arm = [body in self._arm_bodies for body in bodies]
            if on_arm[0] == on_arm[1]:
                continue
            mujoco.mj_contactForce(model, data, index, local_6)
            # It acts from the first geom on the second.
            force_3 = contact.frame.reshape(3, 3).T @ local_6[:3] * (1 if on_arm[1] else -1)
            wrench_6[:3] += force_3
            wrench_6[3:] += np.cross(contact.pos - tool_3, force_3)
            mujoco.mj_jac(model, data, jacobian, None, contact.pos, bodies[on_arm.index(True)])
            torque_7 += jacobian[:, self._dof_addrs].T @ force_3
        return wrench_6, torque_7


class BenchServer(FrankaRobotServer):
    """The arm's controller: aborts motions that break a limit, and latches."""

    def __init__(self, robot: BenchRobot, hostnames: list[str]) -> None:
        super().__init__(robot, hostnames)
        # franky-sim has no way to replace its handlers of these two.
        handlers: dict[Any, Any] = self._FrankaServer__command_class_map  # type: ignore[attr-defined]
        handlers[RobotCommand.kAutomaticErrorRecovery] = _Recover
        handlers[RobotCommand.kSetCollisionBehavior] = _SetCollisionBehavior
        self.error: int | None = None
        self.max_joint_torque_7 = np.full(7, np.inf)
        self.max_wrench_6 = np.full(6, np.inf)
        self._last_torque_7: np.ndarray | None = None
        self._silent_steps = 0
        self._bench_robot = robot

    def start_motion(
        self, controller_mode: Any, motion_generator_mode: Any, motion_id: int
    ) -> None:
        if self.error is not None:
            raise RuntimeError(f"in reflex {self.error}: recover first")
        self._silent_steps, self._last_torque_7 = 0, None
        super().start_motion(controller_mode, motion_generator_mode, motion_id)

    def watch(self, *, on_time: bool) -> None:
        """After each step. One that catches up leaves the client no time for an answer."""
        self._silent_steps += on_time
        robot = self._bench_robot
        robot.feel()
        if not self.in_torque_control:
            return
        inner = robot.inner_state
        joint_rad_7, speed_7 = np.array(inner.q), np.array(inner.dq)
        if np.any(np.abs(robot.wrench_6) > self.max_wrench_6):
            self.abort(CARTESIAN_REFLEX)
        elif np.any(np.abs(robot.torque_7) > self.max_joint_torque_7):
            self.abort(JOINT_REFLEX)
        elif np.any(np.abs(speed_7) > MAX_SPEED_RAD_PER_S):
            self.abort(JOINT_VELOCITY_VIOLATION)
        elif np.any(joint_rad_7 < LOW_RAD) or np.any(joint_rad_7 > HIGH_RAD):
            self.abort(JOINT_POSITION_LIMITS_VIOLATION)
        elif self._silent_steps > MAX_SILENT_STEPS:
            self.abort(COMMUNICATION_CONSTRAINTS_VIOLATION)

    def abort(self, error: int) -> None:
        """The motion ends here; the arm stays until somebody recovers it."""
        self.error = error
        motion = self.current_motion_id
        self.stop_motion(send_preemption_signal=False)
        self.reset_current_motion_id()
        self.send_state()  # the client reads the reason from the state before the answer
        client = self._tcp_socket
        if motion and client is not None:
            BaseCommand.send_response(client, RobotCommand.kMove, motion, MoveStatus.kReflexAborted)

    @property
    def in_torque_control(self) -> bool:
        return (
            self.current_motion_id > 0
            and super().robot_state.controller_mode is StateControllerMode.kExternalController
        )

    @property
    def robot_state(self) -> FrankaRobotState:
        state = super().robot_state
        if self.error is None:
            return state
        bits = tuple(index == self.error for index in range(ERRORS))
        return state.replace(robot_mode=RobotMode.kReflex, errors=bits, reflex_reason=bits)

    def witness(self) -> np.ndarray:
        """(7,) as `WITNESS` names it."""
        robot = self._bench_robot
        tool_3 = robot.tool_m()
        error = NO_ERROR if self.error is None else float(self.error)
        speed = float(np.max(np.abs(robot.inner_state.dq)))
        moving = float(self.current_motion_id > 0)
        return np.array([robot.force_n, *tool_3, speed, moving, error])

    def _handle_udp_command(self, command_data: bytes) -> None:
        self._silent_steps = 0
        torque_7 = np.array(UDPCommand.from_bytes(command_data).tau_J_d)
        last_7, self._last_torque_7 = self._last_torque_7, torque_7
        super()._handle_udp_command(command_data)
        if not self.in_torque_control:
            return
        step_nm = 0.0 if last_7 is None else float(np.max(np.abs(torque_7 - last_7)))
        if not np.all(np.abs(torque_7) <= MAX_TORQUE_NM):
            self.abort(TAU_J_RANGE_VIOLATION)
        elif not step_nm <= MAX_TORQUE_STEP_NM + TORQUE_STEP_SLACK_NM:
            self.abort(CONTROLLER_TORQUE_DISCONTINUITY)


class _Recover(AutomaticErrorRecoveryCommand):
    def handle(self, server: Any) -> None:
        server.error = None
        super().handle(server)


class _SetCollisionBehavior(SetCollisionBehaviorCommand):
    def handle(self, server: Any) -> None:
        server.max_joint_torque_7 = np.array(self.upper_torque_thresholds_nominal)
        server.max_wrench_6 = np.array(self.upper_force_thresholds_nominal)
        super().handle(server)


def serve(address: str, *, wall_x_m: float | None = None, witness: Path | None = None) -> None:
    """Runs the bench until its process is ended, at the pace of the host's clock.

    `wall_x_m` puts a wall there, across the arm's way forward. `witness` is a ring file in which
    the bench says every millisecond what is true.
    """
    clock = MonotonicClock()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    with ExitStack() as stack:
        simulator = stack.enter_context(MujocoSimulator())
        if wall_x_m is not None:
            _add_wall(simulator.worldbody, wall_x_m)
        robot = BenchRobot()
        _add_robot(simulator, robot)
        server = BenchServer(robot, [address])
        server.init()
        stack.callback(server.cleanup)
        simulator.start()
        ring = None
        if witness is not None:
            shape = (len(WITNESS),)
            ring = stack.enter_context(
                RingWriter(witness, shape=shape, dtype=np.float64, slots=4096)
            )
        print(f"ready {address}", flush=True)
        next_ns, step = clock.now_ns(), 0
        while True:
            server.process_commands()
            simulator.step()
            server.watch(on_time=clock.now_ns() - next_ns < STEP_NS)
            server.send_state()
            step += 1
            if ring is not None:
                now_ns = clock.now_ns()
                ring.write(server.witness(), exposed_ns=now_ns, received_ns=now_ns, sequence=step)
            oldest_ns = clock.now_ns() - MAX_CATCH_UP_STEPS * STEP_NS
            next_ns = max(next_ns + STEP_NS, oldest_ns)
            clock.sleep_until(next_ns)


def _add_robot(simulator: MujocoSimulator, robot: BenchRobot) -> None:
    """As `MujocoSimulator.add_robot`, which makes a robot of its own class, but ours."""
    simulator.add_robot(initial_q=HOME_RAD.tolist())
    simulator._robots[-1] = robot


def _add_wall(world: ElementTree.Element, x_m: float) -> None:
    half_m = 0.02
    ElementTree.SubElement(
        world,
        "geom",
        name="wall",
        type="box",
        size=f"{half_m} 0.4 0.4",
        pos=f"{x_m + half_m} 0 0.4",
    )


def _bodies_under(model: mujoco.MjModel, prefix: str) -> frozenset[int]:
    return frozenset(
        index for index in range(model.nbody) if model.body(index).name.startswith(prefix)
    )


def main() -> None:
    """The bench as a process of its own."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="an address of 127.0.0.0/8")
    parser.add_argument("--wall-x-m", type=float)
    parser.add_argument("--witness", type=Path)
    given = parser.parse_args()
    try:
        serve(given.address, wall_x_m=given.wall_x_m, witness=given.witness)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
