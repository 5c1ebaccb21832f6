"""A trained policy at work: an observation in, a chunk of rows out.

Legend: B batch (1), T steps, H rows, D width of a row, A numbers of an action, M modulation.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from policy.config import PolicyConfig
from policy.features import make_features, without_past
from policy.network import Condition, PolicyNetwork, scale_image
from policy.samplers import evaluation_times, grid_for, solve
from policy.statistics import Statistics, as_streams
from robot_io.clock import NS_PER_S, MonotonicClock
from robot_io.types import MonoNs, Observation

WARM_UP_PLANS = 5


class DiffusionPolicy:
    """Plans by carrying noise along the learned flow; a `robot_io.interfaces.ChunkSource`.

    policy = load_checkpoint(directory)
    policy.warm_up()
    policy.reset(seed=0)
    rows_HD = policy.plan(observation)
    """

    def __init__(
        self,
        config: PolicyConfig,
        statistics: Statistics,
        network: PolicyNetwork,
        *,
        threads: int = 1,
    ) -> None:
        torch.set_num_threads(threads)
        self.config = config
        self._statistics = statistics
        self._features = make_features(config)
        self._network = network.eval().requires_grad_(False)
        self._grid = grid_for(config.evaluations, solver=config.solver)
        times = evaluation_times(self._grid, solver=config.solver)
        with torch.inference_mode():
            film_NM = network.time_modulation(torch.tensor(times))
        self._time_film = dict(zip(times, film_NM.split(1), strict=True))
        self._generator = torch.Generator()
        self.reset(seed=0)

    @property
    def reference_images(self) -> dict[str, np.ndarray]:
        """Per tactile stream the untouched gel, (H, W, C) uint8."""
        return {
            name: (encoder.reference_HWC * 255).round().to(torch.uint8).numpy()
            for name, encoder in self._network.tactile_encoders().items()
        }

    def reset(self, seed: int) -> None:
        """The same seed gives the same noise, and so the same plans, again."""
        self._generator.manual_seed(seed)

    def plan(self, observation: Observation) -> np.ndarray:
        """Rows (H, D), float64; row h is meant for `observed_ns + h * step_ms`.

        Raises ValueError when a stream is missing, too short, of the wrong size or not finite.
        """
        streams = as_streams(
            {s.name: self._vector(observation, s.name) for s in self.config.vectors}
        )
        images = {
            s.name: torch.from_numpy(self._image(observation, s.name)) for s in self.config.images
        }
        with torch.inference_mode():
            action_BHA = self._denoise(self._condition(streams, images))
            rows_BHD = self._features.decode(streams, self._statistics.action.restore(action_BHA))
        return rows_BHD[0].numpy()

    def warm_up(self) -> float:
        """Runs a few plans on made-up observations; the time the last one took, s."""
        clock = MonotonicClock()
        observation = self._made_up_observation()
        started_ns = clock.now_ns()
        for _ in range(WARM_UP_PLANS):
            started_ns = clock.now_ns()
            self.plan(observation)
        self.reset(seed=0)
        return (clock.now_ns() - started_ns) / NS_PER_S

    def _condition(self, streams: Mapping[str, Tensor], images: Mapping[str, Tensor]) -> Condition:
        feature_BF, still_BF = (
            self._statistics.observation.normalize(self._features.observation(each))
            for each in (streams, without_past(streams))
        )
        scaled = {name: scale_image(image) for name, image in images.items()}
        return self._network.condition(feature_BF, still_BF, scaled)

    def _denoise(self, condition: Condition) -> Tensor:
        action_size = self._statistics.action.offset.shape[-1]
        noise = torch.randn(1, self.config.horizon, action_size, generator=self._generator)
        film = {t: condition.film_BM + time for t, time in self._time_film.items()}
        return solve(
            lambda x, t: self._network.denoise(x, t, film[t], condition),
            noise,
            self._grid,
            solver=self.config.solver,
        )

    def _vector(self, observation: Observation, name: str) -> np.ndarray:
        """(1, T, D) of the last steps."""
        steps, size = self.config.history()[name], self._statistics.vector_sizes[name]
        x = np.asarray(_stream(observation.vectors, name))
        if x.ndim != 2 or len(x) < steps or x.shape[1] != size:
            raise ValueError(f"{name} has shape {x.shape}, allowed ({steps} or more, {size})")
        if not np.isfinite(x[-steps:]).all():
            raise ValueError(f"{name} holds NaN or infinity")
        return x[None, -steps:]

    def _image(self, observation: Observation, name: str) -> np.ndarray:
        """(1, T, H, W, C) of the last frames."""
        frames, size = self.config.history()[name], self._statistics.image_sizes[name]
        x = np.asarray(_stream(observation.images, name))
        if x.ndim != 4 or len(x) < frames or x.shape[1:] != tuple(size) or x.dtype != np.uint8:
            raise ValueError(
                f"{name} has shape {x.shape} of {x.dtype}, allowed ({frames} or more, "
                f"{', '.join(map(str, size))}) of uint8"
            )
        return np.ascontiguousarray(x[None, -frames:])

    def _made_up_observation(self) -> Observation:
        vectors = {
            s.name: np.full((s.history, self._statistics.vector_sizes[s.name]), 0.5)
            for s in self.config.vectors
        }
        images = {
            s.name: np.zeros((s.history, *self._statistics.image_sizes[s.name]), np.uint8)
            for s in self.config.images
        }
        return Observation(observed_ns=MonoNs(0), vectors=vectors, images=images)


def _stream(known: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in known:
        raise ValueError(f"the observation lacks {name!r}, it has {', '.join(sorted(known))}")
    return known[name]
