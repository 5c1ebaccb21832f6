"""`Feelforward/TightenCap-v0`: the task as a Gymnasium environment, one step a 10 Hz row.

import gymnasium, sim.gym_env
env = gymnasium.make("Feelforward/TightenCap-v0")
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from robot_io.clock import NS_PER_S
from sim.fr3 import MAX_WIDTH_M
from sim.lockstep import LockstepCap
from sim.tactile import IMAGE_PX
from sim.tighten_cap import Outcome
from sim.view import CAMERAS, TACTILE

ENV_ID = "Feelforward/TightenCap-v0"
STEP_NS = NS_PER_S // 10
CAMERA_PX = 96
_POSITION_LOW_M, _POSITION_HIGH_M = (0.25, -0.30, 0.05), (0.70, 0.30, 0.55)


def _row_space() -> spaces.Box:
    low = np.array([*_POSITION_LOW_M, -1, -1, -1, -1, 0.0])
    high = np.array([*_POSITION_HIGH_M, 1, 1, 1, 1, MAX_WIDTH_M])
    return spaces.Box(low, high, dtype=np.float64)


class TightenCapEnv(gymnasium.Env[Any, np.ndarray]):
    """Action: the next row (8,): x y z (m), qw qx qy qz, width (m); the arm moves there in a step.

    Observation: `measured` and `commanded` rows (8,), `wrist` and `scene` (96, 96, 3),
    `tactile_left` and `tactile_right` (32, 32, 3). Reward: 1 on success, else 0. `info` has the
    outcome's reason and the tightening torque (N·m).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = _row_space()
        free = spaces.Box(-np.inf, np.inf, (8,), np.float64)
        camera = spaces.Box(0, 255, (CAMERA_PX, CAMERA_PX, 3), np.uint8)
        gel = spaces.Box(0, 255, (IMAGE_PX, IMAGE_PX, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {
                "measured": free,
                "commanded": free,
                **dict.fromkeys(CAMERAS, camera),
                **dict.fromkeys(TACTILE, gel),
            }
        )
        self._world = LockstepCap().__enter__()
        self._images: dict[str, np.ndarray] = {}
        self._commanded_8 = np.zeros(8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        episode = seed if seed is not None else int(self.np_random.integers(2**31))
        self._world.reset(episode)
        self._commanded_8 = self._world.arm.read().row_D
        self._world.advance_to(STEP_NS)
        return self._observe(), self._info()

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        row_8 = np.asarray(action, dtype=np.float64).copy()
        norm = np.linalg.norm(row_8[3:7])
        if row_8.shape != (8,) or not np.isfinite(row_8).all() or not norm > 1e-6:
            raise ValueError(
                f"action = {action}: want 8 finite numbers x y z (m) qw qx qy qz width (m) with a "
                "quaternion that is not zero"
            )
        row_8[3:7] /= norm
        self._commanded_8 = row_8
        self._world.arm.command(row_8)
        self._world.advance_to(self._world.world.now_ns + STEP_NS)
        outcome = self._world.world.outcome
        success = outcome is Outcome.SUCCESS
        over = outcome not in (Outcome.RUNNING, Outcome.TIME_OUT)
        return self._observe(), float(success), over, outcome is Outcome.TIME_OUT, self._info()

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        return self._images["scene"] if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self._world.__exit__(None, None, None)

    def _observe(self) -> dict[str, np.ndarray]:
        for camera in self._world.cameras:
            frame = camera.read(0.0)
            if frame is not None:
                self._images[camera.name] = frame.image_HWC
        rows = {"measured": self._world.arm.read().row_D, "commanded": self._commanded_8.copy()}
        return {**rows, **self._images}

    def _info(self) -> dict[str, Any]:
        return self._world.world.result()


gymnasium.register(ENV_ID, entry_point="sim.gym_env:TightenCapEnv")
