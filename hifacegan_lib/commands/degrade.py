"""``degrade`` damages images, ``replay`` applies a trace again, ``recipes`` lists and prints recipes."""

import json
from pathlib import Path


def degrade(
    source: Path,
    out: Path,
    /,
    *,
    recipe: str = "report",
    size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    jobs: int = 1,
    scheduler: str = "",
) -> int:
    """Write a degraded copy of each image of a folder, with its trace.

    For example:

        hifacegan degrade faces/ damaged/ --recipe face_renov --size 256 --seed 1

    Args:
        source: an image or a folder of them.
        out: folder for PNG files and traces.json.
        recipe: a shipped recipe's name or a JSON file.
        size: first crop each image to a square and resize it to this side, pixels; noise has the same pixel size.
        seed: of the damage.
        overwrite: replace existing files.
        jobs: processes on this machine; 0: one for each core. The files are the same for any number.
        scheduler: address of a Dask cluster; all machines must see the same folders.
    """
    from hifacegan_lib.degradations import folders, recipes

    drawn = recipes.load_recipe(recipe)
    kept = [Path(recipe)] if recipe.endswith(".json") else []
    found = folders.degrade_folder(source, out, drawn, size, seed, overwrite, kept, jobs, scheduler)
    before = f", {found.before} done before" if found.before else ""
    print(f"{found.done} degraded by {drawn.name} into {out}{before}; {len(found.failed)} left out")
    if found.aside:
        print(found.aside)
    return 1 if found.failed else 0


def replay(traces: Path, image: Path, out: Path, /, *, key: str = "", overwrite: bool = False) -> int:
    """Apply a trace again, for the same pixels.

    For example:

        hifacegan replay damaged/traces.json faces/0001.png again.png

    Args:
        traces: a file with one trace; or traces.json, metrics.json or strip.json, which hold many.
        image: the source image, before the crop of the trace.
        out: image file to write; PNG keeps every pixel.
        key: name of the trace in a file with many (the image's name).
        overwrite: replace an existing file.
    """
    from hifacegan_lib.degradations import folders

    print(f"{out}: {folders.replay_file(traces, image, out, key, overwrite).describe()}")
    return 0


def recipes(name: str = "", /, *, schema: bool = False) -> int:
    """List the shipped recipes, or print one as JSON.

    For example:

        hifacegan recipes
        hifacegan recipes face_renov > mine.json
        hifacegan recipes --schema > schema.json

    Args:
        name: a shipped recipe or a JSON file, which is checked.
        schema: print the JSON schema of recipes, for an editor.
    """
    from hifacegan_lib.degradations.recipes import load_recipe, recipe_names, recipe_schema

    if schema:
        print(json.dumps(recipe_schema(), indent=1))
    elif name:
        print(load_recipe(name).to_json())
    else:
        print("\n".join(f"{name:22} {load_recipe(name).description}" for name in recipe_names()))
    return 0
