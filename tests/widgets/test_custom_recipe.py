"""Steps by hand as recipes, and saved recipes."""

from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.degradations.recipes import Trace, load_recipe
from hifacegan_lib.widgets.custom_recipe import default_step, fixed_recipe, save_recipe


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_operation_has_middle_numbers_that_do_something(op: str) -> None:
    step = default_step(op)
    assert dict(step.values).keys() == OPERATIONS[op].parameters.keys()
    face = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.any(Trace.of("by hand", step, grid=64).apply(face) != face) or op == "resize"


@pytest.mark.parametrize("name", ["report", "realesrgan", "old_photo"])
def test_a_fixed_recipe_draws_the_same_numbers_and_only_new_noise(name: str) -> None:
    trace = load_recipe(name).sample(5, grid=64)
    recipe = fixed_recipe(trace, "mine")
    assert recipe.name == "mine"

    def numbers(trace: Trace) -> list[dict[str, object]]:
        return [{k: v for k, v in step.values if k != "seed"} | {"op": step.op} for step in trace.operations]

    assert numbers(recipe.sample(0)) == numbers(recipe.sample(1)) == numbers(trace)


def test_a_recipe_is_saved_whole_and_once(tmp_path: Path) -> None:
    recipe = fixed_recipe(Trace.of("by hand", default_step("jpeg"), default_step("gaussian_noise")), "mine")
    path = save_recipe(recipe, tmp_path)
    assert path == tmp_path / "params" / "recipes" / "mine.json"
    assert load_recipe(path) == recipe
    assert [file.name for file in path.parent.iterdir()] == ["mine.json"]
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"^params/recipes/mine\.json exists already"):
        save_recipe(fixed_recipe(Trace.of("by hand"), "mine"), tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "by/hand", "report"])
def test_names_that_are_no_files_or_shipped_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name = "):
        save_recipe(fixed_recipe(Trace.of("by hand"), name), tmp_path)
    assert not list(tmp_path.iterdir())
