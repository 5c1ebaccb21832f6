"""`TightenCap` in lockstep: the expert shows it, a policy plays it, the expert takes over."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from robot_io.clock import NS_PER_MS, NS_PER_S
from robot_io.control.buffer import CommandBuffer
from robot_io.control.foresight import Foresight
from robot_io.control.lockstep import Lockstep, OnTick, Planner, drawn_delay
from robot_io.control.loop import CommandSource, ControlLoop, Tick
from robot_io.control.observer import Observer
from robot_io.gate.gate import CommandGate
from robot_io.gate.interface import Gate
from robot_io.interfaces import ChunkSource
from robot_io.rows import ToolRows
from robot_io.types import ArmState, Command
from scripts.robot import RobotConfig
from scripts.tasks.demonstrations import Notes, Shown, by_kind
from scripts.tasks.episode import Episode, Scene
from scripts.tasks.report import EpisodeResult
from sim.expert import CapExpert
from sim.lockstep import LockstepCap, SensorTiming
from sim.tighten_cap import TIME_LIMIT_S, Outcome

NAME = "TightenCap"
TEXT = "screw the cap of the bottle tight by feel, let go and retreat"
STEP_NS = 100 * NS_PER_MS
VECTORS = ("measured", "commanded")
IMAGES = ("wrist", "scene", "tactile_left", "tactile_right")
_ONE_EACH: Mapping[str, int] = dict.fromkeys((*VECTORS, *IMAGES), 1)
SCENE_EVERY_NS = 100 * NS_PER_MS
_TO_REST_NS = 250 * NS_PER_MS  # in which the loop brakes to rest from any speed the gate allows
_LIMIT_NS = round((TIME_LIMIT_S + 5) * NS_PER_S)  # the world ends the episode before


class _HandOver(CommandBuffer):
    """The policy's plan until `at_ns`; then nobody's, while the loop brakes; then the expert's."""

    def __init__(
        self, robot: RobotConfig, rows: ToolRows, *, at_ns: int, begin: Callable[[], CapExpert]
    ) -> None:
        super().__init__(rows, max_age_ns=robot.max_age_ns, seam_ns=robot.seam_ns)
        self._at_ns, self._begin = at_ns, begin
        self.expert: CapExpert | None = None

    def wants_plan(self, now_ns: int) -> bool:
        return now_ns < self._at_ns and super().wants_plan(now_ns)

    def sample(self, now_ns: int) -> Command | None:
        if now_ns < self._at_ns:
            return super().sample(now_ns)
        if now_ns < self._at_ns + _TO_REST_NS:
            return None
        if self.expert is None:
            self.expert = self._begin()
        return self.expert.sample(now_ns)


def _nobody(tick: Tick) -> None:
    pass


class CapStage:
    """The world and its sensors in this process, used for one episode after the other.

    The renderer opens with the first stage and lives as long as the process.
    """

    def __init__(self, robot: RobotConfig) -> None:
        timing = {name: SensorTiming(**s.timing()) for name, s in robot.sensors.items()}
        self._robot, self._rows, self._body = robot, ToolRows(), robot.control_spec().build_body()
        self._cap = LockstepCap(timing)
        self._cap.__enter__()

    def show(self, seed: int, *, corrective: bool = False) -> tuple[EpisodeResult, list[Shown]]:
        """The expert plays; returns what a policy would have observed and should have done."""
        self._cap.reset(seed)
        notes = Notes(self._rows, step_ns=STEP_NS, **by_kind(_ONE_EACH, images=IMAGES))
        expert = CapExpert(self._cap.world, corrective=corrective)

        def look(tick: Tick, state: ArmState) -> None:
            notes.intend(tick.stamp_ns, expert.intended_8)
            notes.observe()

        self._run(expert, notes, planner=None, on_tick=look)
        return self._result(seed), notes.shown()

    def take_over(
        self,
        seed: int,
        source: ChunkSource,
        history: Mapping[str, int],
        *,
        after_s: float,
        added_ms: Sequence[float] = (0.0,),
    ) -> tuple[EpisodeResult, list[Shown]]:
        """The policy plays, after `after_s` the expert (HG-DAgger, Kelly et al. 2019).

        Plans are late as in `play`. Returns what was shown while the expert commanded: nothing
        where it never did.
        """
        self._cap.reset(seed)
        source.reset(seed)
        notes = Notes(
            self._rows, step_ns=STEP_NS, **by_kind({**_ONE_EACH, **history}, images=IMAGES)
        )
        world, sent_8 = self._cap.world, self._cap.world.state().row_D

        def look(tick: Tick, state: ArmState) -> None:
            nonlocal sent_8
            sent_8 = tick.verdict.row_D
            if buffer.expert is not None:
                notes.intend(tick.stamp_ns, buffer.expert.intended_8)
            notes.observe()

        def begin() -> CapExpert:
            return CapExpert(world, commanded_8=sent_8)

        at_ns = round(after_s * NS_PER_S)
        buffer = _HandOver(self._robot, self._rows, at_ns=at_ns, begin=begin)
        planner = self._planner(source, buffer, added_ms=added_ms)
        self._run(buffer, notes, planner=planner, on_tick=look)
        result = self._result(seed)
        result = replace(result, scores={**result.scores, "takeover_s": after_s})
        return result, notes.shown()

    def play(
        self,
        seed: int,
        source: ChunkSource,
        history: Mapping[str, int],
        *,
        film: bool = False,
        added_ms: Sequence[float] = (0.0,),
        watch: Callable[[Tick], None] = _nobody,
    ) -> Episode:
        """The policy plays; with `film` the episode keeps a scene every 100 ms.

        Each plan takes one of the robot's delays and one of `added_ms` longer, both drawn. `watch`
        is shown every tick.
        """
        buffer, scenes = self._buffer(), list[Scene]()

        def look(tick: Tick, state: ArmState) -> None:
            watch(tick)
            if film and tick.stamp_ns % SCENE_EVERY_NS == 0:
                scenes.append(self._scene(tick, buffer))

        observer = Observer(self._rows, step_ns=STEP_NS, **by_kind(history, images=IMAGES))
        result = self._play(seed, source, buffer, observer, added_ms=added_ms, on_tick=look)
        return Episode(result, scenes)

    def record(
        self,
        seed: int,
        source: ChunkSource,
        history: Mapping[str, int],
        *,
        added_ms: Sequence[float] = (0.0,),
    ) -> tuple[EpisodeResult, list[Shown]]:
        """The policy plays, as in `play`; returns what there was to see and what it commanded.

        Whatever it uses, it is shown the instants that all sensors have reached.
        """
        notes = Notes(
            self._rows, step_ns=STEP_NS, **by_kind({**_ONE_EACH, **history}, images=IMAGES)
        )
        buffer = self._buffer()
        result = self._play(seed, source, buffer, notes, added_ms=added_ms, on_tick=notes.take)
        return result, notes.shown()

    def _play(
        self,
        seed: int,
        source: ChunkSource,
        buffer: CommandBuffer,
        observer: Observer,
        *,
        added_ms: Sequence[float],
        on_tick: OnTick,
    ) -> EpisodeResult:
        """`buffer` is the policy's alone."""
        self._cap.reset(seed)
        source.reset(seed)
        planner = self._planner(source, buffer, added_ms=added_ms)
        self._run(buffer, observer, planner=planner, on_tick=on_tick)
        return self._result(seed)

    def _buffer(self) -> CommandBuffer:
        robot = self._robot
        return CommandBuffer(self._rows, max_age_ns=robot.max_age_ns, seam_ns=robot.seam_ns)

    def _run(
        self,
        source: CommandSource,
        observer: Observer,
        *,
        planner: Planner | None,
        on_tick: OnTick,
    ) -> None:
        gate, foresight = self._make_gate()
        Lockstep(
            world=self._cap,
            loop=ControlLoop(source, gate, self._rows, self._robot.loop),
            observer=observer,
            period_ns=self._robot.period_ns,
            planner=planner,
            foresight=foresight,
        ).run(_LIMIT_NS, self._is_over, on_tick)

    def _make_gate(self) -> tuple[Gate, Foresight | None]:
        """Of one episode, with what looks ahead for it."""
        gate = CommandGate(self._robot.gate, self._body)
        return gate, Foresight(self._robot.gate, self._body, gate)

    def _planner(
        self, source: ChunkSource, buffer: CommandBuffer, *, added_ms: Sequence[float] = (0.0,)
    ) -> Planner:
        usual_ms = self._robot.lockstep_inference_ms
        delays_ns = [round((usual + added) * NS_PER_MS) for usual in usual_ms for added in added_ms]
        delay = drawn_delay(delays_ns, seed=self._cap.world.seed)
        return Planner(source=source, buffer=buffer, step_ns=STEP_NS, delay_ns=delay)

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
