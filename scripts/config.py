"""Typed TOML: a file in, a checked pydantic model out, or one sentence that says what to mend.

A file may begin with `extends = "other.toml"` (relative to itself) and then lists only what
differs: tables merge, everything else replaces.
"""

import difflib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from robot_io.errors import FeelforwardError

Model = TypeVar("Model", bound=BaseModel)

# Suffix of a key -> unit, longest first: `stiffness_n_per_m` is in N/m, not in m.
UNITS = {
    "_nm_per_rad": "N·m/rad",
    "_rad_per_s3": "rad/s³",
    "_m_per_s3": "m/s³",
    "_rad_per_s2": "rad/s²",
    "_m_per_s2": "m/s²",
    "_rad_per_s": "rad/s",
    "_m_per_s": "m/s",
    "_n_per_m": "N/m",
    "_rad": "rad",
    "_nm": "N·m",
    "_hz": "Hz",
    "_ms": "ms",
    "_ns": "ns",
    "_px": "px",
    "_m": "m",
    "_s": "s",
    "_n": "N",
}


class StrictModel(BaseModel):
    """Base of our configs: frozen, unknown keys and NaN refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def load_config(path: Path, model: type[Model], *, settings: Sequence[str] = ()) -> Model:
    """The file at `path` as `model`. Raises FeelforwardError with one sentence otherwise.

    `settings`, such as `policy.network.kind=dit`, say otherwise than the file.
    """
    table = read_toml(path)
    for setting in settings:
        table = merge(table, _setting(setting))
    try:
        # Through JSON: strict there means "2" is no number, yet arrays may fill tuples.
        return model.model_validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        raise FeelforwardError(f"{path}: {explain(error, model)}") from error


def read_toml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The table in the file, with what it extends merged in."""
    path = path.resolve()
    if path in seen:
        raise FeelforwardError(f"{path}: extends itself, through {seen[-1].name}.")
    table = _parse(path)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise FeelforwardError(f"{path}: extends = {base!r}, allowed: the name of a TOML file.")
    return merge(read_toml(path.parent / base, (*seen, path)), table)


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with `change` on top: tables merge key by key, everything else replaces."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merge(old, value)
        merged[key] = value
    return merged


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a config as one sentence: the key's path, what it is, what is allowed."""
    faults = error.errors(include_url=False)
    # A misspelt key is a missing one as well: say that it is misspelt.
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        return _explain_unknown_key(fault["loc"], model)
    if fault["type"] == "missing":
        return f"{place} is missing."
    allowed = fault["msg"].removeprefix("Input should be ").rstrip(".")
    if fault["type"] == "value_error":  # a rule between several keys of this table
        return f"{place}: {allowed.removeprefix('Value error, ')}."
    unit = next((unit for suffix, unit in UNITS.items() if place.endswith(suffix)), None)
    in_unit = f", in {unit}" if unit else ""
    return f"{place} = {fault['input']!r}, allowed: {allowed}{in_unit}."


def _setting(text: str) -> dict[str, Any]:
    """From `a.b=1` to {"a": {"b": 1}}; the value as in TOML, a bare word as a string."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise FeelforwardError(f"{text!r} is no setting: allowed is table.key=value.")
    try:
        table: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table = value
    for part in reversed(key.split(".")):
        table = {part: table}
    return table


def _explain_unknown_key(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *parents, key = loc
    names = _names_at(model, tuple(parents))
    nearest = difflib.get_close_matches(str(key), names, n=1, cutoff=0.0)
    prefix = "".join(f"{part}." for part in parents)
    hint = f"; the nearest valid one is {prefix}{nearest[0]}" if nearest else ""
    return f"{prefix}{key} is not a known key{hint}."


def _names_at(model: type[BaseModel], parents: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that sits below `parents`; empty where there is none."""
    current: Any = model
    for part in parents:
        nested = current.model_fields[part].annotation if _has_field(current, part) else current
        current = _model_within(nested)
    return list(current.model_fields) if current is not None else []


def _has_field(model: Any, part: int | str) -> bool:
    return isinstance(part, str) and model is not None and part in model.model_fields


def _model_within(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model in `Model`, `tuple[Model, ...]`, `Model | None`, ..."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_within, get_args(annotation))), None)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeelforwardError(f"{path} does not exist.") from None
    except OSError as error:
        raise FeelforwardError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise FeelforwardError(f"{path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise FeelforwardError(f"{path} is not valid TOML: {error}.") from error
