"""Each way of joining chunks against its formula, on small networks in double precision."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from policy_toy import random_rows
from torch import Tensor, nn

from policy.generative.diffusion_samplers import dpm_solver
from policy.generative.paths import (
    CondOT,
    Polynomial,
    VarianceExploding,
    VariancePreservingCosine,
    coefficients,
)
from policy.generative.predictions import PREDICTIONS, Prediction, converted
from policy.generative.samplers import grid_for, solve
from policy.planning.ensemble import Ensemble
from policy.planning.given_rows import continuing
from policy.planning.joining import Target, guidance, guided, most_coherent, soft_mask
from robot_io.rows import ToolRows, VectorRows, quat_from_rotvec, quat_multiply

H, A, K, D = 6, 2, 4, 2
STEP_NS = 100_000_000
Net = Callable[[Tensor, float], Tensor]


def small_network(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(H * A + 1, 16), nn.Tanh(), nn.Linear(16, H * A)).double()

    def network(x: Tensor, t: float) -> Tensor:
        flat = torch.cat([x.flatten(1), torch.full((len(x), 1), t, dtype=x.dtype)], 1)
        return layers(flat).view_as(x)

    return network


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TARGET = Target.of(draw(1, K, A), delay=D, horizon=H)


def test_the_mask_is_one_while_executed_then_falls_as_the_paper_says_then_zero() -> None:
    weight_H = soft_mask(H, kept=K, delay=D)
    for i in range(H):
        c = (K - i) / (K - D + 1)  # H - s = K
        expected = 1.0 if i < D else c * (math.exp(c) - 1) / (math.e - 1) if i < K else 0.0
        assert weight_H[i].item() == pytest.approx(expected, abs=1e-15)
    assert soft_mask(H, kept=0, delay=0).sum() == 0


@pytest.mark.parametrize(("kept", "delay"), [(7, 0), (2, 3), (2, -1)])
def test_a_mask_that_cannot_be_meant_is_refused(kept: int, delay: int) -> None:
    with pytest.raises(ValueError, match="allowed 0 <= delay <= kept <= 6"):
        soft_mask(H, kept=kept, delay=delay)


@pytest.mark.parametrize("t", [0.1, 0.3, 0.5, 0.8])
def test_the_guidance_is_that_of_the_paper_on_the_straight_path(t: float) -> None:
    r_square = (1 - t) ** 2 / (t**2 + (1 - t) ** 2)
    expected = min(5.0, (1 - t) / (t * r_square))
    assert guidance(CondOT(), t, most=5.0) == pytest.approx(expected)


def test_the_guidance_is_clipped_at_both_ends_and_never_divides_by_zero() -> None:
    assert guidance(CondOT(), 0.0, most=5.0) == guidance(CondOT(), 1.0, most=5.0) == 5.0


@pytest.mark.parametrize("path", [VariancePreservingCosine(), VarianceExploding()])
def test_every_path_is_guided_along_the_same_course(path) -> None:
    """Where its noise is as strong, beside its data and per speed, the guidance is the same."""
    at = coefficients(path, 0.4, torch.zeros((), dtype=torch.float64))
    same_t = (at.alpha / (at.alpha + at.beta)).item()
    speed = (at.d_alpha * at.beta - at.d_beta * at.alpha).item()
    expected = speed * guidance(CondOT(), same_t, most=5.0)
    assert guidance(path, 0.4, most=5.0) == pytest.approx(expected)


@pytest.mark.parametrize("path", [VariancePreservingCosine(), Polynomial(2.0)])
def test_on_other_paths_it_is_the_weight_of_the_score_over_r_square(path) -> None:
    t = torch.tensor(0.4, dtype=torch.float64)
    a, b, da, db = path.alpha(t), path.beta(t), path.d_alpha(t), path.d_beta(t)
    r_square = b**2 / (a**2 + b**2)
    expected = b**2 * (da / a - db / b) / r_square
    assert guidance(path, 0.4, most=1e9) == pytest.approx(expected.item())


@pytest.mark.parametrize("prediction", ["velocity", "noise", "data"])
def test_the_pull_goes_through_the_network_as_finite_differences_say(
    prediction: Prediction,
) -> None:
    network, x, t = small_network(), draw(2, 1, H, A), 0.4
    data = converted(network, path=CondOT(), source=prediction, target="data")
    error = TARGET.weight_H1 * (TARGET.action_HA - data(x, t))
    numeric = torch.zeros_like(x)
    for i in range(H):
        for j in range(A):
            e = torch.zeros_like(x)
            e[0, i, j] = 1e-6
            numeric[0, i, j] = (error * (data(x + e, t) - data(x - e, t))).sum() / 2e-6
    with_pull = guided(network, TARGET, prediction=prediction)(x, t)
    free = converted(network, path=CondOT(), source=prediction, target="velocity")(x, t)
    pull = (with_pull - free) / guidance(CondOT(), t, most=5.0)
    torch.testing.assert_close(pull, numeric, rtol=1e-6, atol=1e-8)
    cut = error  # what is left when ∂Â/∂x is taken for the identity
    assert (pull - cut).abs().max() > 0.05


def test_one_step_is_the_papers_update() -> None:
    network, x, n = small_network(), draw(3, 1, H, A), 5
    t = 2 / n
    variable = x.clone().requires_grad_(True)
    value = network(variable, t)
    guess = variable + (1 - t) * value
    error = (TARGET.weight_H1 * (TARGET.action_HA - guess)).detach()
    (g,) = torch.autograd.grad(guess, variable, error)
    r_square = (1 - t) ** 2 / (t**2 + (1 - t) ** 2)
    expected = x + (value.detach() + min(5.0, (1 - t) / (t * r_square)) * g) / n
    step = solve(guided(network, TARGET), x, (t, t + 1 / n), solver="euler")
    torch.testing.assert_close(step, expected)


def test_all_predictions_of_one_truth_are_guided_alike() -> None:
    velocity, x, t = small_network(), draw(4, 1, H, A), 0.6
    steps = [
        guided(
            converted(velocity, path=CondOT(), source="velocity", target=prediction),
            TARGET,
            prediction=prediction,
        )(x, t)
        for prediction in PREDICTIONS
    ]
    for step in steps[1:]:
        torch.testing.assert_close(step, steps[0])


def test_a_guided_chunk_continues_the_leftover_and_an_unguided_one_does_not() -> None:
    """Gaussian chunks whose rows hang together: the exact velocity, in closed form."""
    row_H = torch.arange(H, dtype=torch.float64)
    covariance = torch.exp(-((row_H[:, None] - row_H) ** 2) / 8) + 1e-4 * torch.eye(H)

    def velocity(x: Tensor, t: float) -> Tensor:
        mixed = t**2 * covariance + (1 - t) ** 2 * torch.eye(H)
        slope = (t * covariance - (1 - t) * torch.eye(H)) @ torch.linalg.inv(mixed)
        return slope @ x

    noise, grid = draw(5, 200, H, A), grid_for(40, solver="midpoint")
    leftover_KA = torch.linalg.cholesky(covariance)[:K, :K] @ draw(6, K, A)
    target = Target.of(leftover_KA, delay=D, horizon=H)
    off = {}
    for name, field in (("free", velocity), ("guided", guided(velocity, target))):
        chunk_NHA = solve(field, noise, grid, solver="midpoint")
        off[name] = (chunk_NHA[:, :D] - leftover_KA[:D]).square().mean().sqrt()
        seam = (chunk_NHA[:, D] - leftover_KA[D]).square().mean().sqrt()
        off[f"{name} behind"] = seam
    assert off["guided"] < 0.2 * off["free"]
    assert off["guided behind"] < 0.5 * off["free behind"]


def test_given_rows_lie_still_and_the_network_sees_them_clean() -> None:
    seen = []

    def network(x: Tensor, t: float) -> Tensor:
        seen.append(x)
        return torch.ones_like(x)

    noise = draw(7, 1, H, A)
    field, start = continuing(network, TARGET.given), TARGET.given.in_place(noise)
    chunk = solve(field, start, (0.0, 0.5, 1.0), solver="euler")
    torch.testing.assert_close(chunk[0, :D], TARGET.action_HA[:D], rtol=0, atol=0)
    torch.testing.assert_close(chunk[0, D:], noise[0, D:] + 1)
    for x in seen:
        assert torch.equal(x[0, :D], TARGET.action_HA[:D])


def test_a_network_that_tells_data_sees_given_rows_clean_though_the_sampler_moves_them() -> None:
    seen = []

    def network(x: Tensor, t: float) -> Tensor:
        seen.append(x)
        return torch.ones_like(x)

    field = continuing(network, TARGET.given, tells="data")
    chunk = dpm_solver(field, draw(7, 1, H, A), (0.0, 0.5, 1.0), path=CondOT())
    torch.testing.assert_close(chunk[0, :D], TARGET.action_HA[:D])
    torch.testing.assert_close(chunk[0, D:], torch.ones(H - D, A, dtype=torch.float64))
    for x in seen:
        assert torch.equal(x[0, :D], TARGET.action_HA[:D])


def test_given_rows_are_at_time_one_and_the_others_where_the_chunk_is() -> None:
    assert TARGET.given.row_time(0.3).flatten().tolist() == pytest.approx(
        [1.0] * D + [0.3] * (H - D)
    )


def test_bidirectional_decoding_takes_the_candidate_of_least_loss() -> None:
    decay = 0.5

    def back(a: Tensor) -> float:
        weighted = [decay**k * (a[k] - TARGET.action_HA[k]).norm().item() for k in range(K)]
        return sum(weighted) / sum(decay**k for k in range(K))

    def apart(a: Tensor, others: list[Tensor]) -> float:
        return float(np.mean([(a[h] - b[h]).norm().item() for h in range(H) for b in others]))

    strong, weak = draw(8, 6, H, A), draw(9, 4, H, A)
    nearer, weak_nearer = sorted(strong, key=back)[:3], sorted(weak, key=back)[:2]
    losses = [back(a) + apart(a, nearer) - apart(a, weak_nearer) for a in nearer]
    chosen = most_coherent(strong, weak, TARGET, decay=decay)
    assert torch.equal(chosen, nearer[int(np.argmin(losses))])


def test_bidirectional_decoding_keeps_the_mode_of_the_old_plan() -> None:
    left, right = torch.full((4, H, A), -1.0), torch.full((4, H, A), 1.0)
    both = torch.cat([left, right]) + 0.1 * draw(10, 8, H, A).float()
    for side in (-1.0, 1.0):
        target = Target.of(torch.full((K, A), side), delay=D, horizon=H)
        assert most_coherent(both, both, target)[0, 0].sign() == side


def test_an_ensemble_averages_what_was_meant_for_the_same_instant() -> None:
    ensemble = Ensemble(VectorRows(1), step_ns=STEP_NS, decay=0.5)
    first, second = np.arange(4.0)[:, None], 10 + np.arange(4.0)[:, None]
    np.testing.assert_array_equal(ensemble.add(0, first), first)
    mean = ensemble.add(2 * STEP_NS, second)
    old, new = 1.0, math.exp(-0.5)  # the older counts more (ACT)
    for h in range(2):
        expected = (old * first[h + 2] + new * second[h]) / (old + new)
        np.testing.assert_allclose(mean[h], expected)
    np.testing.assert_allclose(mean[2:], second[2:])
    ensemble.reset()
    np.testing.assert_array_equal(ensemble.add(0, first), first)


def test_an_ensemble_averages_rotations_as_rotations() -> None:
    row_8 = random_rows(np.random.default_rng(0), ())
    turn_3 = np.array([0.0, 0.0, 1.2])
    plans = []
    for sign in (-1, 1):
        turned_8 = row_8.copy()
        turned_8[3:7] = sign * quat_multiply(quat_from_rotvec(sign * turn_3), row_8[3:7])
        plans.append(np.stack([turned_8] * 3))
    ensemble = Ensemble(ToolRows(), step_ns=STEP_NS, decay=0.0)
    ensemble.add(0, plans[0])
    mean_8 = ensemble.add(0, plans[1])[0]
    _, off_rad = ToolRows().distance(row_8, mean_8)
    assert off_rad < 1e-9
    assert np.linalg.norm(mean_8[3:7]) == pytest.approx(1)
