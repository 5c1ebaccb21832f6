"""Push-T (`gym_pusht/PushT-v0`) as a world on a virtual clock: push a T onto its mark.

A command row is the target of the round agent, x y in px of a 512 x 512 field. The world moves in
ticks of 100 ms and holds the target within one:

    now   0 ──────────── 100 ms ─────────── 200 ms
          observe, command    observe, command
          └─ env.step(row) ──▶└─ env.step(row) ──▶

A policy sees `agent` (2 px) and `keypoint` (9 points of the block, 18 px), as the people did who
recorded the demonstrations; `gym-pusht` itself has 8 other points. Or it sees the camera `scene`,
whose images are those of the recording.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from gym_pusht.envs.pusht import PushTEnv
from pygame.surfarray import pixels2d

from robot_io.errors import FeelforwardError
from robot_io.interfaces import Camera
from robot_io.types import ArmState, Frame, MonoNs
from sim.pusht_field import keypoints_of_block

TICK_NS = 100_000_000
TIME_LIMIT_TICKS = 300  # the benchmark's own
SCENE, SCENE_PX = "scene", 96  # the camera, and how high and wide its images are


@dataclass(frozen=True, slots=True)
class PushTOutcome:
    """How far an episode has come; shares lie in [0, 1]."""

    ticks: int
    max_reward: float  # best of min(coverage / 0.95, 1): what the benchmark reports
    max_coverage: float  # best share of the mark that the block covered
    success: bool  # more than 95 % covered

    @property
    def over(self) -> bool:
        return self.success or self.ticks >= TIME_LIMIT_TICKS


class PushTWorld:
    """The field, the agent as its arm, and the outcome of the episode. Implements SteppedWorld.

    `with_scene`: it has the camera `scene`, which costs more than the physics.
    """

    def __init__(self, *, with_scene: bool = False) -> None:
        # Without Gymnasium's wrappers: they hide the bodies; the time limit is in `outcome`.
        self._env = PushTEnv(obs_type="state")
        self.arm = PushTAgent(self)
        self._scene = PushTCamera(self)
        self.cameras: tuple[Camera, ...] = (self._scene,) if with_scene else ()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """A new episode at time 0 as the environment's own reset draws it."""
        self._env.reset(seed=seed)
        self._begin()

    def reset_to_state(self, state_5: np.ndarray) -> None:
        """A new episode at a recorded state: agent x y, block x y (px), block angle (rad)."""
        self._env.reset(seed=0)
        self._env.agent.position = tuple(state_5[:2])
        # The angle turns the block about its centre of mass and so moves its origin: set it first.
        self._env.block.angle = float(state_5[4])
        self._env.block.position = tuple(state_5[2:4])
        self._env.space.step(self._env.dt)
        self._begin()

    def _begin(self) -> None:
        self._now_ns = 0
        self._target_2: np.ndarray | None = None
        self._outcome = PushTOutcome(ticks=0, max_reward=0.0, max_coverage=0.0, success=False)
        self._scene.restart()

    @property
    def outcome(self) -> PushTOutcome:
        return self._outcome

    @property
    def now_ns(self) -> MonoNs:
        return MonoNs(self._now_ns)

    @property
    def agent_2(self) -> np.ndarray:
        """Where the agent is, px."""
        return np.array(self._env.agent.position)

    @property
    def block_3(self) -> np.ndarray:
        """Where the block is: x, y (px), angle (rad)."""
        return np.array([*self._env.block.position, self._env.block.angle])

    def set_target(self, target_2: np.ndarray) -> None:
        """What the agent moves to from now on, px."""
        if not (np.shape(target_2) == (2,) and np.isfinite(target_2).all()):
            raise FeelforwardError(f"Push-T takes a row of 2 finite px, got {target_2}.")
        self._target_2 = np.array(target_2, np.float64)

    def advance_to(self, now_ns: int) -> None:
        """Whole ticks up to `now_ns`; without a target the agent stays where it is."""
        while self._now_ns + TICK_NS <= now_ns:
            self._now_ns += TICK_NS
            target_2 = self._target_2 if self._target_2 is not None else self.agent_2
            _, reward, _, _, info = self._env.step(target_2)
            best = self._outcome
            self._outcome = PushTOutcome(
                ticks=best.ticks + 1,
                max_reward=max(best.max_reward, float(reward)),
                max_coverage=max(best.max_coverage, float(info["coverage"])),
                success=best.success or bool(info["is_success"]),
            )

    def read_vectors(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """What the policy observes now: (stream, stamp, value)."""
        yield "keypoint", self._now_ns, keypoints_of_block(self.block_3)
        yield "agent", self._now_ns, self.agent_2

    def draw_scene(self) -> np.ndarray:
        """The field as (96, 96, 3) uint8 RGB, as it was recorded: what `gym-pusht` calls pixels.

        The same bits in a third of the time: the field is made small before its colours are put
        in order.
        """
        field_HW = pixels2d(self._env._draw()).T  # uint32
        bgra_HWC = field_HW.view(np.uint8).reshape(*field_HW.shape, 4)
        return cv2.resize(bgra_HWC, (SCENE_PX, SCENE_PX))[..., 2::-1]

    def render(self) -> np.ndarray:
        """The field as (680, 680, 3) uint8 RGB, with a cross at the target."""
        return np.asarray(self._env.render())


class PushTAgent:
    """The round pusher, as an arm that takes rows of x, y (px)."""

    stopped_by: str | None = None  # its stop is over with the next command

    def __init__(self, world: PushTWorld) -> None:
        self._world = world

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def read(self) -> ArmState:
        return ArmState(self._world.now_ns, self._world.agent_2, np.empty(0))

    def command(self, row_D: np.ndarray) -> None:
        self._world.set_target(row_D)

    def stop(self) -> None:
        """The agent stays where it is."""
        self._world.set_target(self._world.agent_2)


class PushTCamera:
    """The field from above: one frame per tick, drawn when it is read, without delay."""

    name = SCENE

    def __init__(self, world: PushTWorld) -> None:
        self._world = world
        self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def restart(self) -> None:
        """A new episode: nothing was read of it."""
        self._read_ns: int | None = None

    def read(self, timeout_s: float = 0.0) -> Frame | None:
        now_ns = self._world.now_ns
        if now_ns == self._read_ns:
            return None
        self._read_ns = now_ns
        return Frame(SCENE, now_ns // TICK_NS, now_ns, now_ns, self._world.draw_scene())
