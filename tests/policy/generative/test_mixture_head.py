"""A told mixture against torch's own, and what is drawn from it."""

import pytest
import torch
from torch import Tensor, distributions

from policy.generative.mixture_head import (
    COMPONENTS,
    SHARED,
    SMALLEST_STD,
    MixtureHead,
    outputs,
)

B, H, A = 3, 4, 2


def told(value_BHO: Tensor, **around: Tensor | float) -> MixtureHead:
    return MixtureHead.told(value_BHO, **{"offset": 0.0, "scale": 1.0, **around})


def values(seed: int = 0) -> Tensor:
    return torch.randn(B, H, outputs(A), generator=torch.Generator().manual_seed(seed)).double()


def test_the_loss_is_that_of_a_mixture_over_whole_chunks() -> None:
    head, z_BHA = told(values()), torch.randn(B, H, A).double()
    each = distributions.Independent(distributions.Normal(head.mean_BKHA, head.std_BKHA), 2)
    weights = distributions.Categorical(logits=head.logit_BK)
    whole = distributions.MixtureSameFamily(weights, each)
    log_BK = each.log_prob(z_BHA[:, None]) + weights.logits
    log_B = (1 - SHARED) * whole.log_prob(z_BHA) + SHARED * log_BK.mean(-1)
    torch.testing.assert_close(head.loss(z_BHA), -log_B.mean() / (H * A))


def test_rows_that_are_not_kept_do_not_count() -> None:
    head, z_BHA = told(values()), torch.randn(B, H, A).double()
    kept_BH1 = torch.tensor([True, False, True, True])[None, :, None].expand(B, -1, 1)
    other_BHA = torch.where(kept_BH1, z_BHA, 100.0)
    loss, other = (head.loss(each, kept_BH1=kept_BH1) for each in (z_BHA, other_BHA))
    assert torch.equal(loss, other) and not torch.equal(loss, head.loss(z_BHA))


def test_a_component_is_drawn_by_its_weight_and_gives_its_middle() -> None:
    head = told(values()[:1])
    many = MixtureHead(
        head.logit_BK.expand(4000, -1),
        head.mean_BKHA.expand(4000, -1, -1, -1),
        head.std_BKHA.expand(4000, -1, -1, -1),
    )
    chunk_NHA = many.draw(torch.Generator().manual_seed(0))
    off_NK = (chunk_NHA[:, None] - head.mean_BKHA).abs().amax((-2, -1))
    assert off_NK.amin(-1).max() == 0
    share_K = torch.bincount(off_NK.argmin(-1), minlength=COMPONENTS) / len(off_NK)
    assert head.logit_BK[0].softmax(-1).min() > 0.01, "all of them have learnt something"
    torch.testing.assert_close(share_K.double(), head.logit_BK[0].softmax(-1), atol=0.03, rtol=0)


def test_what_explains_nothing_is_not_drawn() -> None:
    """The loss gives each component a weight, of SHARED / COMPONENTS where it is no use."""
    weight_K = torch.full((COMPONENTS,), SHARED / COMPONENTS)
    weight_K[0] = 1 - SHARED + SHARED / COMPONENTS
    mean_K = torch.arange(COMPONENTS, dtype=torch.float32)
    mean_BKHA = mean_K[:, None, None].expand(4000, -1, H, A)
    head = MixtureHead(weight_K.log().expand(4000, -1), mean_BKHA, torch.ones_like(mean_BKHA))
    assert (head.draw(torch.Generator().manual_seed(0)) == 0).all()


def test_around_a_guess_it_is_the_same_mixture_moved_and_scaled() -> None:
    plain = told(values())
    offset, scale = torch.randn(B, H, A).double(), 0.5 + torch.rand(B, H, A).double()
    moved = told(values(), offset=offset, scale=scale)
    torch.testing.assert_close(moved.mean_BKHA, offset[:, None] + scale[:, None] * plain.mean_BKHA)
    spread = scale[:, None] * (plain.std_BKHA - SMALLEST_STD)
    torch.testing.assert_close(moved.std_BKHA, SMALLEST_STD + spread)
    assert torch.equal(moved.logit_BK, plain.logit_BK)


@pytest.mark.parametrize("luck", ["chance", "one in the middle"])
def test_by_its_loss_it_finds_two_modes_where_a_mean_finds_the_middle(luck: str) -> None:
    """Data: all rows +0.8 or all -0.8, one in four up. The mean is -0.4.

    A component that begins in the middle is nearest to all, and the others far from any.
    """
    side_B = torch.where(torch.arange(40) % 4 == 0, 0.8, -0.8)
    data_BHA = side_B[:, None, None].expand(-1, H, A)
    torch.manual_seed(0)
    value_HO = 0.5 * torch.randn(H, outputs(A))
    if luck == "one in the middle":
        value_HO.zero_()
        value_HO.unflatten(-1, (COMPONENTS, -1))[:, 1:, :A] = torch.tensor([3.0, -3.0])
    value_HO.requires_grad_()
    optimizer = torch.optim.Adam([value_HO], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        told(value_HO.expand(40, -1, -1)).loss(data_BHA).backward()
        optimizer.step()
    with torch.no_grad():
        chunk_NHA = told(value_HO.expand(400, -1, -1)).draw(torch.Generator().manual_seed(0))
    # what all learn of each example pulls a mode towards the others, by 0.06 here
    torch.testing.assert_close(chunk_NHA.abs(), torch.full_like(chunk_NHA, 0.8), atol=0.1, rtol=0)
    assert (chunk_NHA[:, 0, 0] > 0).double().mean().item() == pytest.approx(0.25, abs=0.06)
