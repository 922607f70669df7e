"""Recipes made by hand in the explorer: one more step, the steps as a recipe, and its file."""

import json
import re
from pathlib import Path

from hifacegan_lib.degradations.recipes import Recipe, Step, Trace, recipe_names
from hifacegan_lib.evaluation.severity import LADDERS
from hifacegan_lib.utils.files import write_text

BY_HAND = "by hand"  # the recipe in the trace of steps that no recipe drew
SAVED = Path("params/recipes")  # below the project's root


def middle(op: str) -> Step:
    """An operation with the middle numbers of its ladder of severity."""
    ladder = LADDERS.get(op, LADDERS["downsample"])
    number = {ladder.parameter: ladder.values[len(ladder.values) // 2]}
    return Trace.of(BY_HAND, {"op": op, **number, **ladder.fixed}).operations[0]


def fixed_recipe(trace: Trace, name: str) -> Recipe:
    """A recipe of the trace's steps, in its order, with its numbers; only noise differs from seed to seed."""
    steps = [{key: value for key, value in step.to_dict().items() if key != "seed"} for step in trace.operations]
    words = {"name": name, "description": f"Fixed numbers: {trace.describe()}.", "source": "Made by hand."}
    return Recipe.from_json(json.dumps({**words, "order": "given", "operations": steps}))


def save_recipe(recipe: Recipe, root: str | Path) -> Path:
    """Write ``params/recipes/<name>.json`` below the root, whole or not at all; returns its path.

    Raises:
        ValueError: the name fits no file, or is a shipped recipe's.
        FileExistsError: there is such a recipe.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", recipe.name):
        raise ValueError(f"name = {recipe.name!r}: expected letters, digits, - and _")
    if recipe.name in recipe_names():
        raise ValueError(f"name = {recipe.name!r}: a shipped recipe has it")
    path = Path(root) / SAVED / f"{recipe.name}.json"
    if path.exists():
        raise FileExistsError(f"{(SAVED / path.name).as_posix()} exists already: choose another name")
    return write_text(path, recipe.to_json() + "\n")
