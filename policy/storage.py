"""Files that are either the old one or the whole new one, never half of it."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from robot_io.errors import FeelforwardError


def write_bytes(path: Path, content: bytes) -> None:
    """Writes beside `path`, then puts it in place at once. Raises FeelforwardError on failure."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise FeelforwardError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
) -> None:
    """A safetensors file."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(dense, dict(metadata) if metadata else None))


def read_text(path: Path) -> str:
    """Raises FeelforwardError when it is missing or no text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FeelforwardError(f"{path} is missing.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FeelforwardError(f"{path} cannot be read: {error}.") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata). Raises FeelforwardError when it is missing or corrupt."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise FeelforwardError(f"{path} is missing.") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise FeelforwardError(
            f"{path} is corrupt ({error}): copy it again or train again."
        ) from error
