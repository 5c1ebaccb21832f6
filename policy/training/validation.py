"""How good the averaged weights are on held-out episodes: their loss, and how far off their plans.

Legend: N windows, H rows, M rows of all windows, D width of a row. Units: mm and deg for tools,
else those of the data.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from policy.data.sampler import Batch
from policy.networks.network import PolicyNetwork
from policy.planning.inference import DiffusionPolicy
from policy.statistics import Sampler
from policy.training.objective import Objective
from robot_io.rows import quat_distance_rad

LOSS_BATCHES = 4
PLANS = 32  # windows that are planned for


@dataclass(frozen=True)
class Validation:
    """Always of the same windows and draws, so that two of one training can be compared."""

    loss: float
    action_error: Mapping[str, float]  # name with its unit -> mean over plans and rows

    def __str__(self) -> str:
        errors = ", ".join(f"{name} {value:.3g}" for name, value in self.action_error.items())
        return f"loss {self.loss:.4f}, action error: {errors}"

    def curves(self) -> dict[str, float]:
        errors = {f"action_error/{name}": value for name, value in self.action_error.items()}
        return {"loss/validation": self.loss, **errors}


@torch.no_grad()
def validate(objective: Objective, network: PolicyNetwork, sampler: Sampler) -> Validation:
    losses = [
        objective.loss(network, sampler.sample(i), draw=(0, i), augment=False).item()
        for i in range(LOSS_BATCHES)
    ]
    return Validation(
        loss=sum(losses) / len(losses),
        action_error=_plan_errors(objective, network, sampler.sample(0)),
    )


def _plan_errors(objective: Objective, network: PolicyNetwork, batch: Batch) -> dict[str, float]:
    """Plans as a robot would get them, through the same code, against what was shown."""
    config = objective.recipe.policy
    policy = DiffusionPolicy(
        config,
        objective.statistics,
        copy.deepcopy(network).to("cpu"),
        threads=objective.recipe.train.threads,
    )
    chosen = batch.evenly(PLANS)
    planned_NHD = np.stack([policy.plan(chosen.observation(i)) for i in range(len(chosen))])
    kept_NH = chosen.kept_BH
    if not objective.recipe.train.mask_padding:
        kept_NH = np.ones_like(kept_NH)
    shown_NHD = chosen.action_BHD
    return action_error(planned_NHD[kept_NH], shown_NHD[kept_NH], action=config.action)


def action_error(
    planned_MD: np.ndarray, shown_MD: np.ndarray, *, action: Literal["tool", "vector"]
) -> dict[str, float]:
    """Mean distances. Of vectors, of which we know no unit, the mean over their numbers."""
    off_MD = planned_MD - shown_MD
    if action == "vector":
        return {"mean_absolute": float(np.abs(off_MD).mean())}
    turned_rad = quat_distance_rad(planned_MD[..., 3:7], shown_MD[..., 3:7])
    return {
        "position_mm": 1000 * float(np.linalg.norm(off_MD[..., :3], axis=-1).mean()),
        "rotation_deg": float(np.degrees(turned_rad.mean())),
        "width_mm": 1000 * float(np.abs(off_MD[..., 7]).mean()),
    }
