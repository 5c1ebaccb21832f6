"""A small training that a launcher may run in several processes: `shared_training.py OUT [STEP]`.

Everything that is drawn at random is in it: images that are shifted and recoloured, hidden pasts,
given rows, several draws of noise.
"""

import sys
from pathlib import Path

from policy_toy import ToolSampler, tool_config

from policy import statistics
from policy.config import Recipe, TrainConfig
from policy.training.processes import Processes
from policy.training.train import TrainResult, train

BATCH = 8


def recipe(**changes: object) -> Recipe:
    config = tool_config(images=True).model_copy(update={"given_rows": 5})
    schedule = {
        "steps": 6,
        "batch_size": BATCH,
        "warmup_steps": 2,
        "history_dropout": 0.4,
        "noise_draws": 2,
        "checkpoint_every": 2,
        "log_every": 2,
        "device": "cpu",
    }
    return Recipe(policy=config, train=TrainConfig(**schedule | changes))


def run(out_dir: Path, *, until_step: int | None = None, **changes: object) -> TrainResult:
    statistics.FITTED_WINDOWS, statistics.CALIBRATION_WINDOWS = 64, 16
    chosen = recipe(**changes)
    with Processes(chosen.train) as processes:
        return train(
            chosen,
            ToolSampler(chosen.policy, batch_size=BATCH),
            out_dir,
            validation=ToolSampler(chosen.policy, batch_size=BATCH, seed=1),
            resume=(out_dir / "state.safetensors").exists(),
            until_step=until_step,
            progress=False,
            processes=processes,
        )


if __name__ == "__main__":
    run(Path(sys.argv[1]), until_step=int(sys.argv[2]) if len(sys.argv) > 2 else None)
