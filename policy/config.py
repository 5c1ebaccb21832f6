"""What a policy is and how it is trained: the typed content of a recipe file and of `config.toml`.

Units are in the names; counts are steps of `step_ms`. Unknown keys, NaN and infinity are refused.
Needs no torch.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# how a new plan takes up what is still planned: see `policy.planning.joining`
Joining = Literal["overwrite", "ensemble", "guided", "trained", "bidirectional"]
StreamName = Annotated[str, Field(min_length=1, pattern=r"^[a-z][a-z0-9_]*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VectorStream(_Frozen):
    """A stream of numbers: poses, joint angles, key points."""

    name: StreamName
    history: int = Field(default=1, ge=1, le=64)  # steps, the newest is the observed one


class ImageStream(_Frozen):
    """A camera, or a tactile sensor, whose images are taken as difference to a still gel."""

    name: StreamName
    history: int = Field(default=1, ge=1, le=8)
    kind: Literal["camera", "tactile"] = "camera"
    width: int = Field(default=24, ge=8, le=256, multiple_of=8)  # channels of the first layer


class NetworkConfig(_Frozen):
    """The denoiser: a 1-D U-Net (one width per level) or a residual MLP (one width per block)."""

    kind: Literal["unet", "mlp"] = "unet"
    widths: tuple[Annotated[int, Field(ge=16, le=2048)], ...] = Field(
        default=(64, 128), min_length=1, max_length=8
    )
    embedding: int = Field(default=256, ge=16, le=2048)  # size of the observation embedding

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkConfig":
        if self.kind == "mlp" and len(set(self.widths)) > 1:
            raise ValueError(f"widths of an mlp must all be equal, got {list(self.widths)}")
        if self.kind == "unet" and len(self.widths) > 4:
            raise ValueError(f"a unet has 1 to 4 levels, got {len(self.widths)} widths")
        return self


class PolicyConfig(_Frozen):
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
    solver: Literal["euler", "midpoint"] = "midpoint"
    evaluations: int = Field(default=10, ge=1, le=200)  # of the network, per plan

    @model_validator(mode="after")
    def _consistent(self) -> "PolicyConfig":
        names = [stream.name for stream in (*self.vectors, *self.images)]
        if len(set(names)) < len(names):
            raise ValueError(f"each stream may be named once, got {names}")
        if self.solver == "midpoint" and self.evaluations % 2:
            raise ValueError(f"midpoint takes 2 evaluations per step, got {self.evaluations}")
        if self.action == "tool":
            self._check_tool_streams()
        return self

    def _check_tool_streams(self) -> None:
        history = self.history()
        if "measured" not in history:
            raise ValueError('action = "tool" needs the vector stream "measured"')
        if history.get("commanded", 1) > history["measured"]:
            raise ValueError(
                f"commanded has a history of {history['commanded']} steps, measured of "
                f"{history['measured']}: give measured at least as many, the two are compared"
            )

    def history(self) -> dict[str, int]:
        """Steps of every stream that an observation must hold."""
        return {stream.name: stream.history for stream in (*self.vectors, *self.images)}


class TrainConfig(_Frozen):
    """How the weights are found."""

    steps: int = Field(default=20_000, ge=1)
    batch_size: int = Field(default=64, ge=1, le=65_536)
    noise_draws: int = Field(default=1, ge=1, le=64)  # of noise and flow time per observation
    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    warmup_steps: int = Field(default=500, ge=0)  # linear; a cosine to zero follows
    weight_decay: float = Field(default=1e-4, ge=0, le=1)
    gradient_clip: float = Field(default=1.0, gt=0)  # largest norm of a step's gradient
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


class Recipe(_Frozen):
    """One training run: what `config.toml` of a checkpoint holds."""

    policy: PolicyConfig
    train: TrainConfig = TrainConfig()
