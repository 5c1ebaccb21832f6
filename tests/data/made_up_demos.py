"""Small made-up demonstrations."""

from pathlib import Path

import numpy as np

from policy.data import LeRobotWriter

Episode = dict[str, dict[str, np.ndarray]]


def make_episode(length: int, seed: int) -> Episode:
    """Streams of one episode; `action` counts 1000 * seed + row, so that windows can be checked."""
    generator = np.random.default_rng(seed)
    count = 1000.0 * seed + np.arange(length)
    return {
        "vectors": {
            "measured": generator.normal(size=(length, 3)).astype(np.float32),
            "action": np.stack([count, -count], 1).astype(np.float32),
        },
        "images": {
            "wrist": generator.integers(0, 256, (length, 12, 16, 3), np.uint8),
            "tactile_left": generator.integers(0, 256, (length, 8, 8, 3), np.uint8),
        },
        "stamps": {"row": 100_000_000 * np.arange(length) + generator.integers(0, 1000, length)},
    }


def write_dataset(directory: Path, lengths: list[int]) -> list[Episode]:
    writer = LeRobotWriter(directory, fps=10, robot_type="sim")
    episodes = [make_episode(length, seed) for seed, length in enumerate(lengths)]
    for seed, episode in enumerate(episodes):
        extra = {"seed": seed, "success": seed % 2 == 0, "reason": "tight"}
        writer.save_episode(**episode, task="Tighten the cap.", extra=extra)
    return episodes
