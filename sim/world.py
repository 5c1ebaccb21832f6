"""The physics of `TightenCap`: arm, hand, bottle and cap, at 1 kHz.

One world, two ways to run it: `sim.lockstep` moves it on a virtual clock, `sim.realtime` in a
process of its own. What sensors need to see of it leaves as a flat vector (`Snapshot`), so that
cameras may draw it elsewhere.
"""

from dataclasses import dataclass
from functools import cache

import mujoco
import numpy as np

from robot_io.clock import NS_PER_S
from robot_io.types import ArmState, MonoNs
from sim.fr3 import ARM_JOINTS, FINGER_JOINTS, GRIPPER, HOME_RAD, MAX_WIDTH_M, PADS, TOOL_SITE
from sim.impedance import CartesianImpedance, Stiffness, add_impedance
from sim.tactile import CONTACT_WIDTH, MAX_CONTACTS, pad_contacts
from sim.tighten_cap import (
    CapLayout,
    Outcome,
    Thread,
    apply_layout,
    judge,
    tighten_cap_spec,
)

STEP_NS = 5_000_000  # of the controller's reference and of the thread: five steps of the physics
_STEP_S = STEP_NS / NS_PER_S
_SETTLE_STEPS = 200
_JUDGE_EVERY = 2  # steps
_PADS_SHAPE = (len(PADS), MAX_CONTACTS, CONTACT_WIDTH)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a sensor may see of the world at one moment."""

    seed: int  # of the episode: gives the layout
    qpos: np.ndarray
    contacts_PN5: np.ndarray  # per pad, see `sim.tactile`
    tightening_nm: float

    def pack(self) -> np.ndarray:
        """Returns one float64 vector of fixed length, for shared memory."""
        head = (float(self.seed), self.tightening_nm)
        return np.concatenate([head, self.contacts_PN5.ravel(), self.qpos])

    @staticmethod
    def unpack(values_N: np.ndarray) -> "Snapshot":
        end = 2 + int(np.prod(_PADS_SHAPE))
        return Snapshot(
            seed=int(values_N[0]),
            tightening_nm=float(values_N[1]),
            contacts_PN5=values_N[2:end].reshape(_PADS_SHAPE),
            qpos=values_N[end:],
        )


@cache
def layout_of(seed: int) -> CapLayout:
    return CapLayout.sample(np.random.default_rng([seed, 0]))


def place_holder(model: mujoco.MjModel, data: mujoco.MjData, layout: CapLayout) -> None:
    mocap = int(model.body("holder").mocapid[0])
    data.mocap_pos[mocap] = (layout.bottle_x_m, layout.bottle_y_m, 0.0)
    data.mocap_quat[mocap] = _yaw_quat(layout.bottle_yaw_rad)


class CapWorld:
    """Arm and bottle. `reset` first; then `command` sets the target and `step` moves on."""

    def __init__(self) -> None:
        spec, stiffness = tighten_cap_spec(), Stiffness()
        add_impedance(spec, stiffness)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._controller = CartesianImpedance(self.model, stiffness)
        self._substeps = round(_STEP_S / self.model.opt.timestep)
        self._hand = self.model.actuator(GRIPPER).id
        self._tool = self.model.site(TOOL_SITE).id
        self._cap, self._bottle = self.model.body("cap").id, self.model.body("bottle").id
        self._pads = [self.model.geom(name).id for name in PADS]
        self._finger = int(self.model.joint(FINGER_JOINTS[0]).qposadr[0])
        self.reset(0, start_ns=0)

    def reset(self, seed: int, *, start_ns: int) -> None:
        """Begins episode `seed` at `start_ns`: arm at rest at its start pose, hand open."""
        self.seed, self.layout = seed, layout_of(seed)
        self._start_ns, self._steps = start_ns, 0
        self._gripped, self.outcome = False, Outcome.RUNNING
        mujoco.mj_resetData(self.model, self.data)
        apply_layout(self.model, self.layout)
        self._thread = Thread(self.model, self.layout)
        self._place()
        layout = self.layout
        start = (layout.start_x_m, layout.start_y_m, layout.start_z_m)
        self._target_8 = np.array([*start, *tool_down_quat_wxyz(layout.start_yaw_rad), MAX_WIDTH_M])
        for _ in range(_SETTLE_STEPS):
            self._physics()
        self._target_8 = self.state().row_D
        self._target_8[7] = MAX_WIDTH_M
        self._lift_origin_m = float(self.data.xpos[self._bottle][2])

    def command(self, row_8: np.ndarray) -> None:
        self._target_8 = row_8

    def hold(self) -> None:
        """The arm's own stop: the target becomes where the tool is."""
        self._target_8 = self.state().row_D

    def set_time(self, now_ns: int) -> None:
        """Lets the world's clock say `now_ns` without moving anything."""
        self._start_ns = now_ns - self._steps * STEP_NS

    def advance_to(self, now_ns: int) -> None:
        while self.now_ns + STEP_NS <= now_ns:
            self.step()

    def step(self) -> None:
        self._physics()
        self._steps += 1
        if self._steps % _JUDGE_EVERY == 0 and self.outcome is Outcome.RUNNING:
            self.outcome = self._judge()

    @property
    def now_ns(self) -> MonoNs:
        return MonoNs(self._start_ns + self._steps * STEP_NS)

    @property
    def elapsed_s(self) -> float:
        return self._steps * STEP_NS / NS_PER_S

    @property
    def tightening_nm(self) -> float:
        return float(self._thread.tightening_nm)

    @property
    def cap_position(self) -> np.ndarray:
        """Centre of the cap in the base frame, m."""
        return self.data.xpos[self._cap].copy()

    def state(self) -> ArmState:
        quat_wxyz = np.empty(4)
        mujoco.mju_mat2Quat(quat_wxyz, self.data.site_xmat[self._tool])
        width_m = self.data.qpos[self._finger : self._finger + 2].sum()
        row_8 = np.concatenate([self.data.site_xpos[self._tool], quat_wxyz, [width_m]])
        return ArmState(self.now_ns, row_8, self.data.qpos[: len(ARM_JOINTS)].copy())

    def snapshot(self) -> Snapshot:
        contacts = [pad_contacts(self.model, self.data, pad) for pad in self._pads]
        return Snapshot(
            self.seed, self.data.qpos.copy(), np.stack(contacts), self._thread.tightening_nm
        )

    def result(self) -> dict[str, float | bool | str]:
        """How the episode stands, as plain values for tables and wires."""
        return {
            "success": self.outcome is Outcome.SUCCESS,
            "reason": self.outcome.value,
            "tightening_nm": self.tightening_nm,
            "elapsed_s": self.elapsed_s,
        }

    def _place(self) -> None:
        layout, data = self.layout, self.data
        data.qpos[: len(ARM_JOINTS)] = HOME_RAD
        data.qpos[self._finger : self._finger + 2] = MAX_WIDTH_M / 2
        place_holder(self.model, data, layout)
        at = int(self.model.joint("bottle").qposadr[0])
        data.qpos[at : at + 3] = (layout.bottle_x_m, layout.bottle_y_m, 0.0)
        data.qpos[at + 3 : at + 7] = _yaw_quat(layout.bottle_yaw_rad)
        mujoco.mj_forward(self.model, data)
        self._controller.anchor(data)

    def _physics(self) -> None:
        self._thread.apply(self.data)
        self._controller.apply(self.data, self._target_8[:7], _STEP_S)
        self.data.ctrl[self._hand] = self._target_8[7] / 2
        mujoco.mj_step(self.model, self.data, self._substeps)

    def _judge(self) -> Outcome:
        data = self.data
        above_m = data.site_xpos[self._tool][2] - data.xpos[self._cap][2]
        width_m = data.qpos[self._finger : self._finger + 2].sum()
        clearance_m = width_m - 2 * self.layout.cap_radius_m
        self._gripped |= bool(above_m < 0.03 and clearance_m < 0.002)
        return judge(
            tightening_nm=self._thread.tightening_nm,
            tilt_rad=float(np.arccos(np.clip(data.xmat[self._bottle][8], -1, 1))),
            lift_m=float(data.xpos[self._bottle][2] - self._lift_origin_m),
            tool_above_cap_m=float(above_m),
            clearance_m=float(clearance_m),
            was_gripped=self._gripped,
            elapsed_s=self.elapsed_s,
        )


def _yaw_quat(yaw_rad: float) -> np.ndarray:
    """Rotation about the vertical axis, wxyz."""
    return np.array([np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)])


def tool_down_quat_wxyz(yaw_rad: float) -> np.ndarray:
    """Orientation of a tool that points down, turned by `yaw_rad` about the vertical, wxyz."""
    return np.array([0.0, np.cos(yaw_rad / 2), np.sin(yaw_rad / 2), 0.0])
