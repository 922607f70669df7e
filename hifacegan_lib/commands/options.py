"""Options that several commands share."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter


def _as_written(_: Any, tokens: Sequence[Any]) -> list[tuple[str, str]]:
    """Keys and values: cyclopts would read a pair with a value such as {"width": 24} as one JSON object."""
    texts = [token.value for token in tokens]
    return list(zip(texts[::2], texts[1::2], strict=True))


Pairs = Annotated[
    list[tuple[str, str]] | None,
    Parameter("-p", json_list=False, converter=_as_written, help="KEY VALUE: set one parameter; repeatable"),
]
Words = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def overrides(pairs: Sequence[tuple[str, str]] | None) -> dict[str, Any]:
    """Parse values as YAML: 8 is a number, true a Boolean, other words are text."""
    return {key: _value(value) if value else "" for key, value in pairs or ()}


def _value(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # a glob such as ** is no YAML
        return text
