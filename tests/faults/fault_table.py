"""What can go wrong around the control loop, and what must follow: for the tests and the document.

python tests/faults/fault_table.py > docs/faults.md
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fault_injections import (
    BusyCores,
    IdleViewer,
    InInbox,
    Injection,
    Killed,
    Suspended,
    Told,
)

from scripts.robot import RobotConfig, load_robot

PLAN, SLOW_DOWN, HOLD, STOPPED = "plan", "slow_down", "hold", "stopped"
ARM_STOPS = "arm_stops"  # seen from the arm's side: control is not there to say so
NAMES = {
    PLAN: "plan (tail)",
    SLOW_DOWN: "slow down",
    HOLD: "hold",
    STOPPED: "latched stop",
    ARM_STOPS: "the arm's own stop",
}
BRAKE_S = 0.25  # from any speed the gate allows to rest
ARM_BRAKE_S = 0.5  # the same for the arm's own stop, until its spring has settled
SLACK_S = 0.3  # exposure, transport, polling, a busy machine
TAIL = "the arm executes the tail, slows down and holds."
PLANS_STOP = f"plans stop; {TAIL}"
OWN_STOP = "The arm stands still by its own stop: requested."


@dataclass(frozen=True, slots=True)
class Step:
    """A rung of the ladder and how long after the fault it has begun at the latest."""

    rung: str
    within_s: float


@dataclass(frozen=True)
class Fault:
    """One row. In `reads` and `ending`, `…` stands for what differs from time to time."""

    name: str
    injection: Injection
    steps: tuple[Step, ...]
    reads: tuple[str, ...] = ()  # what the operator reads, in this order
    lasts_s: float | None = None  # then it is over; None: it stays
    observe_s: float = 2.0  # how long the test looks on
    ending: str = ""  # what the episode ends with; empty: it goes on
    fatal: bool = False  # the session ends
    real_policy: bool = False  # with the shipped checkpoint instead of the steady planner
    outcome: str = ""  # of messages in the inbox that must not be taken
    may_stall: bool = False  # the arm's measurements or the ticks may be late: it is the fault
    may_vary: bool = False  # how far down the ladder it goes depends on the machine


def fault_table(robot: RobotConfig) -> tuple[Fault, ...]:
    """Every fault, with the times that follow from the robot's limits."""
    limits = robot.stream_limits(robot.sensors)
    tail_s, stop_after_s = robot.max_age_ns / 1e9, robot.loop.stop_after_s
    state_s, watchdog_s = robot.loop.max_state_age_s, robot.arm.max_target_age_s
    steady = (Step(PLAN, 0.0),)
    ladder = (
        *steady,
        Step(SLOW_DOWN, tail_s + SLACK_S),
        Step(HOLD, tail_s + BRAKE_S + SLACK_S),
    )
    for_good = (*ladder, Step(STOPPED, tail_s + stop_after_s + 2 * SLACK_S))
    past_tail_s = tail_s + BRAKE_S + 2 * SLACK_S
    back = (*ladder, Step(PLAN, past_tail_s + 1.0))
    stale = (*steady, Step(HOLD, state_s + SLACK_S))
    arm_stops = (*steady, Step(ARM_STOPS, watchdog_s + ARM_BRAKE_S + SLACK_S))

    def late(stream: str, follows: str, *, process: str = "", limit_s: float | None = None) -> str:
        limit_s = limits[stream].max_age_s if limit_s is None else limit_s
        line = f"{stream}: nothing new for … s, limit {limit_s:.2f} s: {follows}"
        if not process:
            return line
        return f"{line} Process '{process}' is suspended; `kill -CONT …` continues it."

    def well(stream: str) -> str:
        return f"{stream}: well again after … s."

    def refused(outcome: str) -> str:
        return f"chunks: refused, {outcome}; unless a good one comes, {TAIL}"

    def gone(process: str) -> str:
        return f"Process '{process}' was ended by SIGKILL."

    def passing(
        name: str, injection: Injection, steps: tuple[Step, ...], line: str, **changed: object
    ) -> Fault:
        """A fault that ends by itself, after which all goes on."""
        times = {"lasts_s": past_tail_s, "observe_s": past_tail_s + 1.5, **changed}
        reads = (line, well(line.split(":")[0])) if line else ()
        return Fault(name, injection, steps, reads, **times)  # type: ignore[arg-type]

    return (
        passing(
            "policy slower than planned",
            Told("policy", "takes 0.55", "each plan takes 0.55 s"),
            steady,
            late("chunks", TAIL),
            lasts_s=2.0,
            observe_s=4.0,
        ),
        passing(
            "policy paused for seconds",
            Told("policy", f"takes {past_tail_s}", f"one plan takes {past_tail_s:.1f} s"),
            back,
            late("chunks", TAIL),
            lasts_s=0.5,
            observe_s=past_tail_s + 2.2,
        ),
        passing(
            "camera stalls",
            Told("wrist", "stall", "camera `wrist` gives no frame"),
            back,
            late("wrist", PLANS_STOP),
        ),
        passing(
            "camera frozen",
            Told("scene", "freeze", "camera `scene` gives its last frame in each new call"),
            back,
            late("scene", PLANS_STOP),
        ),
        passing(
            "tactile sensor stalls",
            Told("tactile_left", "stall", "sensor `tactile_left` gives no frame"),
            back,
            late("tactile_left", PLANS_STOP),
        ),
        Fault(
            "camera frozen for good",
            Told("wrist", "freeze", "camera `wrist` gives its last frame in each new call"),
            for_good,
            (late("wrist", PLANS_STOP), OWN_STOP),
            observe_s=tail_s + stop_after_s + 1.5,
            ending="stopped (no_plan)",
        ),
        passing(
            "camera process suspended",
            Suspended("camera_wrist"),
            back,
            late("wrist", PLANS_STOP, process="camera_wrist"),
        ),
        passing(
            "tactile process suspended",
            Suspended("camera_tactile_right"),
            back,
            late("tactile_right", PLANS_STOP, process="camera_tactile_right"),
        ),
        passing(
            "policy process suspended",
            Suspended("policy"),
            back,
            late("chunks", TAIL, process="policy"),
        ),
        passing(
            "world process suspended",
            Suspended("world"),
            (*stale, Step(PLAN, 1.0 + SLACK_S)),
            late(
                "world",
                "the simulated world stands still; the arm holds.",
                process="world",
                limit_s=0.1,
            ),
            lasts_s=0.7,
            observe_s=2.5,
            may_stall=True,
        ),
        Fault(
            "plans that are not numbers",
            Told("policy", "nan", "half of the rows of each plan are NaN"),
            steady,
            (refused("malformed"), well("chunks")),
            lasts_s=0.25,
            observe_s=2.0,
            outcome="malformed",
        ),
        Fault("garbage in the inbox", InInbox("garbage"), steady, observe_s=1.0),
        *(
            Fault(
                name,
                InInbox(kind),
                steady,
                (refused(outcome),),
                observe_s=observe_s,
                outcome=outcome,
            )
            for name, kind, outcome, observe_s in (
                ("chunks out of order", "old", "not_newer", 1.0),
                ("a chunk many times", "twice", "not_newer", 1.0),
                ("a chunk from the future", "future", "from_the_future", 3.0),
            )
        ),
        Fault(
            "wall clock set back and forth",
            Told("clock", "jump", "the wall clock jumps by an hour each time it is read"),
            steady,
            lasts_s=2.0,
        ),
        Fault("a viewer that does not read", IdleViewer(), steady, lasts_s=2.0),
        Fault(
            "all cores busy",
            BusyCores(),
            steady,
            lasts_s=2.5,
            observe_s=3.0,
            may_stall=True,
            may_vary=True,
        ),
        Fault(
            "tactile sensor dies",
            Told("tactile_right", "die", "the driver of `tactile_right` says that it has died"),
            ladder,
            ending=(
                "Process 'camera_tactile_right': Sensor 'tactile_right' gives no more frames."
                " Check its cable."
            ),
            fatal=True,
        ),
        *(
            Fault(
                f"{process} killed",
                Killed(process),
                steps,
                ending=gone(process) + "…",
                fatal=True,
                may_stall=process == "world",
            )
            for process, steps in (
                ("policy", ladder),
                ("camera_wrist", ladder),
                ("camera_tactile_right", ladder),
                ("world", stale),
                ("control", arm_stops),
            )
        ),
        Fault(
            "control process suspended",
            Suspended("control"),
            arm_stops,
            ending="Process 'control' is suspended and does not answer. …",
            fatal=True,
        ),
        Fault(
            "policy process suspended for good",
            Suspended("policy"),
            for_good,
            (late("chunks", TAIL, process="policy"), OWN_STOP),
            observe_s=tail_s + stop_after_s + 2.0,
            ending="Process 'policy' is suspended and does not answer. …",
            fatal=True,
            real_policy=True,
        ),
    )


def document(faults: Sequence[Fault], robot: RobotConfig) -> str:
    """docs/faults.md."""
    return "\n".join([*_head(robot), *(_row(fault) for fault in faults), *_foot()]) + "\n"


def _head(robot: RobotConfig) -> Iterator[str]:
    yield f"""# Faults, and what follows

<!-- Made by `python tests/faults/fault_table.py > docs/faults.md`; change it there. -->

Each row is a test: `pytest tests/faults -m slow` puts the fault into the real processes with the
simulated arm of TightenCap (`--times 20`: twenty times in a row). It checks the rungs and their
times, that nothing sent broke a limit of the gate (by an independent checker), what the operator
reads, and that no process, socket or shared memory is left.

The ladder: the plan, and its tail while no new one comes → slow down along the path → hold →
latched stop, which is the arm's own stop as well once it is at rest. An arm that stops by itself
latches the stop. Times are counted from the fault and are the latest at which a rung has begun;
they follow from `configs/robots/sim_fr3.toml`: an observation may be executed for
{robot.max_age_ns / 1e9:.1f} s, the loop stops for good after {robot.loop.stop_after_s:.1f} s
of holding (the tests shorten that), the arm measures at least every
{robot.loop.max_state_age_s:.1f} s, and stops by itself when the newest target is
{robot.arm.max_target_age_s:.1f} s old. `…` is what differs from time to time.

| fault | how | the arm | the operator reads | then |
|---|---|---|---|---|"""


def _row(fault: Fault) -> str:
    lasts = "" if fault.lasts_s is None else f", for {fault.lasts_s:.1f} s"
    steps = " → ".join(
        NAMES[step.rung] if step.within_s == 0 else f"{NAMES[step.rung]} ({step.within_s:.1f} s)"
        for step in fault.steps
    )
    if fault.may_vary:
        steps += ", or further down the ladder"
    reads = "<br>".join(fault.reads) or "nothing"
    if fault.fatal:
        then = f"the session ends: {fault.ending}"
    else:
        then = f"the episode ends: {fault.ending}" if fault.ending else "all goes on"
    return f"| {fault.name} | {fault.injection.text}{lasts} | {steps} | {reads} | {then} |"


def _foot() -> Iterator[str]:
    yield """
What some rows show, and what they do not:
- *Wall clock*: the control, policy, camera and world processes get another wall clock from Python's
  `time` at each call, while the machine's own clock stays as it is; a fast test says that nothing
  but `robot_io/clock.py` reads a clock. Libraries in C that look at the wall clock are not reached.
- *All cores busy*: how late plans come is up to the machine; that no limit is broken is not.
- *The session itself suspended* (Ctrl-Z) is tested in `test_session.py` of
  `tests/robot_io/session`: after 1 s without a word of it the control process takes no more
  plans, until it is back. *Recorder* and disk are in `test_recorder.py` there, a *policy on another
  machine* in `test_remote_policy.py` of `tests/robot_io/remote`.
- *World suspended* freezes the physics of the simulated arm too; on a real arm it is the driver
  that falls silent."""


if __name__ == "__main__":
    shipped = load_robot()
    print(document(fault_table(shipped), shipped), end="")
