"""DDPM, DDIM and DPM-Solver++ against the schedulers of `diffusers`, to 1e-5.

The same network (best noise prediction for a mixture), noise and schedule. The schedulers get their
ᾱ in double precision: in their own single precision that of level 99 is off by 1.3e-5 of itself.
"""

from collections.abc import Callable

import pytest
import torch
from closed_forms import best, mixture, noise, seeded
from torch import Tensor

from policy.generative.diffusion_samplers import ddim, ddpm, dpm_solver
from policy.generative.discrete_time import DiscreteTime, alphas_cumprod
from policy.generative.grids import level_grid
from policy.generative.predictions import converted

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")

SCHEDULES = ("squaredcos_cap_v2", "linear")
X = noise(64, 16)


def times_of(path: DiscreteTime, scheduler) -> tuple[float, ...]:
    return (*[path.time(int(level)) for level in scheduler.timesteps], 1.0)


def make(kind: str, schedule: str, *, steps: int, **options):
    """A scheduler of `diffusers` at work in double precision."""
    scheduler = getattr(diffusers, kind)(num_train_timesteps=100, beta_schedule=schedule, **options)
    scheduler.set_timesteps(steps)
    kept = alphas_cumprod(schedule)
    scheduler.alphas_cumprod, scheduler.one = kept, kept.new_ones(())
    scheduler.final_alpha_cumprod = scheduler.one
    if kind == "DPMSolverMultistepScheduler":
        at = kept[scheduler.timesteps]
        scheduler.sigmas = torch.cat([((1 - at) / at).sqrt(), at.new_zeros(1)])
    return scheduler


def theirs(scheduler, network: Callable, path: DiscreteTime, **options) -> Tensor:
    x = X
    for level in scheduler.timesteps:
        value = network(x, path.time(int(level)))
        x = scheduler.step(value, level, x, **options).prev_sample
    return x


def parts(schedule: str, *, clip: bool) -> tuple[DiscreteTime, Callable, Callable]:
    path = DiscreteTime(alphas_cumprod(schedule))
    network = best(mixture(16), path, "noise")
    data = converted(network, path=path, source="noise", target="data")
    return path, network, (lambda x, t: data(x, t).clamp(-1, 1)) if clip else data


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_noise_levels_are_the_same(schedule: str) -> None:
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=100, beta_schedule=schedule)
    torch.testing.assert_close(
        scheduler.alphas_cumprod.double(), alphas_cumprod(schedule), rtol=2e-5, atol=2e-7
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("clip", [False, True])
def test_ddpm_is_the_same(schedule: str, clip: bool) -> None:
    path, network, data = parts(schedule, clip=clip)
    scheduler = make("DDPMScheduler", schedule, steps=100, clip_sample=clip)
    expected = theirs(scheduler, network, path, generator=seeded(8))
    mine = ddpm(data, X, times_of(path, scheduler), path=path, generator=seeded(8))
    torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_the_same(schedule: str, clip: bool, spacing: str, eta: float) -> None:
    path, network, data = parts(schedule, clip=clip)
    scheduler = make(
        "DDIMScheduler", schedule, steps=10, clip_sample=clip, timestep_spacing=spacing
    )
    options = {"eta": eta, "use_clipped_model_output": True}
    expected = theirs(scheduler, network, path, generator=seeded(8), **options)
    times = level_grid(10, levels=100, spacing=spacing)
    assert times == pytest.approx(times_of(path, scheduler))
    mine = ddim(data, X, times, path=path, eta=eta, generator=seeded(8))
    torch.testing.assert_close(mine, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_dpm_solver_is_the_same(schedule: str, spacing: str, steps: int) -> None:
    path, network, data = parts(schedule, clip=False)
    scheduler = make("DPMSolverMultistepScheduler", schedule, steps=steps, timestep_spacing=spacing)
    expected = theirs(scheduler, network, path)
    mine = dpm_solver(data, X, times_of(path, scheduler), path=path)
    torch.testing.assert_close(mine.to(expected), expected, rtol=0, atol=1e-5)
