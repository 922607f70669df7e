"""Options that several commands share."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

Pairs = Annotated[
    list[tuple[str, str]] | None, Parameter("-p", json_list=False, help="KEY VALUE: set one parameter; repeatable")
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
