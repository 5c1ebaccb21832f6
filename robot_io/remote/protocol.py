"""What a robot and a policy server say to each other.

    robot                                    server
    Hello(version, nonce) ─────────────────▶
           ◀──────────────── Welcome(nonce, session, what the policy wants to see)
    Ask(session, 7, observation) ──────────▶
           ◀────────────────────── Plan(session, answers 7, rows)
    Ping(session, 8) ──────────────────────▶
           ◀──────────────────────────── Pong(session, answers 8)
    Bye(session, 9) ───────────────────────▶

Both numbers of 16 bytes are drawn afresh, the nonce by the robot for each hello and the session by
the server for each welcome; sequence numbers rise strictly within a session. A message that is of
another session, or not newer than the last, is dropped and counted: nothing works twice.

Stamps are of the sender's own clock. A refusal names the nonce or the session that it refuses.
`Hello` and `Refusal` stay as they are in every version, so that versions can tell each other apart.
"""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot_io import wire_format as checks
from robot_io.remote.images import images_shape, pack_images, unpack_images
from robot_io.types import Leftover, MonoNs, Observation
from robot_io.wire_format import POSITIVE, ROWS, TEXT, WHOLE, Format, Part, WireError

VERSION = 1
MAX_BYTES = 1 << 23
MAX_IMAGE_BYTES = 1 << 24  # of all images of an observation, unpacked
MAX_STREAMS = 16
MAX_STEPS = 64
NONCE_BYTES = 16
NOBODY = bytes(NONCE_BYTES)


@dataclass(frozen=True, slots=True)
class Hello:
    """A robot wants to be served. `previous` is the session it had, which this one replaces."""

    version: int
    nonce: bytes
    previous: bytes = NOBODY


@dataclass(frozen=True, slots=True)
class Welcome:
    """It is served; what its observations must hold, and what plans look like."""

    nonce: bytes
    session: bytes
    step_ns: int
    rows: int  # H of a plan
    vectors: Mapping[str, int]  # stream -> steps of history
    images: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """It is not served, and why."""

    nonce: bytes  # of the hello, or the session
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A plan is wanted. A new `episode` forgets the last one and begins with `seed`."""

    session: bytes
    sequence: int
    episode: int
    seed: int
    observation: Observation


@dataclass(frozen=True, slots=True)
class Plan:
    """Row h is meant for the observation's `observed_ns + h * step_ns`."""

    session: bytes
    answers: int
    received_ns: int
    sent_ns: int
    row_HD: np.ndarray


@dataclass(frozen=True, slots=True)
class Failure:
    """The policy cannot plan from this observation."""

    session: bytes
    answers: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Nothing is wanted: the place is kept, and the clocks are compared."""

    session: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Pong:
    session: bytes
    answers: int
    received_ns: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class Bye:
    """The robot's place is free."""

    session: bytes
    sequence: int


Request = Hello | Ask | Ping | Bye
Reply = Welcome | Refusal | Plan | Failure | Pong


def fresh_nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


# ---- fields that only these messages have


def _nonce(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != NONCE_BYTES:
        raise WireError(f"got {value!r:.60}, allowed {NONCE_BYTES} bytes")
    return value


def _streams(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or len(value) > MAX_STREAMS:
        raise WireError(f"got {value!r:.60}, allowed a map of at most {MAX_STREAMS} streams")
    return {checks.text(name): entry for name, entry in value.items()}


def _steps(value: object) -> dict[str, int]:
    steps = {name: checks.positive(count) for name, count in _streams(value).items()}
    if any(count > MAX_STEPS for count in steps.values()):
        raise WireError(f"got {steps!r:.200}, allowed up to {MAX_STEPS} steps")
    return steps


def _images(value: object) -> dict[str, np.ndarray]:
    """Nothing is unpacked before the sizes of all are known."""
    streams = _streams(value)
    size = sum(math.prod(images_shape(entry)) for entry in streams.values())
    if size > MAX_IMAGE_BYTES:
        raise WireError(f"images of {size} bytes, allowed {MAX_IMAGE_BYTES} together")
    return {name: unpack_images(entry) for name, entry in streams.items()}


def _pack_leftover(leftover: Leftover | None) -> object:
    if leftover is None:
        return None
    return {"row_KD": checks.pack_array(leftover.row_KD), "delay_rows": leftover.delay_rows}


def _leftover(value: object) -> Leftover | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"row_KD", "delay_rows"}:
        raise WireError(f"got {value!r:.60}, allowed the fields of Leftover")
    row_KD, delay_rows = checks.rows(value["row_KD"]), checks.whole(value["delay_rows"])
    if not 0 <= delay_rows <= len(row_KD):
        raise WireError(f"delay_rows = {delay_rows}, allowed [0, {len(row_KD)}]")
    return Leftover(row_KD, delay_rows)


def _pack_observation(observation: Observation) -> object:
    return {
        "observed_ns": observation.observed_ns,
        "vectors": {k: checks.pack_array(x_TD) for k, x_TD in observation.vectors.items()},
        "images": {k: pack_images(x_THWC) for k, x_THWC in observation.images.items()},
        "leftover": _pack_leftover(observation.leftover),
    }


def _observation(value: object) -> Observation:
    if not isinstance(value, dict) or value.keys() != Observation.__dataclass_fields__.keys():
        raise WireError(f"got {value!r:.60}, allowed the fields of Observation")
    return Observation(
        observed_ns=MonoNs(checks.whole(value["observed_ns"])),
        vectors={name: checks.rows(x_TD) for name, x_TD in _streams(value["vectors"]).items()},
        images=_images(value["images"]),
        leftover=_leftover(value["leftover"]),
    )


# ---- two tables say what each message is made of: neither side reads the other's kinds

_NONCE = Part(_nonce)
_STEPS = Part(_steps, dict)
_OF_SESSION = {"session": _NONCE, "sequence": POSITIVE}
_ANSWER = {"session": _NONCE, "answers": POSITIVE}
_STAMPS = {"received_ns": WHOLE, "sent_ns": WHOLE}

REQUESTS: Format[Request] = Format(
    {
        "hello": (Hello, {"version": POSITIVE, "nonce": _NONCE, "previous": _NONCE}),
        "ask": (
            Ask,
            {
                **_OF_SESSION,
                "episode": WHOLE,
                "seed": WHOLE,
                "observation": Part(_observation, _pack_observation),
            },
        ),
        "ping": (Ping, _OF_SESSION),
        "bye": (Bye, _OF_SESSION),
    },
    max_bytes=MAX_BYTES,
)
REPLIES: Format[Reply] = Format(
    {
        "welcome": (
            Welcome,
            {
                "nonce": _NONCE,
                "session": _NONCE,
                "step_ns": POSITIVE,
                "rows": POSITIVE,
                "vectors": _STEPS,
                "images": _STEPS,
            },
        ),
        "refusal": (Refusal, {"nonce": _NONCE, "reason": TEXT}),
        "plan": (Plan, {**_ANSWER, **_STAMPS, "row_HD": ROWS}),
        "failure": (Failure, {**_ANSWER, "reason": TEXT}),
        "pong": (Pong, {**_ANSWER, **_STAMPS}),
    },
    max_bytes=MAX_BYTES,
)
