"""Write docs/recipes.md and draw an example of every recipe, docs/recipes/<name>.jpg.

Each example shows eight drawn faces of 512 pixels in three rows: the clean faces reduced, the faces damaged with seeds
0 to 7 reduced, and one eye of each damaged face at full resolution. Run this script after you change or add a recipe; a
test compares.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.operations import OPERATIONS, Names, Value
from hifacegan_lib.degradations.recipes import Draw, OneOf, Recipe, Shuffled, Steps, load_recipe, recipe_names
from hifacegan_lib.utils.images import Pixels, grid, resize

DOCS = Path(__file__).parent
FACES, FULL, SIDE = 8, 512, 112  # faces in a row; side of a face and side of a cell, pixels
EYE = (180, 140)  # top and left corner of the eye's cell in the full face
PAGE = """# What each recipe does

`python docs/recipes.py` makes this page from the files in
[hifacegan_lib/degradations/recipe_files](../hifacegan_lib/degradations/recipe_files).
Each example shows clean faces, the same faces damaged with seeds 0 to 7, and one eye of each damaged face at full
resolution. The faces are drawn, 512 x 512 pixels. Lengths count pixels of such a face and scale with the face; Gaussian
and Laplace noise count grey levels of 255. `hifacegan recipes NAME` prints a recipe as JSON: copy it to begin your own.

"""


def picture(recipe: Recipe, faces: Sequence[Pixels]) -> Pixels:
    """Three rows of faces: clean, damaged, an eye of each damaged face."""
    damaged = [recipe.sample(seed).apply(face) for seed, face in enumerate(faces)]
    top, left = EYE
    eyes = [np.ascontiguousarray(face[top : top + SIDE, left : left + SIDE]) for face in damaged]
    return grid([*(resize(face, SIDE, SIDE) for face in [*faces, *damaged]), *eyes], len(faces))


def save_small(path: Path, image: Pixels, recipe: Recipe) -> None:
    """Write a JPEG file. Its comment is the recipe, so that a test finds an outdated example."""
    Image.fromarray(image).save(path, quality=70, subsampling=0, optimize=True, comment=recipe.to_json().encode())


def section(recipe: Recipe) -> str:
    order = "In random order:" if recipe.order == "shuffled" else "In this order:"
    lines = [line for entry in recipe.operations for line in words(entry)]
    return "\n".join(
        [
            f"## {recipe.name}\n",
            f"{recipe.description}\n",
            f"![Clean faces, the faces damaged by {recipe.name}, and their eyes](recipes/{recipe.name}.jpg)\n",
            f"{order}\n",
            *lines,
            f"\nSource: {recipe.source}",
            f"\nLicence: {recipe.license}\n",
        ]
    )


def words(entry: Draw | OneOf | Steps | Shuffled, depth: int = 0, chance: float = 1.0) -> Iterator[str]:
    """The lines of an entry in a nested list; ``chance`` is the probability that ``one_of`` chooses the entry."""
    chance *= entry.probability
    start = "  " * depth + "- " + ("" if chance == 1 else f"({100 * chance:.3g}%) ")
    if isinstance(entry, Draw):
        kinds = OPERATIONS[entry.op].parameters
        drawn = {name: ends for name, ends in entry.ranges.items() if name != "seed"}
        numbers = [f"{k} {spread(ends, kinds[k])}" for k, ends in drawn.items() if set(ends) != {kinds[k].default}]
        yield start + ", ".join([f"`{entry.op}`", *numbers])
    elif isinstance(entry, OneOf):
        total = sum(option.weight for option in entry.one_of)
        yield start + "one of:"
        for option in entry.one_of:
            yield from words(option, depth + 1, option.weight / total)
    else:
        shuffled = isinstance(entry, Shuffled)
        yield start + ("in random order:" if shuffled else "in this order:")
        for inner in entry.shuffled if shuffled else entry.steps:
            yield from words(inner, depth + 1)


def spread(values: tuple[Value, ...], kind: object) -> str:
    if isinstance(kind, Names):
        names = [name for name in kind.names if name in values]
        even = len(set(map(values.count, names))) == 1
        return " or ".join(name if even else f"{name} ({values.count(name) / len(values):.0%})" for name in names)
    low, high = values
    unit = " px" if getattr(kind, "length", False) else ""
    return (f"{low}" if low == high else f"{low} to {high}") + unit


def page(recipes: Sequence[Recipe]) -> str:
    table = ["| Recipe | Damage |", "| --- | --- |"]
    table += [f"| [{recipe.name}](#{recipe.name}) | {recipe.description} |" for recipe in recipes]
    return PAGE + "\n".join(table) + "\n\n" + "\n".join(map(section, recipes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes to draw again (default: all); the page is always written")
    chosen = parser.parse_args().names or recipe_names()
    faces = [portrait(seed, FULL) for seed in range(FACES)]
    (DOCS / "recipes").mkdir(exist_ok=True)
    for name in chosen:
        recipe = load_recipe(name)
        save_small(DOCS / "recipes" / f"{name}.jpg", picture(recipe, faces), recipe)
    (DOCS / "recipes.md").write_text(page([load_recipe(name) for name in recipe_names()]), encoding="utf-8")


if __name__ == "__main__":
    main()
