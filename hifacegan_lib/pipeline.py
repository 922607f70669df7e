"""What a notebook calls for the artefact of the one before it: there already, or made now by the same call.

Parameters in, artefacts out; every function is a few lines of wiring between a notebook's parameters and the library.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hifacegan_lib.data.manifest import Manifest
from hifacegan_lib.data.pairs import FaceLoader, LoaderConfig, get_face_loader
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.models import checkpoints, published
from hifacegan_lib.models.generator import Generator
from hifacegan_lib.params import DataPreparation, Evaluation, Params, ParamsError, PhotoRestoration, Training
from hifacegan_lib.reports.progress import open_progress
from hifacegan_lib.reports.run_log import read_lines
from hifacegan_lib.reports.run_report import TrainingRecord, write_report
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.runs import (
    RESUMABLE,
    data_folder,
    load_notebook,
    open_run,
    project_root,
    run_folder,
    shown,
)
from hifacegan_lib.training import distributed, loop
from hifacegan_lib.training.losses import Weighted
from hifacegan_lib.training.state import Networks
from hifacegan_lib.utils.files import sha256, write_json

STRIP = 8  # validation faces in the pictures of a training run


def upstream(notebook: str, p: Params) -> Any:
    """Parameters of another notebook in ``p``'s profile, with the values that ``p`` has for the same keys."""
    mine = p.model_dump()
    theirs = load_notebook(p.profile, notebook)
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


def train_model(p: Training, losses: Mapping[str, Weighted] | None = None, generator: nn.Module | None = None) -> Path:
    """Notebook 04's artefact: the folder of a run, trained, or continued when it is not finished.

    Under ``torchrun`` all processes call this and train one run. Stopped by hand it returns the run as it is; finished,
    the run is measured on every validation face (result.json). Both leave report.html.

    Args:
        losses: name -> (weight, function of restored, clean, degraded, each N x 3 x H x W in [0, 1], to a scalar),
            beside those of ``p``. The name is that of its curve.
        generator: trained instead of the one that ``p`` describes; any class, N x 3 x H x W in [0, 1] to the same.
    Raises:
        FileExistsError: the folder holds a run with other parameters or images; the message lists what differs.
    """
    fabric = distributed.launch(p.device, p.precision)
    folder = run_folder(p.run_name)
    if p.overwrite and p.init_from and _init_path(p.init_from).resolve().is_relative_to(folder / "checkpoints"):
        raise ParamsError(f"init_from = {p.init_from!r}: overwrite would remove it; choose another run_name")
    if fabric.is_global_zero:
        open_run(p, p.run_name, p.overwrite)
        keep_manifest(find_data(p), folder)
    fabric.barrier()
    pairs, found = training_pairs(p), checkpoints.steps(folder / "checkpoints")
    if found and not p.resume:
        raise FileExistsError(
            f"{shown(folder)} has checkpoints, and resume = false would train beside them; "
            "overwrite = true begins anew, another run_name keeps both"
        )
    strip = next(iter(fixed_pairs(p, "valid", p.image_size, p.recipe, STRIP)))
    done = int(found[-1].name.removeprefix("step_")) if found else 0
    show = None
    if fabric.is_global_zero:
        traces = {key: json.loads(trace) for key, trace in zip(strip["key"], strip["trace"], strict=True)}
        write_json(folder / "strip.json", {"traces": traces})
        show = open_progress(p.progress if done < p.steps else "none", done, p.steps, read_lines(folder, done))
    vgg = str(_init_path(p.perceptual_file)) if p.perceptual_file else ""
    networks = begin_from(p, fabric.device)
    if generator is not None:
        networks = generator.to(fabric.device), (networks or loop.build(p, fabric.device))[1]
    last = loop.train(
        p.model_copy(update={"perceptual_file": vgg}),
        lambda start: pairs.batches(start, fabric.global_rank, fabric.world_size),
        strip,
        folder,
        networks,
        fabric,
        identity(p),
        show,
        losses,
    )
    measured = (folder / "result.json").exists()
    if fabric.is_global_zero and not (measured and done == p.steps):
        if last.name == f"step_{p.steps:06d}":
            measure_run(p, folder, last, generator)
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        record = TrainingRecord.load(folder)
        if record is not None:  # nothing is written down yet of a run that was stopped at once
            write_report(folder / "report.html", None, {}, p.model_dump(), environment, p.run_name, record)
    fabric.barrier()
    return folder


def identity(p: Training) -> dict[str, Any]:
    """What a run's weights depend on: parameters, the recipe's content, the images' bytes, what it began from."""
    manifest = find_data(p)
    lines = sorted(f"{entry.split} {entry.key} {entry.sha256}" for entry in manifest.files())
    return {
        "parameters": {key: value for key, value in p.model_dump().items() if key not in RESUMABLE},
        "recipe": json.loads(load_recipe(recipe_file(p.recipe)).to_json()),
        "data": {
            **{split: len(manifest.files(split)) for split in ("train", "valid")},
            "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        },
        "init_from": sha256(_weights_file(p.init_from)) if p.init_from else None,
        "perceptual_file": sha256(_init_path(p.perceptual_file)) if p.perceptual_file else None,
    }


def keep_manifest(manifest: Manifest, folder: Path) -> None:
    """Copy the manifest into the run's folder, unless the run was trained on other images.

    Raises:
        FileExistsError: it was; the message counts what was added, is gone, has changed.
    """
    kept = folder / "manifest.json"
    if kept.exists() and checkpoints.steps(folder / "checkpoints"):
        there = {entry.key: (entry.split, entry.sha256) for entry in Manifest.load(folder).files()}
        asked = {entry.key: (entry.split, entry.sha256) for entry in manifest.files()}
        kinds = {
            "added": asked.keys() - there.keys(),
            "gone": there.keys() - asked.keys(),
            "changed": {key for key in asked.keys() & there.keys() if asked[key] != there[key]},
        }
        said = [f"{len(keys)} {kind} ({min(keys)} ...)" for kind, keys in kinds.items() if keys]
        if said:
            raise FileExistsError(
                f"{shown(folder)} holds a run on other images: {', '.join(said)}; "
                "choose another run_name, or overwrite = true"
            )
    shutil.copyfile(manifest.folder / "manifest.json", kept)


def begin_from(p: Training, device: torch.device) -> Networks | None:
    """The networks that ``init_from`` asks for, None when it asks for nothing.

    A file (ours, or published) gives the generator; the discriminator is fresh, and ``discriminator_warmup`` lets it
    learn before the generator listens. A training checkpoint's folder gives both.

    Raises:
        ParamsError: the folder's discriminator is of another width.
    """
    if not p.init_from:
        return None
    loaded, _ = published.read_any(_weights_file(p.init_from))
    generator, discriminator = loop.build(p, device, loaded.config)
    generator.load_state_dict(loaded.state_dict())
    if _weights_file(p.init_from) != _init_path(p.init_from):
        try:
            discriminator.load_state_dict(checkpoints.load_state(_init_path(p.init_from), device)["discriminator"])
        except RuntimeError:
            raise ParamsError(
                f"init_from = {p.init_from!r}: its discriminator is not of discriminator_width = "
                f"{p.discriminator_width}; name its generator.safetensors to begin with a fresh one"
            ) from None
    return generator, discriminator


def _init_path(init_from: str) -> Path:
    return project_root() / Path(init_from).expanduser()


def _weights_file(init_from: str) -> Path:
    path = _init_path(init_from)
    return path / "generator.safetensors" if path.is_dir() else path


def measure_run(p: Training, folder: Path, last: Path, network: nn.Module | None = None) -> dict[str, Any]:
    """result.json of a finished run: the averaged weights on every validation face, and what the run has cost."""
    device = distributed.pick_device(p.device)
    generator, _ = checkpoints.load_generator(last / "ema.safetensors", device, copy.deepcopy(network))
    metrics = standard(("psnr", "ssim"))
    pairs = fixed_pairs(p, "valid", p.image_size, p.recipe, p.batch_size)
    found = evaluate({"model": generator}, pairs, seed=p.seed, metrics=metrics, device=device)
    rows = {row["method"]: row for row in found.rows}
    log = read_lines(folder)
    result = {
        **{name: rows["model"][name] for name in metrics},
        **{f"{name}_degraded": rows["degraded"][name] for name in metrics},
        "gain": found.gain("model").mean,
        "faces": len(found.keys),
        "steps": p.steps,
        "seconds": log[-1]["seconds"],
        "parameters": sum(weight.numel() for weight in generator.parameters()),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "warnings": len(read_lines(folder, name="warnings.jsonl")),
    }
    write_json(folder / "result.json", result)
    return result


def find_model(p: Evaluation) -> tuple[Generator, dict[str, Any]]:
    """``p.checkpoint``, else the newest of ``p.run_name``, else the profile's run, trained now."""
    named = pretrained.find(p.checkpoint)
    path = named or (project_root() / Path(p.checkpoint).expanduser() if p.checkpoint else _newest(p))
    return checkpoints.load_generator(path, distributed.pick_device(p.device))


def training_record(p: Evaluation) -> TrainingRecord | None:
    """How the judged network was trained; None when ``p.checkpoint`` names one, for the run's curves are another's."""
    return None if p.checkpoint else TrainingRecord.load(run_folder(p.run_name))


def find_restorer(p: PhotoRestoration, blend: float | None = None) -> Model:
    """``p.weights``, shipped or a file, else the newest of ``p.run_name``, else the profile's run, trained now."""
    weights: str | Path = p.weights or _newest(p)
    if p.weights.endswith((".safetensors", ".onnx")):
        weights = project_root() / Path(p.weights).expanduser()
    return pretrained.load_model(weights, p.blend if blend is None else blend, p.device)


def _newest(p: Evaluation | PhotoRestoration) -> Path:
    folder = run_folder(p.run_name)
    if not checkpoints.steps(folder / "checkpoints"):
        t = upstream("04_training", p)
        folder = train_model(t.checked({**t.model_dump(), "run_name": p.run_name}, "04_training"))
    return checkpoints.latest_generator(folder)
