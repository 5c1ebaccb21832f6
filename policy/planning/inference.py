"""A trained policy at work: an observation in, a chunk of rows out.

Legend: B batch (1), P plans, T steps, H rows, D width of a row, A numbers of an action, F of an
observation.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from policy.config import Joining, PolicyConfig, VectorStream
from policy.features import Streams, make_features, without_past
from policy.generative.method import make_path
from policy.networks.network import PolicyNetwork, scale_image
from policy.planning.drawing import known, make_drawing
from policy.planning.ensemble import Ensemble
from policy.planning.joining import Target
from policy.planning.warm_start import WarmStart
from policy.statistics import Statistics, as_streams
from robot_io.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robot_io.errors import FeelforwardError
from robot_io.rows import ToolRows, VectorRows
from robot_io.types import Leftover, MonoNs, Observation

WARM_UP_PLANS = 5


class DiffusionPolicy:
    """Plans by drawing from what was learnt; a `robot_io.interfaces.ChunkSource`.

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
        joining: Joining = "overwrite",
        threads: int = 1,
    ) -> None:
        """`joining`: how a plan takes up what is still planned (`policy.planning.joining`).

        Raises FeelforwardError for "trained" where the training never gave rows.
        """
        if joining == "trained" and not config.given_rows:
            raise FeelforwardError(
                'joining = "trained" needs a policy that was trained with policy.given_rows > 0; '
                "this one was not: train it so, or choose guided."
            )
        torch.set_num_threads(threads)
        self.config = config
        self._joining = joining
        self._ensemble = _ensemble(config, statistics)
        self._statistics = statistics
        self._features = make_features(config)
        self._network = network.eval().requires_grad_(False)
        self._drawing = make_drawing(
            self._network, config, joining=joining, bounds=statistics.action_bounds
        )
        self._warm_start = None
        if config.sampling.warm_start:
            path = make_path(config.generative.path)
            self._warm_start = WarmStart(config.sampling.warm_start, path)
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
        self._ensemble.reset()
        if self._warm_start is not None:
            self._warm_start.reset()

    def plan(self, observation: Observation) -> np.ndarray:
        """Rows (H, D), float64; row h is meant for `observed_ns + h * step_ms`.

        Raises ValueError when a stream is missing, too short, of the wrong size or not finite.
        """
        row_HD = self._rows(observation, observation.leftover, count=1)[0]
        if self._joining == "ensemble":
            return self._ensemble.add(observation.observed_ns, row_HD)
        return row_HD

    def plans(self, observation: Observation, count: int) -> np.ndarray:
        """`count` plans (P, H, D) of one observation, in one batch: to see what all is possible.

        Nothing is joined, so `joining` must be "overwrite". Raises ValueError as `plan` does.
        """
        if self._joining != "overwrite":
            raise ValueError(f"joining = {self._joining}, allowed for several plans: overwrite")
        return self._rows(observation, None, count=count)

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

    def _rows(
        self, observation: Observation, leftover: Leftover | None, *, count: int
    ) -> np.ndarray:
        """(P, H, D)."""
        streams = as_streams({s.name: self._vector(observation, s) for s in self.config.vectors})
        images = {
            s.name: torch.from_numpy(self._image(observation, s.name)) for s in self.config.images
        }
        with torch.no_grad():  # not inference_mode: `guided` differentiates through the network
            action_PHA = self._draw(streams, images, leftover, count)
            rows_PHD = self._features.decode(streams, self._statistics.action.restore(action_PHA))
        return rows_PHD.numpy()

    def _draw(
        self, streams: Streams, images: Streams, leftover: Leftover | None, count: int
    ) -> Tensor:
        """Normalised chunks (P, H, A)."""
        feature_BF, still_BF = (
            self._statistics.observation.normalize(self._features.observation(each))
            for each in (streams, without_past(streams))
        )
        scaled = {name: scale_image(image) for name, image in images.items()}
        seen = self._network.look(feature_BF, still_BF, scaled)
        condition = known(self._network, seen, self.config.sampling)
        target, start = self._target(streams, leftover), 0.0
        if self._warm_start is not None:
            seen = [still_BF] if condition.guess is None else [still_BF, condition.guess.mean_BHA]
            kept = 0 if target is None else target.kept
            start = self._warm_start.time(seen, kept=kept, horizon=self.config.horizon)
        return self._drawing.draw(
            condition.repeated(count), target, start=start, generator=self._generator
        )

    def _target(self, streams: Streams, leftover: Leftover | None) -> Target | None:
        """The leftover as normalised actions, its last row held; None where nobody looks back."""
        looks_back = self._joining not in ("overwrite", "ensemble")
        if leftover is None or not (looks_back or self._warm_start is not None):
            return None
        row_HD = leftover.row_KD[: self.config.horizon]
        kept = len(row_HD)
        filled_HD = np.concatenate([row_HD, row_HD[-1:].repeat(self.config.horizon - kept, 0)])
        action_BHA = self._statistics.action.normalize(
            self._features.encode(streams, torch.from_numpy(filled_HD)[None])
        )
        return Target(action_BHA[0], kept, min(leftover.delay_rows, kept))

    def _vector(self, observation: Observation, stream: VectorStream) -> np.ndarray:
        """(1, T, D) of the last steps."""
        name = stream.name
        steps, size = stream.history, self._statistics.vector_sizes[name]
        if stream.value is not None:
            return np.tile(np.asarray(stream.value), (1, steps, 1))
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
        size = self._statistics.vector_sizes["action"]
        leftover = Leftover(np.full((self.config.horizon, size), 0.5), delay_rows=1)
        return Observation(MonoNs(0), vectors, images, leftover)  # what joins must be warm too


def _ensemble(config: PolicyConfig, statistics: Statistics) -> Ensemble:
    tool = config.action == "tool"
    rows = ToolRows() if tool else VectorRows(statistics.vector_sizes["action"])
    return Ensemble(rows, step_ns=config.step_ms * NS_PER_MS)


def _stream(known: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in known:
        raise ValueError(f"the observation lacks {name!r}, it has {', '.join(sorted(known))}")
    return known[name]
