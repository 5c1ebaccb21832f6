"""Trains a policy: conditional flow matching with AdamW, a cosine, and an average of the weights.

out_dir/
  checkpoint/          the averaged weights and all it takes to run them; replaced as training goes
  state.safetensors    what resuming needs
  tensorboard/         loss, validation loss, learning rate, gradient norm
"""

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rich.console
import rich.progress
import torch
from torch.utils.tensorboard import SummaryWriter

from policy import checkpoint, storage
from policy.config import Recipe, TrainConfig
from policy.features import make_features
from policy.statistics import Sampler, Statistics, calibrate_touch, fit_statistics
from policy.training.ema import Ema
from policy.training.objective import Objective
from policy.training.state import STATE, TrainingState
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError

VALIDATION_BATCHES = 4
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


@dataclass(frozen=True)
class TrainResult:
    """What `train` did."""

    losses: list[float]  # one per step of this call
    validation_loss: float | None  # of the averaged weights, at the end
    checkpoint: Path
    minutes: float  # over all resumptions
    parameters: int


def train(
    recipe: Recipe,
    sampler: Sampler,
    out_dir: Path,
    *,
    validation: Sampler | None = None,
    resume: bool = False,
    command: str = "",
    until_step: int | None = None,
    progress: bool = True,
) -> TrainResult:
    """Trains to `recipe.train.steps`, or to `until_step` to go on another day with `resume`.

    A resumed run has the same losses, to the last bit, as one that was never interrupted.
    `command` goes into the card. Raises FeelforwardError when the data do not fit the recipe,
    when `out_dir` is in use, or when the loss is no longer finite.
    """
    run = _Run(recipe, sampler, Path(out_dir), validation=validation, command=command)
    with rich.console.Console(quiet=not progress).status("Looking at the data"):
        run.begin(resume=resume)
    last_step = min(
        recipe.train.steps, until_step if until_step is not None else recipe.train.steps
    )
    losses = run.advance_to(last_step, progress=progress)
    return TrainResult(
        losses=losses,
        validation_loss=run.validation_loss,
        checkpoint=run.folder,
        minutes=run.state.seconds / 60,
        parameters=run.parameters,
    )


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up from 0, then half a cosine down to 0 at `config.steps`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / (config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class _Run:
    """One training: its state, and where it goes."""

    def __init__(
        self,
        recipe: Recipe,
        sampler: Sampler,
        out_dir: Path,
        *,
        validation: Sampler | None,
        command: str,
    ) -> None:
        self.recipe = recipe
        self.sampler = sampler
        self.out_dir = out_dir
        self.folder = out_dir / "checkpoint"
        self.validation = validation
        self.validation_loss: float | None = None
        self.command = command
        self.device = _device(recipe.train)
        self.clock = MonotonicClock()

    def begin(self, *, resume: bool) -> None:
        """Fits the statistics and builds the network, or takes both from the interrupted run."""
        torch.set_num_threads(self.recipe.train.threads)
        _keep_freed_memory()
        used = (self.out_dir / STATE).exists() or self.folder.exists()
        if used and not resume:
            raise FeelforwardError(
                f"{self.out_dir} already holds a training: resume it or choose another folder."
            )
        if resume and not (self.out_dir / STATE).exists():
            raise FeelforwardError(f"{self.out_dir} holds no {STATE}: there is nothing to resume.")
        statistics = (
            checkpoint.read_statistics(self.folder)
            if resume
            else fit_statistics(self.recipe.policy, self.sampler)
        )
        self.objective = Objective(
            self.recipe, make_features(self.recipe.policy), statistics, self.device
        )
        self.state = self._fresh_state(statistics)
        if resume:
            self.state.restore(self.out_dir, self.recipe, self.sampler.description)
        else:
            calibrate_touch(self.state.network, self.sampler)
            calibrate_touch(self.state.ema.network, self.sampler)
            checkpoint.save_description(self.folder, self.recipe, statistics)
            self._save()

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.state.network.parameters())

    def advance_to(self, last_step: int, *, progress: bool) -> list[float]:
        """Runs the steps up to `last_step`, saving on the way and at the end."""
        config, state = self.recipe.train, self.state
        losses: list[float] = []
        writer = SummaryWriter(str(self.out_dir / "tensorboard"), purge_step=state.step)
        with writer, _progress(config.steps, state.step, shown=progress) as tell:
            while state.step < last_step:
                started_ns = self.clock.now_ns()
                loss, gradient_norm = self._step()
                losses.append(loss)
                state.seconds += (self.clock.now_ns() - started_ns) / NS_PER_S
                if state.step % config.log_every == 0:
                    recent = losses[-config.log_every :]
                    self._log(writer, sum(recent) / len(recent), gradient_norm)
                if state.step % config.checkpoint_every == 0 or state.step == last_step:
                    self._validate(writer)
                    self._save()
                tell(state.step, losses)
        return losses

    def _step(self) -> tuple[float, float]:
        """One update; (loss, gradient norm)."""
        config, state = self.recipe.train, self.state
        batch = self.sampler.sample(state.step)
        draw = (config.seed, state.step)
        loss = self.objective.loss(state.network, batch, draw=draw, augment=True)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_clip)
        if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
            raise FeelforwardError(
                f"Training broke down at step {state.step}: loss {loss.item():g}, gradient norm "
                f"{norm.item():g}. Lower train.learning_rate (now {config.learning_rate:g}) and "
                f"resume; {self.out_dir / STATE} holds the last good state."
            )
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step)
        state.optimizer.step()
        state.ema.update(state.network, step=state.step)
        state.step += 1
        return loss.item(), norm.item()

    def _log(self, writer: SummaryWriter, loss: float, gradient_norm: float) -> None:
        step = self.state.step
        writer.add_scalar("loss/training", loss, step)
        writer.add_scalar("gradient_norm", gradient_norm, step)
        writer.add_scalar("learning_rate", learning_rate(self.recipe.train, step - 1), step)

    def _validate(self, writer: SummaryWriter) -> None:
        """Loss of the averaged weights on held-out episodes, always on the same draws."""
        if self.validation is None:
            return
        with torch.no_grad():
            losses = [
                self.objective.loss(
                    self.state.ema.network, self.validation.sample(i), draw=(0, i), augment=False
                ).item()
                for i in range(VALIDATION_BATCHES)
            ]
        self.validation_loss = sum(losses) / len(losses)
        writer.add_scalar("loss/validation", self.validation_loss, self.state.step)

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

    def _save(self) -> None:
        """The weights that run, then the state that resumes."""
        storage.write_text(self.folder / checkpoint.CARD, self._card())
        checkpoint.save_weights(self.folder, self.state.ema.network.state_dict())
        self.state.save(self.out_dir, self.recipe, self.sampler.description)

    def _card(self) -> str:
        train_config = self.recipe.train
        validation = f"{self.validation_loss:.4f}" if self.validation_loss is not None else "none"
        facts = {
            "data": self.sampler.description,
            "command": f"`{self.command}`" if self.command else "from Python",
            "seed": train_config.seed,
            "steps": f"{self.state.step} of {train_config.steps}, batch {train_config.batch_size}",
            "minutes": f"{self.state.seconds / 60:.1f} on {self.device.type}, "
            f"{train_config.threads} thread(s), torch {torch.__version__}",
            "parameters": f"{self.parameters:,}",
            "validation loss": validation,
        }
        lines = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
        return f"# Policy\n\n| | |\n|---|---|\n{lines}\n"


def _device(config: TrainConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise FeelforwardError('train.device = "cuda", but torch sees no GPU: set "cpu" or "auto".')
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _keep_freed_memory() -> None:
    """Tells glibc to keep what a step frees for the next one.

    Otherwise large tensors go back to the system, which clears their pages anew in every step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(option, value)


@contextmanager
def _progress(steps: int, done: int, *, shown: bool) -> Iterator:
    """Yields tell(step, losses), which moves the bar."""
    bar = rich.progress.Progress(
        rich.progress.TextColumn("training"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("loss {task.fields[loss]:.4f}"),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
        disable=not shown,
    )
    with bar:
        task = bar.add_task("", total=steps, completed=done, loss=math.nan)

        def tell(step: int, losses: list[float]) -> None:
            recent = losses[-50:]
            bar.update(task, completed=step, loss=sum(recent) / len(recent))

        yield tell
