"""docs/recipes.md and its pictures show the recipes as they are."""

from pathlib import Path
from types import ModuleType

import pytest
import scripts
from PIL import Image

from hifacegan_lib.degradations.recipes import Recipe, load_recipe, recipe_names

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run: python docs/recipes.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return scripts.load("recipes")


def test_the_page_says_what_the_recipes_say(script: ModuleType) -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert text == script.page([load_recipe(name) for name in recipe_names()]), AGAIN


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_its_line_and_its_picture(name: str, script: ModuleType) -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert f"](recipes/{name}.jpg)" in text
    assert f"| [{name}](#{name}) | {load_recipe(name).description} |" in text
    path = DOCS / "recipes" / f"{name}.jpg"
    assert path.stat().st_size <= 200_000
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (8 * (script.SIDE + 2) - 2, 3 * (script.SIDE + 2) - 2)
        drawn, recipe = Recipe.from_json(picture.info["comment"]), load_recipe(name)
        assert (drawn.order, drawn.operations) == (recipe.order, recipe.operations), AGAIN  # words are not drawn


def test_no_picture_is_left_of_a_recipe_that_went() -> None:
    assert sorted(path.stem for path in (DOCS / "recipes").glob("*")) == recipe_names()


def test_numbers_become_words(script: ModuleType) -> None:
    lines = script.section(load_recipe("realesrgan")).splitlines()
    assert "  - (40.5%) `gaussian_blur`, sigma 0.2 to 3 px, size 6.01 to 21.99 px" in lines
    assert "  - (50%) `gaussian_noise`, sigma 1 to 30, channels rgb (60%) or grey (40%)" in lines
    assert "- (80%) one of:" in lines
    assert "In random order:" in script.section(load_recipe("report"))
