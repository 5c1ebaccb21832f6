"""What a policy is and how it is trained: the typed content of a recipe file and of `config.toml`.

Units are in the names; counts are steps of `step_ms`. Unknown keys, NaN and infinity are refused.
Needs no torch.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from policy.generative.config import Frozen, GenerativeConfig, SamplingConfig, check_fit

# how a new plan takes up what is still planned: see `policy.planning.joining`
Joining = Literal["overwrite", "ensemble", "guided", "trained", "bidirectional"]
StreamName = Annotated[str, Field(min_length=1, pattern=r"^[a-z][a-z0-9_]*$")]


class VectorStream(Frozen):
    """A stream of numbers: poses, joint angles, key points; a goal, a task, an embedded text."""

    name: StreamName
    history: int = Field(default=1, ge=1, le=64)  # steps, the newest is the observed one
    goal: bool = False  # says what is to be done, not what is: see `generative.null_share`
    # of a goal that is told once and for all, so that nobody need observe it
    value: tuple[float, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "VectorStream":
        if self.value is not None and not self.goal:
            raise ValueError(f"{self.name} is observed: only a goal may have a value")
        return self


class ImageStream(Frozen):
    """A camera, or a tactile sensor, whose images are taken as difference to a still gel."""

    name: StreamName
    history: int = Field(default=1, ge=1, le=8)
    goal: bool = False  # shows what is to be done, not what is: see `generative.null_share`
    kind: Literal["camera", "tactile"] = "camera"
    # of a camera: "light" takes a millisecond on a processor, "resnet18" is what the field uses
    encoder: Literal["light", "resnet18"] = "light"
    # channels of the light encoder's first layer
    width: int = Field(default=24, ge=8, le=256, multiple_of=8)

    @model_validator(mode="after")
    def _consistent(self) -> "ImageStream":
        if self.kind == "tactile" and self.encoder != "light":
            raise ValueError(f'{self.name} is tactile: its encoder must be "light"')
        if self.kind == "tactile" and self.goal:
            raise ValueError(f"{self.name} is felt: it cannot be a goal")
        return self


class NetworkConfig(Frozen):
    """The denoiser: a 1-D U-Net (one width per level), a residual MLP or a DiT (one per block).

    All blocks are equally wide: a DiT of depth 4 and width 128 has `widths` of four times 128.
    """

    kind: Literal["unet", "mlp", "dit"] = "unet"
    widths: tuple[Annotated[int, Field(ge=16, le=2048)], ...] = Field(
        default=(64, 128), min_length=1, max_length=24
    )
    heads: int = Field(default=4, ge=1, le=32)  # of a DiT's attention
    embedding: int = Field(default=256, ge=16, le=2048)  # size of the observation embedding

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkConfig":
        if self.kind in ("mlp", "dit") and len(set(self.widths)) > 1:
            raise ValueError(f"widths of a {self.kind} must all be equal, got {list(self.widths)}")
        if self.kind == "dit" and self.widths[0] % self.heads:
            raise ValueError(
                f"the {self.heads} heads of a dit share its width, which must be a multiple of "
                f"{self.heads}, got {self.widths[0]}"
            )
        if self.kind == "unet" and len(self.widths) > 4:
            raise ValueError(f"a unet has 1 to 4 levels, got {len(self.widths)} widths")
        return self


class PolicyConfig(Frozen):
    """Everything inference needs to know besides weights and statistics."""

    # "tool": rows x y z qw qx qy qz width, seen from the measured tool; "vector": rows as they are
    action: Literal["tool", "vector"]
    horizon: Literal[16, 32] = 16  # rows per plan
    # so many first rows may be given: trained to continue them (training-time real-time chunking)
    given_rows: int = Field(default=0, ge=0, le=15)
    step_ms: int = Field(default=100, ge=1, le=1000)
    vectors: tuple[VectorStream, ...] = Field(min_length=1)
    images: tuple[ImageStream, ...] = ()
    network: NetworkConfig = NetworkConfig()
    generative: GenerativeConfig = GenerativeConfig()
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "PolicyConfig":
        names = [stream.name for stream in (*self.vectors, *self.images)]
        if len(set(names)) < len(names):
            raise ValueError(f"each stream may be named once, got {names}")
        if all(stream.goal for stream in self.vectors):
            raise ValueError("all vectors are goals: one at least must be observed")
        check_fit(self.generative, self.sampling)
        if self.given_rows and self.generative.head != "flow":
            raise ValueError(
                f'head = "{self.generative.head}" regresses whole plans: given_rows must be 0'
            )
        if self.action == "tool":
            self._check_tool_streams()
        return self

    def _check_tool_streams(self) -> None:
        history = self.history()
        if "measured" not in history:
            raise ValueError('action = "tool" needs the vector stream "measured"')
        if {"measured", "commanded"} & {stream.name for stream in self.vectors if stream.goal}:
            raise ValueError("measured and commanded are observed: they cannot be goals")
        if history.get("commanded", 1) > history["measured"]:
            raise ValueError(
                f"commanded has a history of {history['commanded']} steps, measured of "
                f"{history['measured']}: give measured at least as many, the two are compared"
            )

    def history(self) -> dict[str, int]:
        """Steps of every stream that an observation must hold."""
        observed = [stream for stream in self.vectors if stream.value is None]
        return {stream.name: stream.history for stream in (*observed, *self.images)}


class TrainConfig(Frozen):
    """How the weights are found."""

    steps: int = Field(default=20_000, ge=1)
    batch_size: int = Field(default=64, ge=1, le=65_536)
    # the last rows of an episode begin no window: what follows them is padding, mostly
    drop_last_rows: int = Field(default=0, ge=0, le=64)
    # Rows of a chunk behind the end of an episode repeat its last action. Masked they cost nothing:
    # where episodes end in the middle of a motion, who learns them learns to stop short of it.
    mask_padding: bool = False
    # standard deviation of what is added to given rows, in normalised actions
    given_noise: float = Field(default=0.0, ge=0, le=1)
    noise_draws: int = Field(default=1, ge=1, le=64)  # of noise and flow time per observation
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    warmup_steps: int = Field(default=500, ge=0)  # linear; a cosine to zero follows
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    gradient_clip: float = Field(default=1.0, gt=0)  # largest norm of a step's gradient
    # passes over parts of a batch, whose gradients add up: less memory, the same step to rounding
    accumulate: int = Field(default=1, ge=1, le=1024)
    ema_power: float = Field(default=0.75, gt=0, le=1)  # decay = 1 - (1 + step) ** -power
    # Two helps for the eyes, which otherwise learn last (see `policy.training.objective`).
    glance_weight: float = Field(default=0.5, gt=0, le=10)  # of the regression from images
    history_dropout: float = Field(default=0.0, ge=0, le=1)  # share of examples without a past
    shift_px: int = Field(default=4, ge=0, le=32)  # cameras: random shift up to
    colour_jitter: float = Field(default=0.15, ge=0, le=1)  # cameras: random gain and offset up to
    bf16: bool = False  # faster only where the processor has bf16
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=1, ge=1, le=256)
    seed: int = Field(default=0, ge=0, lt=2**63)
    log_every: int = Field(default=50, ge=1)  # steps
    checkpoint_every: int = Field(default=1000, ge=1)  # steps


class Recipe(Frozen):
    """One training run: what `config.toml` of a checkpoint holds."""

    policy: PolicyConfig
    train: TrainConfig = TrainConfig()


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """What older checkpoints hold: solver and evaluations in `[policy]`, a shortcut that is off."""
    policy = content.get("policy")
    if not isinstance(policy, dict):
        return content
    moved = {name: policy[name] for name in ("solver", "evaluations") if name in policy}
    if moved:
        policy = {name: value for name, value in policy.items() if name not in moved}
        policy["sampling"] = moved
    generative = policy.get("generative")
    if isinstance(generative, dict) and generative.get("shortcut") is False:
        kept = {name: value for name, value in generative.items() if name != "shortcut"}
        policy = {**policy, "generative": kept}
    return {**content, "policy": policy}
