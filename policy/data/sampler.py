"""Random training windows out of memory maps. A batch is a pure function of (seed, step).

        rows of an episode    0   1   2   3 …  t   t+1 … end-1 | end-1  end-1
        history T = 3, H = 4          [t-2 t-1 t]
                                               [t  t+1  t+2  t+3]      the last action repeats
                                                 1   1    0    0       kept: what was demonstrated

Legend: B batch, T history, H horizon, D width, HWC image, E episodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policy.data import layout
from policy.data.dataset import DemoDataset
from policy.data.share import WHOLE, Share
from robot_io.errors import FeelforwardError
from robot_io.types import MonoNs, Observation


@dataclass(frozen=True, slots=True)
class Batch:
    """What a policy would have observed, and the actions that followed."""

    vectors: dict[str, np.ndarray]  # name -> (B, T, D) float32, oldest first
    images: dict[str, np.ndarray]  # name -> (B, T, H, W, C) uint8 RGB
    action_BHD: np.ndarray  # float32; row 0 is the action at the time of the observation
    kept_BH: np.ndarray  # bool; False behind the end of the episode, where the last action repeats

    def __len__(self) -> int:
        return len(self.action_BHD)

    def observation(self, i: int) -> Observation:
        """Of one example, as a policy at work gets it."""
        vectors = {name: x_BTD[i] for name, x_BTD in self.vectors.items()}
        images = {name: x_BTHWC[i] for name, x_BTHWC in self.images.items()}
        return Observation(observed_ns=MonoNs(0), vectors=vectors, images=images)

    def evenly(self, count: int) -> "Batch":
        """So many of its examples, or all. They lie in the order of the rows: of all episodes."""
        chosen = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        return Batch(
            vectors={name: x_BTD[chosen] for name, x_BTD in self.vectors.items()},
            images={name: x_BTHWC[chosen] for name, x_BTHWC in self.images.items()},
            action_BHD=self.action_BHD[chosen],
            kept_BH=self.kept_BH[chosen],
        )


class WindowSampler:
    """Draws windows uniformly over all rows of all episodes, with replacement.

    `history` says how many steps of which stream a window holds, the current row included. None
    begins in the last `drop_last_rows` rows of an episode, but each episode has one at least.
    Resuming a training at step s is calling `sample(s)`: nothing is kept between calls.
    """

    def __init__(
        self,
        datasets: DemoDataset | Sequence[DemoDataset],
        *,
        history: Mapping[str, int],
        horizon: int,
        batch_size: int,
        seed: int,
        drop_last_rows: int = 0,
    ) -> None:
        self._datasets = [datasets] if isinstance(datasets, DemoDataset) else list(datasets)
        _check_sizes({"horizon": horizon, "batch_size": batch_size, **history})
        _check_same_shapes(self._datasets, [*history, layout.ACTION])
        self._history = dict(history)
        self._horizon = horizon
        self._batch_size = batch_size
        self._seed = seed
        self._sources = [
            _Source(dataset, self._history, drop_last_rows) for dataset in self._datasets
        ]
        self._offsets = np.cumsum([0, *map(len, self._sources)])

    def __len__(self) -> int:
        """The number of different windows."""
        return int(self._offsets[-1])

    def sample(self, step: int, share: Share = WHOLE) -> Batch:
        generator = np.random.Generator(np.random.Philox(key=[self._seed, step]))
        window_B = np.sort(generator.integers(len(self), size=self._batch_size))
        window_B = window_B[share.rows(self._batch_size)]
        edges = np.searchsorted(window_B, self._offsets)
        parts = [
            source.windows(window_B[a:b] - offset, self._history, self._horizon)
            for source, offset, a, b in zip(
                self._sources, self._offsets[:-1], edges[:-1], edges[1:], strict=True
            )
            if b > a
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    @property
    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Stream (and "action") -> min, max, mean, std per dimension, over the chosen rows."""
        names = [name for name in self._history if name in self._datasets[0].vector_shapes]
        return {name: self._stats_of(name) for name in [*names, layout.ACTION]}

    def _stats_of(self, name: str) -> dict[str, np.ndarray]:
        x = np.concatenate([dataset.rows(name) for dataset in self._datasets]).astype(np.float64)
        return {"min": x.min(0), "max": x.max(0), "mean": x.mean(0), "std": x.std(0)}

    def first_image(self, name: str) -> np.ndarray:
        """(H, W, C) float32: the median of the first frames of all chosen episodes.

        Few episodes that begin in contact (after a take-over) do not move it.
        """
        images = [(dataset.image(name), dataset.starts) for dataset in self._datasets]
        lines = range(images[0][0].shape[1])
        return np.stack(  # line by line: all first frames at once may not fit into memory
            [np.median(np.concatenate([x[e, y] for x, e in images]), axis=0) for y in lines]
        ).astype(np.float32)

    @property
    def description(self) -> str:
        """One line for a checkpoint's card."""
        return "; ".join(
            f"{d.directory.name}: {d.episode_count} episodes, {d.frame_count} rows at {d.fps:g} Hz"
            for d in self._datasets
        )


class _Source:
    """The arrays of one data set and its chosen windows."""

    def __init__(
        self, dataset: DemoDataset, history: Mapping[str, int], drop_last_rows: int
    ) -> None:
        self.vectors = {n: dataset.vector(n) for n in history if n in dataset.vector_shapes}
        self.images = {n: dataset.image(n) for n in history if n in dataset.image_shapes}
        self.action_ND = dataset.vector(layout.ACTION)
        self.start_E, self.end_E = dataset.starts, dataset.ends
        windows_E = np.maximum(self.end_E - self.start_E - drop_last_rows, 1)
        self.offset_E = np.cumsum([0, *windows_E])  # and one more: how many there are

    def __len__(self) -> int:
        return int(self.offset_E[-1])

    def windows(self, window_B: np.ndarray, history: Mapping[str, int], horizon: int) -> Batch:
        episode_B = np.searchsorted(self.offset_E, window_B, side="right") - 1
        start_B1, end_B1 = self.start_E[episode_B][:, None], self.end_E[episode_B][:, None]
        row_B1 = start_B1 + (window_B - self.offset_E[episode_B])[:, None]
        past = {
            name: np.maximum(row_B1 + np.arange(1 - steps, 1), start_B1)
            for name, steps in history.items()
        }
        future_BH = row_B1 + np.arange(horizon)
        kept_BH = future_BH < end_B1
        return Batch(
            vectors={name: array[past[name]] for name, array in self.vectors.items()},
            images={name: array[past[name]] for name, array in self.images.items()},
            action_BHD=self.action_ND[np.minimum(future_BH, end_B1 - 1)],
            kept_BH=kept_BH,
        )


def _check_sizes(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise FeelforwardError(f"{name} = {size} rows, but at least 1 is needed.")


def _check_same_shapes(datasets: Sequence[DemoDataset], names: Sequence[str]) -> None:
    if not datasets:
        raise FeelforwardError("A sampler needs at least one data set.")
    for dataset in datasets:
        dataset.prepare(names)
        shapes = {name: dataset.streams[name].shape for name in names}
        first = {name: datasets[0].streams[name].shape for name in names}
        if shapes != first:
            raise FeelforwardError(
                f"{dataset.directory} has streams of {shapes}, but {datasets[0].directory} of "
                f"{first}: data sets that are trained on together need equal shapes."
            )


def _joined(parts: Sequence[Batch]) -> Batch:
    return Batch(
        vectors={n: np.concatenate([p.vectors[n] for p in parts]) for n in parts[0].vectors},
        images={n: np.concatenate([p.images[n] for p in parts]) for n in parts[0].images},
        action_BHD=np.concatenate([p.action_BHD for p in parts]),
        kept_BH=np.concatenate([p.kept_BH for p in parts]),
    )
