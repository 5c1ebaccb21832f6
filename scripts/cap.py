"""`TightenCap` in lockstep: the expert shows it, a policy plays it."""

from collections.abc import Callable, Mapping

import numpy as np

from robot_io.buffer import CommandBuffer
from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.gate import CommandGate
from robot_io.interfaces import ChunkSource
from robot_io.lockstep import Lockstep, Planner, constant_delay
from robot_io.loop import CommandSource, ControlLoop, Tick
from robot_io.observer import Observer
from robot_io.rows import ToolRows
from robot_io.types import ArmState, Observation
from scripts.episode import Episode, Scene
from scripts.report import EpisodeResult
from scripts.robot import RobotConfig
from sim.expert import CapExpert
from sim.lockstep import LockstepCap, SensorTiming
from sim.tighten_cap import TIME_LIMIT_S, Outcome

NAME = "TightenCap"
TEXT = "screw the cap of the bottle tight by feel, let go and retreat"
STEP_NS = 100 * NS_PER_MS
VECTORS = ("measured", "commanded")
IMAGES = ("wrist", "scene", "tactile_left", "tactile_right")
SCENE_EVERY_NS = 100 * NS_PER_MS
_LIMIT_NS = round((TIME_LIMIT_S + 5) * NS_PER_S)  # the world ends the episode before


class CapStage:
    """The world and its sensors in this process, used for one episode after the other.

    The renderer opens with the first stage and lives as long as the process.
    """

    def __init__(self, robot: RobotConfig) -> None:
        timing = {name: SensorTiming(**s.model_dump()) for name, s in robot.sensors.items()}
        self._robot, self._rows = robot, ToolRows()
        self._cap = LockstepCap(timing)
        self._cap.__enter__()

    def show(
        self, seed: int, *, corrective: bool = False
    ) -> tuple[EpisodeResult, list[Observation]]:
        """The expert plays; returns what a policy would have observed, row by row."""
        self._cap.reset(seed)
        observer = self._observer(dict.fromkeys((*VECTORS, *IMAGES), 1))
        seen: list[Observation] = []

        def look(tick: Tick, state: ArmState) -> None:
            observation = observer.observe()
            if observation is not None:
                seen.append(observation)

        expert = CapExpert(self._cap.world, corrective=corrective)
        self._run(expert, observer, planner=None, on_tick=look)
        return self._result(seed), seen

    def play(
        self, seed: int, source: ChunkSource, history: Mapping[str, int], *, film: bool = False
    ) -> Episode:
        """The policy plays; with `film` the episode keeps a scene every 100 ms."""
        self._cap.reset(seed)
        source.reset(seed)
        robot = self._robot
        buffer = CommandBuffer(self._rows, max_age_ns=robot.max_age_ns, seam_ns=robot.seam_ns)
        delay = constant_delay(round(robot.lockstep_inference_ms * NS_PER_MS))
        planner = Planner(source=source, buffer=buffer, step_ns=STEP_NS, delay_ns=delay)
        scenes: list[Scene] = []

        def keep_scene(tick: Tick, state: ArmState) -> None:
            if film and tick.stamp_ns % SCENE_EVERY_NS == 0:
                scenes.append(self._scene(tick, buffer))

        self._run(buffer, self._observer(history), planner=planner, on_tick=keep_scene)
        return Episode(self._result(seed), scenes)

    def _run(
        self,
        source: CommandSource,
        observer: Observer,
        *,
        planner: Planner | None,
        on_tick: Callable[[Tick, ArmState], None],
    ) -> None:
        gate, limits = CommandGate(self._robot.gate), self._robot.loop
        Lockstep(
            world=self._cap,
            loop=ControlLoop(source, gate, self._rows, limits),
            observer=observer,
            period_ns=self._robot.period_ns,
            planner=planner,
        ).run(_LIMIT_NS, self._is_over, on_tick)

    def _observer(self, history: Mapping[str, int]) -> Observer:
        vectors = {name: steps for name, steps in history.items() if name in VECTORS}
        images = {name: steps for name, steps in history.items() if name in IMAGES}
        return Observer(self._rows, step_ns=STEP_NS, vectors=vectors, images=images)

    def _is_over(self) -> bool:
        return self._cap.world.outcome is not Outcome.RUNNING

    def _result(self, seed: int) -> EpisodeResult:
        world = self._cap.world
        steps = round(world.elapsed_s * NS_PER_S / STEP_NS)
        scores = {"tightening_nm": world.tightening_nm}
        reason = world.outcome.value if self._is_over() else "stopped"  # by the gate or the loop
        return EpisodeResult(seed, reason, steps, scores)

    def _scene(self, tick: Tick, buffer: CommandBuffer) -> Scene:
        due_ns, rows = buffer.planned(tick.stamp_ns)
        return Scene(
            stamp_ns=tick.stamp_ns,
            snapshot_N=self._cap.world.snapshot().pack(),
            plan_ns_P=due_ns,
            plan_PD=rows,
            sent_D=np.array(tick.verdict.row_D),
            status=f"{tick.rung.value}, {tick.verdict.kind.value}",
        )
