"""The schema refuses what the reader refuses, and says where."""

import json
from typing import Any

import jsonschema
import pytest

from hifacegan_lib.cli import main
from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.degradations.recipes import FOLDER, Recipe, recipe_names, recipe_schema

SHIPPED = FOLDER.with_name("recipe.schema.json")
VALIDATOR = jsonschema.Draft202012Validator(recipe_schema())
JPEG = {"op": "jpeg", "quality": [20, 80]}


def recipe(*entries: Any, **head: Any) -> dict[str, Any]:
    given = {"name": "mine", "description": "", "source": "", "order": "given", "operations": list(entries)}
    return {**given, **head}


def reader_takes(content: Any) -> bool:
    try:
        Recipe.from_json(json.dumps(content))
    except ValueError:
        return False
    return True


def test_it_is_a_schema_and_the_shipped_file_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator.check_schema(recipe_schema())
    assert main(["recipes", "--schema"]) == 0
    text = SHIPPED.read_text(encoding="utf-8")
    assert text == capsys.readouterr().out, (
        "run: hifacegan recipes --schema > hifacegan_lib/degradations/" + SHIPPED.name
    )
    assert json.loads(text) == recipe_schema()


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_valid_and_points_to_the_schema(name: str) -> None:
    path = FOLDER / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    VALIDATOR.validate(content)
    assert (path.parent / content["$schema"]).resolve() == SHIPPED
    VALIDATOR.validate(json.loads(Recipe.from_json(path.read_bytes()).to_json()))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_may_stand_with_its_ends_and_not_beyond(name: str) -> None:
    kinds = {key: kind for key, kind in OPERATIONS[name].parameters.items() if key != "seed"}
    entry = {"op": name, **{k: list(v.names) if hasattr(v, "names") else [v.low, v.high] for k, v in kinds.items()}}
    assert VALIDATOR.is_valid(recipe(entry))
    assert reader_takes(recipe(entry))
    least = {"op": name, **{k: entry[k] for k, kind in kinds.items() if kind.default is None}}
    assert VALIDATOR.is_valid(recipe(least))
    for key, kind in kinds.items():
        wrong: list[Any] = ["nearly", ["area", "nearly"], [], True, None, {"low": 1}]
        if not hasattr(kind, "names"):
            wrong += [kind.low - 1, kind.high + 1, [kind.low, kind.high + 1], [kind.low] * 3, [kind.low], "3"]
            wrong += [kind.low + 0.5] if kind.whole else []
        for value in wrong:
            assert not VALIDATOR.is_valid(recipe({**entry, key: value})), (key, value)
            assert not reader_takes(recipe({**entry, key: value})), (key, value)
        if kind.default is None:
            assert not VALIDATOR.is_valid(recipe({k: v for k, v in entry.items() if k != key})), key


GOOD = [
    recipe(),
    recipe(JPEG, **{"$schema": "anything", "license": "mine"}),
    recipe(JPEG, order="shuffled"),
    recipe({**JPEG, "probability": 0, "weight": 1e6}),
    recipe({"one_of": [{**JPEG, "weight": 0}, {**JPEG, "weight": 0.1}], "probability": 0.5}),
    recipe({"one_of": [{"steps": [JPEG, {"one_of": [JPEG]}]}, JPEG]}),
    recipe({"steps": [JPEG], "weight": 3}),
    recipe({"one_of": [{"shuffled": [JPEG, JPEG], "weight": 2}, JPEG]}),
]

BROKEN = [
    [],
    "recipe",
    recipe(order="random"),
    recipe(name=3),
    recipe(license=None),
    recipe(oder="given"),
    recipe(operations={}),
    {"name": "mine"},
    recipe("jpeg"),
    recipe({}),
    recipe({"op": "sharpen"}),
    recipe({"op": ["jpeg"], "quality": 3}),
    recipe({"op": "jpeg"}),
    recipe({"op": "jpeg", "quality": 50, "qality": 50}),
    recipe({"op": "gaussian_noise", "sigma": 9, "seed": 3}),
    recipe({**JPEG, "probability": 1.5}),
    recipe({**JPEG, "probability": [0, 1]}),
    recipe({**JPEG, "weight": -1}),
    recipe({**JPEG, "weight": 2e6}),
    recipe({"one_of": []}),
    recipe({"one_of": JPEG}),
    recipe({"one_of": [JPEG], "op": "jpeg"}),
    recipe({"one_of": [JPEG], "steps": [JPEG]}),
    recipe({"one_of": [{**JPEG, "weight": 0}, {**JPEG, "weight": 0.0}]}),
    recipe({"steps": []}),
    recipe({"shuffled": []}),
    recipe({"shuffled": [JPEG], "steps": [JPEG]}),
    recipe({"steps": [{"one_of": [{"op": "jpeg", "quality": 0}]}]}),
]


@pytest.mark.parametrize("content", GOOD, ids=str)
def test_what_the_reader_takes_is_valid(content: Any) -> None:
    assert reader_takes(content)
    VALIDATOR.validate(content)


@pytest.mark.parametrize("content", BROKEN, ids=str)
def test_what_the_reader_refuses_is_not(content: Any) -> None:
    assert not reader_takes(content)
    assert not VALIDATOR.is_valid(content)


def test_three_mistakes_are_beyond_a_schema() -> None:
    for beyond in ({**JPEG, "quality": [80, 20]}, {**JPEG, "quality": 50.0}):
        assert VALIDATOR.is_valid(recipe(beyond))
        assert not reader_takes(recipe(beyond))
    twice = json.dumps(recipe(JPEG)).replace('"name": "mine"', '"name": "mine", "name": "yours"')
    assert VALIDATOR.is_valid(json.loads(twice))
    with pytest.raises(ValueError, match="comes twice"):
        Recipe.from_json(twice)


def test_an_error_names_the_number() -> None:
    """At the entry's place; among the branches for operations, the one with the entry's ``op`` names the number."""
    broken = recipe(JPEG, {"one_of": [{"steps": [{"op": "downsample", "ratio": 2, "kernel": "area"}]}]})
    error = jsonschema.exceptions.best_match(VALIDATOR.iter_errors(broken))
    assert list(error.absolute_path) == ["operations", 1, "one_of", 0, "steps", 0]
    others = {mistake.schema_path[0] for mistake in error.context if mistake.validator == "const"}
    (found,) = [m for m in error.context if m.schema_path[0] not in others and m.absolute_path[-1] == "ratio"]
    assert list(found.absolute_path) == [*error.absolute_path, "ratio"]
    assert "greater than the maximum of 1" in found.message
