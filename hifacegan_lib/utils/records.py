"""Records: pydantic models of JSON files. An error names the key, the value and the expected value."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from hifacegan_lib.utils.files import parse_json


class Record(BaseModel):
    """An immutable JSON object: unknown keys are errors, and types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, content: Any, where: str) -> Self:
        """Read a JSON value. Raises ValueError: the first mistake; the message begins with ``where`` (a file)."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ValueError(f"{where}: {_sentence(error)}") from None

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "") -> Self:
        """Read a JSON text. Raises ValueError: not JSON, a duplicate key, or as :meth:`parse`."""
        where = where or cls.__name__.lower()
        return cls.parse(parse_json(text, where), where)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, content: Any) -> Any:
        known = {field.alias or name: field for name, field in cls.model_fields.items()}
        if isinstance(content, cls):
            return content
        if not isinstance(content, Mapping):
            raise ValueError(f"expected an object with the keys {', '.join(known)}")
        for key in content.keys() - known.keys():
            raise ValueError(f"unknown key {key!r}; known keys: {', '.join(known)}")
        needed = [key for key, field in known.items() if field.is_required()]
        for key in needed:
            if key not in content:
                raise ValueError(f"missing key {key!r}; needed keys: {', '.join(needed)}")
        return content


def _sentence(invalid: ValidationError) -> str:
    """The first mistake, such as "operations[2].one_of[0].sigma = -1: expected a number from 0 to 128"."""
    error = invalid.errors()[0]
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]]
    place = "".join(part for part in parts if not part.startswith(".("))  # "(...)" is the tag of a union, not a key
    value = "" if isinstance(error["input"], Mapping) and error["input"] else f" = {error['input']!r:.100}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    message = message.replace("Tuple", "the list").replace("tuple", "list").removesuffix(" after validation, not 0")
    return f"{place.lstrip('.')}{value}: {message}" if place else message
