"""Reading of profiles, and messages about parameters: they name the file, the key and what is allowed."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from hifacegan_lib.names import ParamsError


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ParamsError: no such file, not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML ({error})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected `key: value` lines, got {type(values).__name__}")
    return values


def sentence(model: type[BaseModel], source: str, error: Any) -> str:
    """The message about one of pydantic's errors; ``source`` is the file or command that the value came from."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{source}: unknown key '{key}'; known keys: {', '.join(model.model_fields)}"
    said = error["msg"].removeprefix("Value error, ")
    if not key:
        return f"{source}: {said}"
    return f"{source}: {key} = {error['input']!r}: {said}; allowed: {_allowed(model, key)}{_hint(error['input'])}"


def _allowed(model: type[BaseModel], key: str) -> str:
    """A field's type and range in words."""
    schema = model.model_json_schema()["properties"][key]
    if "enum" in schema:
        return ", ".join(repr(value) for value in schema["enum"])
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
        "pattern": "of the form",
    }
    return ", ".join([schema["type"], *(f"{said} {schema[k]}" for k, said in words.items() if k in schema)])


def _hint(value: Any) -> str:
    """Advice for 1e-4: YAML 1.1 reads a number with an exponent as text if it has no decimal point."""
    try:
        return f" (YAML reads {value} as text; write {float(value):#})" if isinstance(value, str) else ""
    except ValueError:
        return ""
