"""Camera images are moved and recoloured, on the device that they are on."""

import pytest
import torch
from torch import Generator
from torch.nn import functional

from policy.data.share import Share
from policy.training.augment import colour_jitter, random_shift


def test_a_shift_moves_all_frames_of_an_example_alike_and_repeats_the_border() -> None:
    image = torch.arange(12 * 12, dtype=torch.uint8).view(1, 1, 12, 12, 1).repeat(5, 2, 1, 1, 3)
    shifted = random_shift(image, up_to_px=3, generator=Generator().manual_seed(0))
    assert shifted.dtype == torch.uint8
    assert torch.equal(shifted[:, 0], shifted[:, 1])
    padded = functional.pad(image[:, 0].float().permute(0, 3, 1, 2), (3,) * 4, mode="replicate")
    for i in range(5):
        windows = padded[i, 0].unfold(0, 12, 1).unfold(1, 12, 1).flatten(0, 1)
        assert (windows == shifted[i, 0, :, :, 0]).all(-1).all(-1).any()


def test_colours_change_by_no_more_than_asked() -> None:
    image = torch.full((200, 1, 4, 4, 3), 128, dtype=torch.uint8)
    changed = colour_jitter(image, strength=0.1, generator=Generator().manual_seed(0))
    assert 0.34 <= changed.min() < 0.40
    assert 0.60 < changed.max() <= 0.66


def test_each_example_has_a_change_of_its_own() -> None:
    image = torch.rand(1, 1, 12, 12, 3).mul(255).byte().repeat(20, 1, 1, 1, 1)
    shifted = random_shift(image, up_to_px=3, generator=Generator().manual_seed(0))
    assert len(torch.unique(shifted, dim=0)) > 10
    changed = colour_jitter(image, strength=0.1, generator=Generator().manual_seed(0))
    assert len(torch.unique(changed, dim=0)) == 20


def test_the_parts_of_a_batch_are_changed_as_the_whole_of_it() -> None:
    image = torch.randint(0, 256, (6, 2, 12, 12, 3), dtype=torch.uint8)
    whole = random_shift(image, up_to_px=3, generator=Generator().manual_seed(0))
    parts = [
        random_shift(
            image[share.rows(6)], up_to_px=3, generator=Generator().manual_seed(0), share=share
        )
        for share in (Share(0, 2), Share(1, 2))
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_images_are_changed_where_they_are() -> None:
    image = torch.empty(4, 1, 12, 12, 3, dtype=torch.uint8, device="meta")
    shifted = random_shift(image, up_to_px=3, generator=Generator())
    changed = colour_jitter(shifted, strength=0.1, generator=Generator())
    assert shifted.device == changed.device == image.device
    assert shifted.shape == changed.shape == image.shape


@pytest.mark.gpu
def test_a_gpu_gives_the_same_images() -> None:
    image = torch.randint(0, 256, (64, 2, 96, 96, 3), dtype=torch.uint8)
    shifted = [
        random_shift(image.to(device), up_to_px=4, generator=Generator().manual_seed(0))
        for device in ("cpu", "cuda")
    ]
    assert torch.equal(shifted[0], shifted[1].cpu())
    changed = [
        colour_jitter(each, strength=0.1, generator=Generator().manual_seed(0)) for each in shifted
    ]
    torch.testing.assert_close(changed[0], changed[1].cpu())
