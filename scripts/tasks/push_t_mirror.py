"""The demonstrations of Push-T in a mirror: twice as many, since its field is symmetric."""

from pathlib import Path

import numpy as np
from rich.progress import track

from policy.data import DemoDataset, LeRobotWriter, layout, open_dataset
from policy.data.zarr_import import PUSH_T_TASK
from robot_io.errors import FeelforwardError
from sim.pusht_field import mirrored, mirrored_image, mirrored_keypoints

MIRRORS = {
    "keypoint": mirrored_keypoints,
    "agent": mirrored,
    "action": mirrored,
    "scene": mirrored_image,
}


def mirror_push_t(source: Path, out: Path) -> int:
    """Writes `out`, every episode of `source` as in a mirror, and returns their number.

    `out` appears when it is complete and must not exist before. Raises FeelforwardError when
    `source` has streams that Push-T has not.
    """
    dataset = open_dataset(source)
    if unknown := sorted(dataset.streams.keys() - MIRRORS.keys()):
        raise FeelforwardError(
            f"{source} has the streams {', '.join(unknown)}, which no mirror is known for; "
            f"allowed: {', '.join(MIRRORS)}, those of Push-T."
        )
    with layout.new_directory(Path(out)) as partial:
        dataset.prepare(list(dataset.streams))
        _write(dataset, partial)
    return dataset.episode_count


def _write(dataset: DemoDataset, out: Path) -> None:
    writer = LeRobotWriter(out, fps=dataset.fps, robot_type=dataset.robot_type)
    spans = list(zip(dataset.starts, dataset.ends, strict=True))
    for start, end in track(spans, f"Mirroring {dataset.directory.name}", transient=True):
        writer.save_episode(
            vectors={n: _seen(n, dataset.vector(n)[start:end]) for n in dataset.vector_shapes},
            images={n: _seen(n, dataset.image(n)[start:end]) for n in dataset.image_shapes},
            stamps={},
            task=PUSH_T_TASK,
        )


def _seen(name: str, rows: np.ndarray) -> np.ndarray:
    return MIRRORS[name](rows).astype(rows.dtype)
