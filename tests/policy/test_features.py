"""What the network sees: round trips, frames, and the command offset that is the force."""

import numpy as np
import pytest
import torch
from policy_toy import random_rows, tool_config

from policy.features import make_features
from policy.normalizer import Normalizer
from policy.rotations import multiply, rotate


def rows(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(random_rows(np.random.default_rng(seed), shape))


def moved(row: torch.Tensor, seed: int) -> torch.Tensor:
    """The same rows seen from another base frame."""
    by = rows((1,), seed)[0]
    position = by[:3] + rotate(by[3:7].expand_as(row[..., 3:7]), row[..., :3])
    quat = multiply(by[3:7].expand_as(row[..., 3:7]), row[..., 3:7])
    return torch.cat([position, quat, row[..., 7:]], -1)


@pytest.mark.parametrize("horizon", [16, 32])
def test_rows_come_back_from_the_tool_frame(horizon: int) -> None:
    features = make_features(tool_config(horizon=horizon))
    streams = {"measured": rows((4, 8)), "commanded": rows((4, 8), 1)}
    plan = rows((4, horizon), 2)
    back = features.decode(streams, features.encode(streams, plan))
    torch.testing.assert_close(back[..., :3], plan[..., :3])
    torch.testing.assert_close(back[..., 7], plan[..., 7])
    overlap = (back[..., 3:7] * plan[..., 3:7]).sum(-1).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap))


def test_planned_quaternions_stay_on_the_side_of_the_measured_one() -> None:
    features = make_features(tool_config())
    streams = {"measured": rows((4, 8)), "commanded": rows((4, 8), 1)}
    plan = features.decode(streams, features.encode(streams, rows((4, 16), 2)))
    assert ((plan[..., 3:7] * streams["measured"][:, -1:, 3:7]).sum(-1) >= 0).all()


def test_actions_do_not_depend_on_where_the_base_stands() -> None:
    features = make_features(tool_config())
    measured, plan = rows((4, 8)), rows((4, 16), 2)
    here = features.encode({"measured": measured}, plan)
    there = features.encode({"measured": moved(measured, 7)}, moved(plan, 7))
    torch.testing.assert_close(here, there)


def test_the_sign_of_a_quaternion_is_not_seen() -> None:
    features = make_features(tool_config())
    streams = {"measured": rows((4, 8)), "commanded": rows((4, 8), 1)}
    flipped = {name: x.clone() for name, x in streams.items()}
    for x in flipped.values():
        x[:, ::2, 3:7] *= -1
    torch.testing.assert_close(features.observation(streams), features.observation(flipped))


def test_the_command_offset_is_taken_in_the_tool_frame_of_its_own_step() -> None:
    """Every command 3 mm ahead of the measurement along the tool's own z: so say all steps."""
    features = make_features(tool_config())
    measured = rows((2, 8))
    ahead = torch.tensor([0.0, 0.0, 0.003], dtype=torch.float64)
    commanded = measured.clone()
    commanded[..., :3] += rotate(measured[..., 3:7], ahead.expand(2, 8, 3))
    commanded[..., 7] -= 0.002
    seen = features.observation({"measured": measured, "commanded": commanded})
    offset = seen[:, -8 * 7 :].view(2, 8, 7)
    expected = torch.tensor([0, 0, 0.003, 0, 0, 0, -0.002], dtype=torch.float64)
    torch.testing.assert_close(offset, expected.expand(2, 8, 7))


def test_the_blind_recipe_sees_one_pose_only() -> None:
    features = make_features(tool_config(touch=False))
    assert features.observation({"measured": rows((3, 1))}).shape == (3, 10)


def test_normalised_numbers_come_back() -> None:
    x = rows((500, 16), 4)
    for normalizer in (Normalizer.standard(x), Normalizer.min_max(x)):
        torch.testing.assert_close(
            normalizer.restore(normalizer.normalize(x)), x, atol=1e-6, rtol=0
        )


def test_min_max_fills_the_range_and_leaves_constants_alone() -> None:
    x = torch.tensor([[0.0, 5.0], [10.0, 5.0]], dtype=torch.float64)
    assert Normalizer.min_max(x).normalize(x).tolist() == [[-1, 0], [1, 0]]


def test_nothing_leaves_the_range_of_the_data() -> None:
    x = rows((500, 16), 4)
    normalizer = Normalizer.standard(x)
    wild = normalizer.restore(100 * torch.randn(50, 16, 8))
    assert (wild >= x.amin(0)).all()
    assert (wild <= x.amax(0)).all()


def test_statistics_with_nan_are_refused() -> None:
    content = Normalizer.standard(rows((50, 16))).to_json()
    content["scale"][0][0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        Normalizer.from_json(content)
