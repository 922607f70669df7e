"""What a recipe file may hold, as JSON Schema (draft 2020-12), so that an editor helps to write one.

    {"$schema": "path/to/recipe.schema.json", "name": ..., "operations": [...]}

It is built from ``OPERATIONS``, and refuses what ``Recipe.from_json`` refuses, but for three things that JSON Schema
cannot say: a key that comes twice, [low, high] with low above high, and 50.0 where a whole number is due.
``python -m hifacegan_lib.degradations.schema`` prints it.
"""

import json
from typing import Any

from hifacegan_lib.degradations.operations import OPERATIONS, Names, Operation, Range

Schema = dict[str, Any]
CHANCES = {
    "probability": {"type": "number", "minimum": 0, "maximum": 1, "default": 1, "description": "how often it happens"},
    "weight": {"type": "number", "minimum": 0, "maximum": 1e6, "default": 1, "description": "its share in one_of"},
}
ENTRIES: Schema = {"type": "array", "items": {"$ref": "#/$defs/entry"}}


def schema() -> Schema:
    """The schema of a recipe, as a JSON object."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Recipe of damage",
        "type": "object",
        "properties": {
            "$schema": {"type": "string"},
            "name": {"type": "string"},
            "description": {"type": "string"},
            "source": {"type": "string", "description": "where the numbers come from"},
            "license": {"type": "string"},
            "order": {"enum": ["given", "shuffled"]},
            "operations": ENTRIES,
        },
        "required": ["name", "description", "source", "order", "operations"],
        "additionalProperties": False,
        "$defs": {
            "entry": _branch({"one_of": "one_of", "steps": "steps", "shuffled": "shuffled"}, "operation"),
            "one_of": _group("one_of", "one of these happens", contains={"not": _has("weight", {"const": 0})}),
            "steps": _group("steps", "all of these, one after the other"),
            "shuffled": _group("shuffled", "all of these, in random order"),
            "operation": {
                "type": "object",
                "properties": {"op": {"enum": list(OPERATIONS)}},
                "required": ["op"],
                "allOf": [
                    {"if": _has("op", {"const": name}), "then": {"$ref": f"#/$defs/op_{name}"}} for name in OPERATIONS
                ],
            },
            **{f"op_{name}": _operation(operation) for name, operation in OPERATIONS.items()},
        },
    }


def schema_json() -> str:
    """The text of the shipped ``recipe.schema.json``: a line for each definition."""
    head = schema()
    lines = [f"{json.dumps(name)}: {json.dumps(definition)}" for name, definition in head.pop("$defs").items()]
    return json.dumps(head)[:-1] + ', "$defs": {\n' + ",\n".join(lines) + "\n}}\n"


def _branch(groups: dict[str, str], otherwise: str) -> Schema:
    """An entry is what its telling key says; so an error names the number, and not only the entry."""
    result: Schema = {"$ref": f"#/$defs/{otherwise}"}
    for key, name in reversed(groups.items()):
        has = {"type": "object", "required": [key]}
        result = {"if": has, "then": {"$ref": f"#/$defs/{name}"}, "else": result}
    return {"type": "object", **result}


def _has(key: str, what: Schema) -> Schema:
    return {"type": "object", "properties": {key: what}, "required": [key]}


def _group(key: str, description: str, **more: Any) -> Schema:
    entries = {**ENTRIES, "minItems": 1, "description": description, **more}
    return {"type": "object", "properties": {key: entries, **CHANCES}, "required": [key], "additionalProperties": False}


def _operation(operation: Operation) -> Schema:
    kinds = {name: kind for name, kind in operation.parameters.items() if name != "seed"}
    return {
        "properties": {"op": True, **{name: _values(kind) for name, kind in kinds.items()}, **CHANCES},
        "required": [name for name, kind in kinds.items() if kind.default is None],
        "additionalProperties": False,
    }


def _values(kind: Range | Names) -> Schema:
    """A number or [low, high]; a word or [word, ...]. Bounds speak of numbers only, lengths of lists only."""
    default = {} if kind.default is None else {"default": kind.default}
    if isinstance(kind, Names):
        words = {"enum": list(kind.names)}
        return {"anyOf": [words, {"type": "array", "items": words, "minItems": 1}], **default}
    bounds = {"minimum": kind.low, "maximum": kind.high}
    number = "integer" if kind.whole else "number"
    pair = {"items": {"type": number, **bounds}, "minItems": 2, "maxItems": 2}
    unit = ", in pixels of a 512-pixel face" if kind.length else ""
    return {"type": [number, "array"], **bounds, **pair, **default, "description": f"{kind}, or [low, high]{unit}"}


if __name__ == "__main__":
    print(schema_json(), end="")
