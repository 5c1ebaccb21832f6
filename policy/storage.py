"""Texts and tensors on disk; a good file is replaced by a whole new one only."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from robot_io.errors import FeelforwardError
from robot_io.files import replacing


def write_text(path: Path, content: str) -> None:
    with replacing(path) as fresh:
        fresh.write_text(content, encoding="utf-8")


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
) -> None:
    """A safetensors file."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as fresh:
        fresh.write_bytes(safetensors.torch.save(dense, dict(metadata) if metadata else None))


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
