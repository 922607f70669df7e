"""What a notebook calls for the artefact of the one before it: there already, or made now by the same call.

Parameters in, artefacts out; every function is a few lines of wiring between a notebook's parameters and the library.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from hifacegan_lib import checkpoints, training
from hifacegan_lib.datasets import FaceLoader, LoaderConfig, get_face_loader
from hifacegan_lib.generator import Generator
from hifacegan_lib.manifest import Manifest
from hifacegan_lib.params import DataPreparation, Evaluation, Params, PhotoRestoration, Training
from hifacegan_lib.preparation import prepare
from hifacegan_lib.runs import data_folder, load_profile, open_run, project_root, run_folder, write_json

STRIP = 8  # validation faces in the pictures of a training run


def upstream(notebook: str, p: Params) -> Any:
    """Parameters of another notebook in ``p``'s profile, with the values that ``p`` has for the same keys."""
    mine = p.model_dump()
    theirs = load_profile(p.profile)[notebook]
    return type(theirs).checked({**theirs.model_dump(), **{k: mine[k] for k in mine if k in _CARRIED}}, notebook)


_CARRIED = frozenset({"profile", "data_dir", "seed"})


def prepare_data(p: DataPreparation) -> Manifest:
    """Notebook 01's artefact: the manifest in ``p.data_dir``, made when missing."""
    values = p.model_dump(exclude={"profile"})
    source = Path(p.source_path).expanduser() if p.source_path else None
    values["source_path"] = str(project_root() / source) if source else ""
    return prepare(**{**values, "data_dir": data_folder(p.data_dir)})


def find_data(p: Params) -> Manifest:
    """The manifest in ``p.data_dir``, whatever made it; when there is none, the profile's."""
    if (data_folder(p.data_dir) / "manifest.json").exists():
        return Manifest.load(data_folder(p.data_dir))
    return prepare_data(upstream("01_data_preparation", p))


def recipe_file(recipe: str) -> str:
    """A shipped recipe's name as it is; a JSON file's path from the project's folder, like every path in params/."""
    return str(project_root() / Path(recipe).expanduser()) if recipe.endswith(".json") else recipe


def training_pairs(p: Training) -> FaceLoader:
    """Shuffled, cropped, flipped pairs of the training split."""
    find_data(p)
    config = LoaderConfig(
        data_dir=data_folder(p.data_dir),
        image_size=p.image_size,
        recipe=recipe_file(p.recipe),
        batch_size=p.batch_size,
        crop_min=p.crop_min,
        flip_probability=p.flip_probability,
        seed=p.seed,
        workers=p.workers,
    )
    return get_face_loader(config, "train")


def fixed_pairs(p: Params, split: str, image_size: int, recipe: str, batch_size: int) -> FaceLoader:
    """Pairs for looking and measuring: whole faces, no flip, the same damage every time."""
    find_data(p)
    config = LoaderConfig(
        data_dir=data_folder(p.data_dir),
        image_size=image_size,
        recipe=recipe_file(recipe),
        batch_size=batch_size,
        seed=p.seed,
    )
    return get_face_loader(config, split)


def train_model(p: Training) -> Path:
    """Notebook 04's artefact: the folder of a finished run, trained or resumed when it is not finished."""
    folder = open_run(p, p.run_name, p.overwrite)
    pairs = training_pairs(p)
    shutil.copyfile(data_folder(p.data_dir) / "manifest.json", folder / "manifest.json")
    strip = next(iter(fixed_pairs(p, "valid", p.image_size, p.recipe, STRIP)))
    traces = {key: json.loads(trace) for key, trace in zip(strip["key"], strip["trace"], strict=True)}
    write_json(folder / "strip.json", {"traces": traces})
    training.train(p, pairs.batches, strip, folder)
    return folder


def find_model(p: Evaluation | PhotoRestoration) -> tuple[Generator, dict[str, Any]]:
    """``p.checkpoint``, else the newest of ``p.run_name``, else the profile's run, trained now."""
    device = training.pick_device(p.device)
    if p.checkpoint:
        return checkpoints.load_generator(project_root() / Path(p.checkpoint).expanduser(), device)
    folder = run_folder(p.run_name)
    if not checkpoints.steps(folder / "checkpoints"):
        t = upstream("04_training", p)
        folder = train_model(t.checked({**t.model_dump(), "run_name": p.run_name}, "04_training"))
    return checkpoints.load_generator(checkpoints.latest_generator(folder), device)
