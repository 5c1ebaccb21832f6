"""Trains a policy: AdamW, a cosine, and an average of the weights, on one or many processes.

out_dir/
  checkpoint/          the averaged weights after the last step, and all it takes to run them
  best/                the same after the step that did best on held-out episodes
  state.safetensors    what resuming needs
  tensorboard/         losses, action errors, learning rate, gradient norm
"""

import ctypes
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from policy import checkpoint
from policy.config import Recipe, TrainConfig
from policy.data.sampler import Batch
from policy.data.share import Share
from policy.features import make_features
from policy.networks.network import PolicyNetwork
from policy.statistics import Sampler, Statistics, calibrate_touch, fit_statistics
from policy.training.curves import Curves
from policy.training.ema import Ema
from policy.training.keeper import CHECKPOINT, Evaluation, Keeper
from policy.training.memory import PeakMemory
from policy.training.objective import Objective
from policy.training.processes import Processes
from policy.training.progress import say, watched
from policy.training.state import STATE, Best, TrainingState
from policy.training.teacher import Teacher
from policy.training.validation import Validation
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


@dataclass(frozen=True)
class TrainResult:
    """What `train` did."""

    losses: list[float]  # one per step of this call
    validation: Validation | None  # of the averaged weights, at the end
    best: Best | None
    checkpoint: Path
    minutes: float  # over all resumptions
    parameters: int
    peak_memory: PeakMemory  # of this process

    @property
    def validation_loss(self) -> float | None:
        return None if self.validation is None else self.validation.loss


def train(
    recipe: Recipe,
    sampler: Sampler,
    out_dir: Path,
    *,
    validation: Sampler | None = None,
    evaluation: Evaluation | None = None,
    teacher: Path | None = None,
    resume: bool = False,
    command: str = "",
    until_step: int | None = None,
    progress: bool = True,
    wandb_project: str | None = None,
    processes: Processes | None = None,
) -> TrainResult:
    """Trains to `recipe.train.steps`, or to `until_step` to go on another day with `resume`.

    A resumed run has the same losses, to the last bit, as one that was never interrupted. Several
    processes, each calling this with the same arguments, have those of one process to rounding.
    `teacher`: the checkpoint whose plans a distilled policy learns; it also begins with its weights
    and scales. `command` goes into the card. Raises FeelforwardError when data or teacher do not
    fit the recipe, when `out_dir` is in use, or when the loss is no longer finite.
    """
    distilled = recipe.policy.generative.distilled
    if distilled and teacher is None:
        raise FeelforwardError(
            "The recipe says policy.generative.distilled = true: it learns the plans of a trained "
            "policy, which --teacher names."
        )
    if teacher is not None and not distilled:
        raise FeelforwardError(
            f"The teacher {teacher} has no student: the recipe learns from the data alone. Set "
            "policy.generative.distilled = true, or leave the teacher out."
        )
    processes = processes if processes is not None else Processes(recipe.train)
    run = _Run(
        recipe,
        sampler,
        Path(out_dir),
        validation=validation,
        evaluation=evaluation,
        teacher_dir=teacher,
        command=command,
        processes=processes,
        console=Console(quiet=not (progress and processes.is_first)),
    )
    run.begin(resume=resume)
    last_step = min(
        recipe.train.steps, until_step if until_step is not None else recipe.train.steps
    )
    losses = run.advance_to(last_step, wandb_project=wandb_project)
    return TrainResult(
        losses=losses,
        validation=run.keeper.validated,
        best=run.state.best,
        checkpoint=run.keeper.folder,
        minutes=run.state.seconds / 60,
        parameters=run.state.parameters,
        peak_memory=run.memory,
    )


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up from 0, then half a cosine down to 0 at `config.steps`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / (config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class _Loss(nn.Module):
    """The loss of a share as a module: what processes train together must be one."""

    def __init__(self, objective: Objective, network: PolicyNetwork) -> None:
        super().__init__()
        self._objective = objective
        self.network = network

    def forward(self, batch: Batch, draw: tuple[int, int], share: Share) -> Tensor:
        return self._objective.loss(self.network, batch, draw=draw, augment=True, share=share)


@dataclass
class _Run:
    """One training: its state, and where it goes."""

    recipe: Recipe
    sampler: Sampler
    out_dir: Path
    validation: Sampler | None
    evaluation: Evaluation | None
    teacher_dir: Path | None
    command: str
    processes: Processes
    console: Console
    memory: PeakMemory = field(default_factory=PeakMemory)

    def __post_init__(self) -> None:
        self.device = self.processes.device
        self.clock = MonotonicClock()
        self.data = self.sampler.description  # what is learnt from
        self.teacher = None
        if self.teacher_dir is not None:
            self.teacher = Teacher.load(self.teacher_dir, self.recipe, device=self.device)
            self.data += f", by {self.teacher.name}"

    def begin(self, *, resume: bool) -> None:
        """Fits the statistics and builds the network, or takes both from the interrupted run."""
        torch.set_num_threads(self.recipe.train.threads)
        _keep_freed_memory()
        self._check_folder(resume=resume)
        say(self.console, "Looking at the data.")
        with self.processes.first_ahead():  # the others go on from what it saves
            self._prepare(resume=resume or not self.processes.is_first)
        self.loss = self.processes.joined(_Loss(self.objective, self.state.network))

    def _check_folder(self, *, resume: bool) -> None:
        if not self.processes.is_first:
            return
        used = (self.out_dir / STATE).exists() or (self.out_dir / CHECKPOINT).exists()
        if used and not resume:
            raise FeelforwardError(
                f"{self.out_dir} already holds a training: resume it or choose another folder."
            )
        if resume and not (self.out_dir / STATE).exists():
            raise FeelforwardError(f"{self.out_dir} holds no {STATE}: there is nothing to resume.")

    def _prepare(self, *, resume: bool) -> None:
        statistics = self._statistics(resume=resume)
        self.objective = Objective(
            self.recipe,
            make_features(self.recipe.policy),
            statistics,
            self.device,
            teacher=self.teacher,
        )
        self.state = self._fresh_state(statistics)
        self.keeper = Keeper(
            self.state,
            self.objective,
            out_dir=self.out_dir,
            data=self.data,
            command=self.command,
            processes=self.processes.share.count,
            validation=self.validation,
            evaluation=self.evaluation,
            console=self.console,
        )
        if resume:
            self.state.restore(self.out_dir, self.recipe, self.data)
        else:
            for network in (self.state.network, self.state.ema.network):
                if self.teacher is not None:
                    self.teacher.initialize(network)
                else:
                    calibrate_touch(network, self.sampler)
            self.keeper.begin()

    def _statistics(self, *, resume: bool) -> Statistics:
        if resume:
            return checkpoint.read_statistics(self.out_dir / CHECKPOINT)
        if self.teacher is not None:
            self.teacher.statistics.check(self.recipe.policy, self.sampler)
            return self.teacher.statistics
        return fit_statistics(self.recipe.policy, self.sampler)

    def advance_to(self, last_step: int, *, wandb_project: str | None) -> list[float]:
        """Runs the steps up to `last_step`, saving on the way and at the end."""
        config, state = self.recipe.train, self.state
        if not self.processes.is_first:
            losses = [self._step()[0] for _ in range(state.step, last_step)]
            self.processes.wait_for_all()
            return losses
        losses = []
        with (
            Curves(
                self.out_dir, self.recipe, from_step=state.step, wandb_project=wandb_project
            ) as curves,
            watched(self.console, done=state.step, steps=config.steps, clock=self.clock) as tell,
        ):
            while state.step < last_step:
                started_ns = self.clock.now_ns()
                loss, gradient_norm = self._step()
                losses.append(loss)
                state.seconds += (self.clock.now_ns() - started_ns) / NS_PER_S
                if state.step % config.log_every == 0:
                    recent = losses[-config.log_every :]
                    self._log(curves, sum(recent) / len(recent), gradient_norm)
                if self.keeper.is_due(last=(last := state.step == last_step)):
                    self.keeper.keep(curves, last=last)
                    self.memory.look()
                tell(state.step, losses)
        self.processes.wait_for_all()
        return losses

    def _step(self) -> tuple[float, float]:
        """One update; (loss, gradient norm), the same on all processes."""
        config, state = self.recipe.train, self.state
        state.optimizer.zero_grad(set_to_none=True)
        loss = self._add_up_gradients()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_clip)
        if not math.isfinite(loss) or not math.isfinite(norm.item()):
            raise FeelforwardError(
                f"Training broke down at step {state.step}: loss {loss:g}, gradient norm "
                f"{norm.item():g}. Lower train.learning_rate (now {config.learning_rate:g}) and "
                f"resume; {self.out_dir / STATE} holds the last good state."
            )
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        state.optimizer.step()
        state.ema.update(state.network, step=state.step)
        state.step += 1
        return loss, norm.item()

    def _add_up_gradients(self) -> float:
        """Of the whole batch, in passes over parts of it; returns its loss."""
        passes = self.processes.share.split(self.recipe.train.accumulate)
        total = torch.zeros((), device=self.device)
        for share in passes[:-1]:
            with self.processes.apart(self.loss):
                total += self._pass(share)
        total += self._pass(passes[-1])
        return self.processes.mean(total)

    def _pass(self, share: Share) -> Tensor:
        config, state = self.recipe.train, self.state
        batch = self.sampler.sample(state.step, share)
        loss = self.loss(batch, (config.seed, state.step), share) / config.accumulate
        loss.backward()
        return loss.detach()

    def _log(self, curves: Curves, loss: float, gradient_norm: float) -> None:
        self.memory.look()
        rate = learning_rate(self.recipe.train, self.state.step - 1)
        values = {"loss/training": loss, "gradient_norm": gradient_norm, "learning_rate": rate}
        curves.add(self.state.step, values)

    def _fresh_state(self, statistics: Statistics) -> TrainingState:
        config = self.recipe.train
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = statistics.make_network(self.recipe.policy).to(self.device)
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=True,
        )
        return TrainingState(network, Ema(network, power=config.ema_power), optimizer)


def _keep_freed_memory() -> None:
    """Tells glibc to keep what a step frees for the next one.

    Otherwise large tensors go back to the system, which clears their pages anew in every step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(option, value)
