"""A controller of a UR arm as far as ur_rtde looks at it: a process of its own, on one address.

    python tests/ur/rtde_peer.py 127.1.2.3

Three servers, as on the real one: 30004 speaks RTDE protocol 2 (published guide: every package is
u16 size, u8 type, payload, big-endian), 30003 takes a program, 29999 is the dashboard. The
program is not interpreted: the peer does what ur_rtde's control program does with the commands it
finds in input register 0. Lines of JSON on stdin change what it does; on stdout it says `ready`
and answers `tell`.

The arm follows its servo target at a limited speed and carries its time stamp from its own clock.
"""

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

RTDE_PORT, PROGRAM_PORT, DASHBOARD_PORT = 30004, 30003, 29999
VERSION = (5, 11, 1, 108318)
STEP_S = 0.002
MAX_SPEED_M_PER_S = 0.5
CLOCK_OFFSET_S = 1000.0  # the controller counts from when it was started

READY, DONE = 1, 2  # output register 0: what the control program tells ur_rtde
SERVO_STOP, SERVO_L, SET_WATCHDOG, STOP_PROGRAM = 16, 24, 35, 255
CONTINUOUS = {SERVO_L}  # commands that the program obeys in each of its steps, unanswered
STOPPED, PLAYING = 1, 2  # runtime_state
POWER_ON, PROGRAM_RUNNING = 1, 2  # robot_status_bits
NORMAL, PROTECTIVE_STOPPED = 1, 4  # safety_status_bits

TYPES = {
    "timestamp": "DOUBLE",
    "robot_status_bits": "UINT32",
    "safety_status_bits": "UINT32",
    "runtime_state": "UINT32",
    "robot_mode": "INT32",
    "actual_q": "VECTOR6D",
    "actual_TCP_pose": "VECTOR6D",
    "actual_TCP_force": "VECTOR6D",
    "external_force_torque": "VECTOR6D",
}
FORMATS = {"DOUBLE": "d", "UINT32": "I", "INT32": "i", "VECTOR6D": "6d"}


def type_of(name: str) -> str:
    if "int_register" in name:
        return "INT32"
    return "DOUBLE" if "double_register" in name else TYPES.get(name, "NOT_FOUND")


def format_of(names: list[str]) -> str:
    return ">" + "".join(FORMATS[type_of(name)] for name in names)


@dataclass
class Arm:
    """What the controller knows, and the program that runs on it."""

    pose: list[float] = field(default_factory=lambda: [0.4, 0.1, 0.3, 0.0, 3.1, 0.0])
    force: list[float] = field(default_factory=lambda: [1.0, 2.0, -3.0, 0.1, 0.2, 0.3])
    target: list[float] | None = None
    safety_bits: int = NORMAL
    robot_mode: int = 7  # running
    remote_control: bool = True
    program_runs: bool = False
    program_state: int = 0
    programs: int = 0  # how many were uploaded
    connections: int = 0  # how many were made, on all ports
    commands: dict[int, int] = field(default_factory=dict)  # how many of each kind came
    inputs: dict[str, Any] = field(default_factory=dict)  # registers keep what was written
    answered: bool = False  # the command in the register was obeyed
    last_input_s: float = 0.0
    watchdog_hz: float = 0.0
    frozen_s: float | None = None  # the time stamp that it repeats
    silent: bool = False  # sends no packages
    clients: list["RtdeClient"] = field(default_factory=list)
    deaf: bool = False  # the program does not get ready for another command

    def values(self) -> dict[str, Any]:
        now_s = time.monotonic() + CLOCK_OFFSET_S
        running = PROGRAM_RUNNING if self.program_runs else 0
        return {
            "timestamp": self.frozen_s if self.frozen_s is not None else now_s,
            "robot_status_bits": POWER_ON | running,
            "safety_status_bits": self.safety_bits,
            "runtime_state": PLAYING if self.program_runs else STOPPED,
            "robot_mode": self.robot_mode,
            "actual_q": [0.1, -1.2, 1.3, -1.4, -1.5, 0.6],
            "actual_TCP_pose": self.pose,
            "actual_TCP_force": self.force,
            "output_int_register_0": 0 if self.deaf else self.program_state,
        }

    def start_program(self) -> None:
        self.program_runs, self.program_state = True, READY
        self.programs += 1
        self.watchdog_hz = 0.0
        self.target, self.answered = None, False

    def stop_program(self) -> None:
        self.program_runs, self.program_state, self.target = False, 0, None

    def take(self, inputs: dict[str, Any]) -> None:
        """An input package: registers keep what they are given."""
        self.last_input_s = time.monotonic()
        self.inputs.update(inputs)
        command = self.inputs["input_int_register_0"]
        self.commands[command] = self.commands.get(command, 0) + 1

    def step(self) -> None:
        """One step of the program, and of the arm."""
        if self.program_runs:
            self._step_program(self.inputs.get("input_int_register_0", 0))
        if self.frozen_s is None and self.target is not None:
            reach_m = MAX_SPEED_M_PER_S * STEP_S
            for i, goal in enumerate(self.target):
                self.pose[i] += max(-reach_m, min(reach_m, goal - self.pose[i]))
        silent_s = time.monotonic() - self.last_input_s
        if self.program_runs and self.watchdog_hz > 0 and silent_s > 1 / self.watchdog_hz:
            self.stop_program()

    def _step_program(self, command: int) -> None:
        """A command is obeyed once and answered; it must be cleared before the next one."""
        if command in CONTINUOUS:
            self._obey_command(command)
            self.program_state = READY
        elif command == 0:
            self.answered, self.program_state = False, READY
        elif not self.answered:
            self._obey_command(command)
            self.answered, self.program_state = True, DONE

    def _obey_command(self, command: int) -> None:
        numbers = [self.inputs.get(f"input_double_register_{i}", 0.0) for i in range(6)]
        if command == SERVO_L:
            self.target = numbers
        elif command == SERVO_STOP:
            self.target = None
        elif command == SET_WATCHDOG:
            self.watchdog_hz = numbers[0]
        elif command == STOP_PROGRAM:
            self.stop_program()

    def obey(self, order: dict[str, Any]) -> dict[str, Any] | None:
        """What a test asks for. With `tell` the answer is what the arm is and was told."""
        for name, value in order.items():
            if name == "freeze":
                self.frozen_s = self.values()["timestamp"] if value else None
            elif name == "protective_stop":
                self.safety_bits = PROTECTIVE_STOPPED if value else NORMAL
                if value:
                    self.stop_program()
            elif name == "drop":
                for client in self.clients:
                    client.drop(value)
            elif name != "tell":
                setattr(self, name, value)
        if "tell" not in order:
            return None
        names = ("pose", "target", "program_runs", "programs", "connections", "commands")
        return {name: getattr(self, name) for name in names}


class RtdeClient:
    """One connection on 30004."""

    def __init__(
        self, arm: Arm, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._arm, self._reader, self._writer = arm, reader, writer
        self._outputs: list[str] = []
        self._inputs: list[list[str]] = []
        self._period_s = 1 / 500
        self._started = False
        arm.clients.append(self)

    def drop(self, which: str) -> None:
        """The controller hangs up on the client that commands, or on all; or cuts all off."""
        if which == "cut":
            now = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, now
            )
        if which != "commanding" or self._inputs:
            self._writer.close()

    async def serve(self) -> None:
        sender = asyncio.ensure_future(self._send_packages())
        try:
            while True:
                size, kind = struct.unpack(">HB", await self._reader.readexactly(3))
                self._answer(chr(kind), await self._reader.readexactly(size - 3))
        except (asyncio.IncompleteReadError, ConnectionError):
            sender.cancel()
            self._arm.clients.remove(self)
            self._writer.close()

    def _answer(self, kind: str, payload: bytes) -> None:
        if kind == "U":
            names = self._inputs[payload[0] - 1]
            values = list(struct.unpack(format_of(names), payload[1:]))
            inputs = {}
            for name in names:
                width = 6 if type_of(name) == "VECTOR6D" else 1
                inputs[name] = values[0] if width == 1 else values[:width]
                values = values[width:]
            self._arm.take(inputs)
        elif kind == "v":
            self._send(kind, struct.pack(">4I", *VERSION))
        elif kind in "OI":
            self._send(kind, self._set_up(kind, payload))
        elif kind in "VSP":
            self._started = kind == "S" or (self._started and kind != "P")
            self._send(kind, b"\x01")

    def _set_up(self, kind: str, payload: bytes) -> bytes:
        if kind == "O":
            (frequency_hz,) = struct.unpack(">d", payload[:8])
            self._period_s = 1 / frequency_hz
            names = self._outputs = payload[8:].decode().strip(",").split(",")
            recipe = 1
        else:
            names = payload.decode().strip(",").split(",")
            self._inputs.append(names)
            recipe = len(self._inputs)
        return bytes([recipe]) + ",".join(type_of(name) for name in names).encode()

    async def _send_packages(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            if self._started and not self._arm.silent:
                self._send("U", b"\x01" + self._package())

    def _package(self) -> bytes:
        known = self._arm.values()
        flat: list[Any] = []
        for name in self._outputs:
            value = known.get(name, 0)
            flat.extend(value if isinstance(value, list) else [value])
        return struct.pack(format_of(self._outputs), *flat)

    def _send(self, kind: str, payload: bytes) -> None:
        self._writer.write(struct.pack(">HB", 3 + len(payload), ord(kind)) + payload)


async def serve_program(
    arm: Arm, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Port 30003: a program runs as soon as its last line has come."""
    text = b""
    while chunk := await reader.read(65536):
        text += chunk
        if text.rstrip().endswith(b"end"):
            arm.start_program()
            text = b""
    writer.close()


async def serve_dashboard(
    arm: Arm, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"Connected: Universal Robots Dashboard Server\n")
    answers = {
        "polyscopeversion": "URSoftware 5.11.1.108318 (Jan 01 2021)",
        "get serial number": "20215500000",
        "is in remote control": str(arm.remote_control).lower(),
        "stop": "Stopped",
    }
    while line := await reader.readline():
        asked = line.decode().strip().lower()
        if asked == "stop":
            arm.stop_program()
        writer.write((answers.get(asked, "ok") + "\n").encode())
    writer.close()


Serve = Callable[[Arm, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listen(arm: Arm, address: str, port: int, serve: Serve) -> None:
    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arm.connections += 1
        with suppress(ConnectionError):
            await serve(arm, reader, writer)

    await asyncio.start_server(counted, address, port)


async def main(address: str) -> None:
    arm = Arm()
    await listen(arm, address, RTDE_PORT, lambda *client: RtdeClient(*client).serve())
    await listen(arm, address, PROGRAM_PORT, serve_program)
    await listen(arm, address, DASHBOARD_PORT, serve_dashboard)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    stepping = asyncio.ensure_future(step_for_ever(arm))
    while line := await orders.readline():
        told = arm.obey(json.loads(line))
        if told is not None:
            print(json.dumps(told), flush=True)
    stepping.cancel()


async def step_for_ever(arm: Arm) -> None:
    while True:
        arm.step()
        await asyncio.sleep(STEP_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
