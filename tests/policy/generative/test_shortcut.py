"""Shortcut models against the flow of a Gaussian, whose steps of any length are known."""

import pytest
import torch
from closed_forms import Distance, mixture, noise, seeded
from torch import Tensor, nn

from policy.generative.grids import uniform_grid
from policy.generative.losses import flow_matching_loss
from policy.generative.paths import CondOT
from policy.generative.samplers import solve
from policy.generative.shortcut import EVERY, draw_steps, shortcut_loss, told_step

MEAN, STD = 0.5, 0.3


def spread(t: Tensor) -> Tensor:
    return ((t * STD) ** 2 + (1 - t) ** 2).sqrt()


def exact(x: Tensor, t_B: Tensor, step_B: Tensor) -> Tensor:
    """The mean velocity of the Gaussian's flow over a step, its velocity for a step of 0."""
    t, step = t_B[:, None], step_B[:, None]
    velocity = MEAN + (t * STD**2 - (1 - t)) / spread(t) ** 2 * (x - t * MEAN)
    ahead = (t + step) * MEAN + spread(t + step) / spread(t) * (x - t * MEAN)
    return torch.where(step > 0, (ahead - x) / step.clamp_min(1e-9), velocity)


def test_the_exact_flow_pays_for_the_noise_in_its_data_only() -> None:
    """Nothing for long steps: they arrive where two half ones do."""
    n = 4000
    x_1, x_0 = MEAN + STD * noise(n, 1, seed=1), noise(n, 1, seed=2)
    t_B = torch.rand(n, generator=seeded(0), dtype=torch.float64)
    start_Q, step_Q = (each.double() for each in draw_steps(n // EVERY, generator=seeded(1)))
    keep = step_Q > 1 / 16  # two of the finest steps are told as velocities: nearly, not exactly
    step_Q, start_Q = torch.where(keep, step_Q, 1.0), torch.where(keep, start_Q, 0.0)
    steps = {"start_Q": start_Q, "step_Q": step_Q}
    loss = shortcut_loss(exact, exact, x_1, x_0, t_B, **steps)
    short = torch.arange(n) % EVERY > 0
    of_flow = flow_matching_loss(
        lambda x, t: exact(x, t, torch.zeros_like(t)),
        x_1[short],
        x_0[short],
        t_B[short],
        path=CondOT(),
    )
    torch.testing.assert_close(loss, of_flow * (1 - 1 / EVERY))


def test_a_wrong_long_step_costs() -> None:
    x_1, x_0 = MEAN + STD * noise(400, 1, seed=1), noise(400, 1, seed=2)
    t_B = torch.rand(400, generator=seeded(0), dtype=torch.float64)
    start_Q, step_Q = (each.double() for each in draw_steps(100, generator=seeded(1)))

    def velocity_only(x: Tensor, t_B: Tensor, step_B: Tensor) -> Tensor:
        return exact(x, t_B, torch.zeros_like(step_B))

    losses = [
        shortcut_loss(network, exact, x_1, x_0, t_B, start_Q=start_Q, step_Q=step_Q)
        for network in (exact, velocity_only)
    ]
    assert losses[1] > losses[0] + 0.003  # E (0.3 x)² for a whole step, in one of 20 examples


def test_what_long_steps_aim_at_is_held_fixed() -> None:
    gain = torch.ones((), dtype=torch.float64, requires_grad=True)
    x_1, x_0, t_B = noise(8, 1, seed=1), noise(8, 1, seed=2), torch.rand(8).double()

    def frozen(x: Tensor, t_B: Tensor, step_B: Tensor) -> Tensor:
        return gain.detach() * exact(x, t_B, step_B)

    def moving(x: Tensor, t_B: Tensor, step_B: Tensor) -> Tensor:
        return gain * exact(x, t_B, step_B)

    steps = {"start_Q": torch.zeros(2).double(), "step_Q": torch.ones(2).double()}
    gradients = []
    for quarter in (frozen, moving):
        loss = shortcut_loss(moving, quarter, x_1, x_0, t_B, **steps)
        gradients.append(torch.autograd.grad(loss, gain)[0])
    assert torch.equal(*gradients)


def test_long_steps_lie_on_their_grid_and_every_length_comes() -> None:
    start_Q, step_Q = draw_steps(2000, generator=seeded(0))
    assert (start_Q + step_Q <= 1).all()
    assert torch.equal((start_Q / step_Q).frac(), torch.zeros(2000))
    assert set((1 / step_Q).tolist()) == {1, 2, 4, 8, 16}
    assert told_step(torch.tensor([1 / 16, 1 / 32, 0.0])).tolist() == [1 / 16, 0, 0]


class Toy(nn.Module):
    """A small network of (x, t, step)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 6, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2)
        )

    def forward(self, x: Tensor, t_B: Tensor, step_B: Tensor) -> Tensor:
        clock = [t_B, step_B, *[f(k * t_B) for k in (3, 6) for f in (torch.sin, torch.cos)]]
        return self.layers(torch.cat([x, torch.stack(clock, -1)], -1))

    def sampled(self, steps: int, x: Tensor) -> Tensor:
        step = told_step(torch.tensor([1 / steps]))

        def field(x: Tensor, t: float) -> Tensor:
            ones = torch.ones(len(x))
            return self(x, t * ones, step * ones)

        with torch.no_grad():
            return solve(field, x, uniform_grid(steps), solver="euler")


def fitted(*, shortcut: bool, steps: int = 2500, batch: int = 512) -> Toy:
    torch.manual_seed(0)
    toy, generator = Toy(), seeded(0)
    optimizer = torch.optim.Adam(toy.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x_1 = mixture(2).sample(batch, generator=generator).float()
        x_0 = torch.randn(batch, 2, generator=generator)
        t_B = torch.rand(batch, generator=generator)
        if shortcut:
            start_Q, step_Q = draw_steps(batch // EVERY, generator=generator)
            loss = shortcut_loss(toy, toy, x_1, x_0, t_B, start_Q=start_Q, step_Q=step_Q)
        else:
            loss = flow_matching_loss(
                lambda x, t: toy(x, t, torch.zeros_like(t)), x_1, x_0, t_B, path=CondOT()
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return toy


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_and_two_steps_come_near_ten_of_the_plain_flow() -> None:
    """Sliced Wasserstein distance, in units of that between two fresh sets of 10,000."""
    there = Distance(mixture(2), parts=1)
    x = noise(there.samples, 2).float()
    plain, short = fitted(shortcut=False), fitted(shortcut=True)
    far = {f"plain {n}": there.ratio(plain.sampled(n, x)) for n in (1, 10)}
    far |= {f"short {n}": there.ratio(short.sampled(n, x)) for n in (1, 2)}
    assert far["short 1"] < 0.3 * far["plain 1"]
    assert far["short 1"] < 1.5 * far["plain 10"]
    assert far["short 2"] < 1.5 * far["plain 10"]
