"""Demonstrations of Push-T that nobody gave, and a recipe that learns of them in no time."""

from pathlib import Path

import numpy as np

from policy.data import LeRobotWriter

QUICK = """
[policy]
action = "vector"
vectors = [{ name = "keypoint" }, { name = "agent" }]
sampling = { evaluations = 2 }
network = { kind = "mlp", widths = [64], embedding = 32 }
[train]
batch_size = 16
warmup_steps = 1
device = "cpu"
checkpoint_every = 4
"""


def write_demonstrations(directory: Path, *, episodes: int, rows: int) -> Path:
    """An agent that drifts over Push-T's field."""
    writer = LeRobotWriter(directory, fps=10, robot_type="sim")
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        agent = (256 + np.cumsum(rng.normal(0, 3, (rows, 2)), 0)).astype(np.float32)
        writer.save_episode(
            vectors={
                "agent": agent,
                "keypoint": np.tile(agent, 9),
                "action": agent + np.float32(1),
            },
            images={},
            stamps={"row": 100_000_000 * np.arange(rows)},
            task="Push.",
        )
    return directory
