"""Recipes built in the explorer: a default step, the steps as a recipe, and saving the recipe."""

import re
from pathlib import Path

from hifacegan_lib.degradations.recipes import Recipe, Step, Trace, recipe_names
from hifacegan_lib.degradations.severity import LADDERS
from hifacegan_lib.utils.files import write_text

BY_HAND = "by hand"  # the recipe's name in traces that no recipe gave
SAVED = Path("params/recipes")  # relative to the project's root


def default_step(op: str) -> Step:
    """An operation with the middle numbers of its ladder of severities."""
    ladder = LADDERS.get(op, LADDERS["downsample"])
    number = {ladder.parameter: ladder.values[len(ladder.values) // 2]}
    return Trace.of(BY_HAND, {"op": op, **number, **ladder.fixed}).operations[0]


def fixed_recipe(trace: Trace, name: str) -> Recipe:
    """A recipe with the steps, the order and the numbers of a trace; only the noise depends on the seed."""
    steps = [{key: value for key, value in step.to_dict().items() if key != "seed"} for step in trace.operations]
    description = f"Fixed numbers: {trace.describe()}."
    return Recipe.model_validate(
        {"name": name, "description": description, "source": "Made by hand.", "operations": steps}
    )


def save_recipe(recipe: Recipe, root: str | Path) -> Path:
    """Write ``params/recipes/<name>.json`` below ``root`` atomically; returns its path.

    Raises:
        ValueError: the name has other characters than letters, digits, - and _, or is that of a shipped recipe.
        FileExistsError: the file exists.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", recipe.name):
        raise ValueError(f"name = {recipe.name!r}: expected letters, digits, - and _")
    if recipe.name in recipe_names():
        raise ValueError(f"name = {recipe.name!r}: a shipped recipe has this name")
    path = Path(root) / SAVED / f"{recipe.name}.json"
    if path.exists():
        raise FileExistsError(f"{(SAVED / path.name).as_posix()} exists already: choose another name")
    return write_text(path, recipe.to_json() + "\n")
