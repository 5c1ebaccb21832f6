"""Step grids: rising to 1, spaced as their names say."""

from itertools import pairwise

import pytest
import torch
from closed_forms import PATHS

from policy.generative.grids import cosine_grid, karras_grid, level_grid, power_grid, uniform_grid


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_every_grid_rises_from_its_start_to_the_data(steps: int) -> None:
    path = PATHS["condot"]
    grids = {
        uniform_grid(steps): 0,
        uniform_grid(steps, start=0.4): 0.4,
        cosine_grid(steps, start=0.4): 0.4,
        power_grid(steps, power=3, start=0.4): 0.4,
        karras_grid(steps, path=path): 1 / 81,
        level_grid(steps, levels=100, spacing="trailing"): 0,
    }
    for times, start in grids.items():
        assert len(times) == steps + 1
        assert times[0] == pytest.approx(start)
        assert times[-1] == 1
        assert all(a < b for a, b in pairwise(times))


def test_the_cosine_grid_is_fine_at_both_ends() -> None:
    assert cosine_grid(4) == pytest.approx((0, 0.1464466, 0.5, 0.8535534, 1))


def test_power_grids_shorten_their_steps_towards_the_data() -> None:
    assert power_grid(4, power=2) == pytest.approx((0, 0.4375, 0.75, 0.9375, 1))
    assert power_grid(2, power=3) == pytest.approx((0, 0.875, 1))
    assert power_grid(5, power=1) == pytest.approx(uniform_grid(5))


@pytest.mark.parametrize("name", ["condot", "cosine", "exploding"])
def test_the_karras_grid_is_even_in_the_root_of_sigma(name: str) -> None:
    path = PATHS[name]
    times = karras_grid(8, path=path, sigma_first=20, sigma_last=0.01)
    t = torch.tensor(times[:-1], dtype=torch.float64)
    sigma = path.beta(t) / path.alpha(t)
    assert (sigma[0].item(), sigma[-1].item()) == pytest.approx((20, 0.01), rel=1e-6)
    gaps = torch.diff(sigma ** (1 / 7))
    torch.testing.assert_close(gaps, gaps[:1].expand(7), rtol=1e-5, atol=0)


def test_level_grids_go_through_the_levels_that_diffusers_names() -> None:
    path = PATHS["ddpm"]
    for spacing, levels in (("trailing", [99, 74, 49, 24]), ("leading", [75, 50, 25, 0])):
        times = level_grid(4, levels=100, spacing=spacing)
        assert [path.level(t) for t in times] == [*levels, -1]


def test_impossible_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="steps = 0"):
        uniform_grid(0)
    with pytest.raises(ValueError, match="start = nan"):
        uniform_grid(3, start=float("nan"))
    with pytest.raises(ValueError, match="steps = 101"):
        level_grid(101, levels=100, spacing="leading")
    with pytest.raises(ValueError, match="sigma_last"):
        karras_grid(5, path=PATHS["exploding"], sigma_last=0.001)
