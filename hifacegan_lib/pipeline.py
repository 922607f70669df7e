"""The functions that notebooks call for their artefacts: images, pairs, trained runs, models.

Each takes a notebook's parameters. An artefact that exists is loaded; a missing one is made, with the profile's values.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hifacegan_lib import first_networks
from hifacegan_lib.data.face_loader import FaceLoader, LoaderConfig
from hifacegan_lib.data.manifest import Manifest
from hifacegan_lib.data.mirrors import is_address
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.models import checkpoints, networks
from hifacegan_lib.models.flow import Flow
from hifacegan_lib.params import (
    MAY_CHANGE,
    DataPreparation,
    Evaluation,
    Params,
    ParamsError,
    PhotoRestoration,
    Training,
)
from hifacegan_lib.reports.progress import open_progress
from hifacegan_lib.reports.run_log import read_lines
from hifacegan_lib.reports.run_report import TrainingRecord, write_report
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.runs import REMOVED_FOLDERS, data_folder, load_notebook, open_run, project_path, run_folder, shown
from hifacegan_lib.training import distributed, loop
from hifacegan_lib.training.losses import Weighted
from hifacegan_lib.training.presence import watched
from hifacegan_lib.utils.files import read_json, sha256, write_json
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.machine import find_device

STRIP = 8  # validation faces in the pictures of a training run


def upstream(notebook: str, p: Params) -> Any:
    """Parameters of an earlier notebook in ``p``'s profile, with ``p``'s profile, data_dir and seed."""
    shared = p.model_dump(include=set(Params.model_fields))
    earlier = load_notebook(p.profile, notebook)
    return type(earlier).checked({**earlier.model_dump(), **shared}, notebook)


def prepare_data(p: DataPreparation, workers: int = 0) -> Manifest:
    """Notebook 01: the manifest in ``p.data_dir``, made when missing; that of shards at an address is read.

    Args:
        workers: threads that check the images; 0: one for each core. The manifest does not depend on it.
    Raises:
        FileExistsError, ValueError, OSError: as :func:`hifacegan_lib.data.preparation.prepare`.
        ParamsError: ``overwrite`` of shards at an address.
    """
    if is_address(p.data_dir):
        if p.overwrite:
            raise ParamsError(
                f"data_dir = {p.data_dir!r}: shards at an address are only read; overwrite needs a folder"
            )
        return Manifest.load(data_folder(p.data_dir))
    source = str(project_path(p.source_path)) if p.source_path else ""
    values = p.model_dump(exclude={"profile"})
    return prepare(**{**values, "source_path": source, "data_dir": data_folder(p.data_dir)}, workers=workers)


def find_data(p: Params) -> Manifest:
    """The manifest in ``p.data_dir``; a missing one is made with the profile's values."""
    if (data_folder(p.data_dir) / "manifest.json").exists():
        return Manifest.load(data_folder(p.data_dir))
    return prepare_data(upstream("01_data_preparation", p))


def recipe_file(recipe: str) -> str:
    """The name of a shipped recipe, unchanged; the path of a JSON file, absolute."""
    return str(project_path(recipe)) if recipe.endswith(".json") else recipe


def training_pairs(p: Training) -> FaceLoader:
    """Pairs of the training split, for training: in random order, with random crops and flips."""
    random = {"crop_min": p.crop_min, "flip_probability": p.flip_probability}
    return _pairs(p, "train", p.image_size, p.recipe, p.batch_size, workers=p.workers, **random)


def fixed_pairs(p: Params, split: str, image_size: int, recipe: str, batch_size: int) -> FaceLoader:
    """Pairs for pictures and measurements: whole faces in a fixed order, without flips, always with the same damage.

    Args:
        split: "train" or "valid".
        image_size: side of the faces, pixels.
        recipe: a shipped recipe's name or a JSON file.
        batch_size: pairs in each batch.
    """
    return _pairs(p, split, image_size, recipe, batch_size)


def _pairs(p: Params, split: str, image_size: int, recipe: str, batch_size: int, **options: Any) -> FaceLoader:
    find_data(p)
    data_dir, recipe = data_folder(p.data_dir), recipe_file(recipe)
    return FaceLoader(LoaderConfig(data_dir, image_size, recipe, batch_size, seed=p.seed, **options), split)


def train_model(p: Training, losses: Mapping[str, Weighted] | None = None, generator: nn.Module | None = None) -> Path:
    """Notebook 04: train a run, or continue an unfinished one. Returns the run's folder.

    Under ``torchrun`` all processes call this and train one run. A finished run is measured on every validation face
    (result.json). A finished run and one that was stopped by hand leave report.html.

    Args:
        losses, generator: of your own, as in :func:`hifacegan_lib.train`.
    Raises:
        FileExistsError: the folder holds a run with other parameters or images; the message lists the differences.
        ParamsError: ``overwrite`` would remove a file that the training reads.
        BlockingIOError: another process trains this run.
        ConnectionError: a process of this training, perhaps on another machine, is lost.
    """
    fabric = distributed.launch(p.device, p.precision)
    folder = run_folder(p.run_name)
    for name in ("init_from", "flow_mean", "perceptual_file", "recipe"):
        given = project_path(getattr(p, name) or ".").resolve()
        if p.overwrite and any(given.is_relative_to(folder / part) for part in REMOVED_FOLDERS):
            raise ParamsError(f"{name} = {getattr(p, name)!r}: overwrite would remove it; choose another run_name")
    with locked(folder) if fabric.is_global_zero else nullcontext(), watched(fabric):
        return _train(p, fabric, losses, generator)


def _train(p: Training, fabric: Any, losses: Mapping[str, Weighted] | None, generator: nn.Module | None) -> Path:
    folder = run_folder(p.run_name)
    made = first_networks.make(p, fabric.device, generator)  # first, since a network that fails leaves no run
    own = {} if generator is None else {"network": networks.title(generator)}
    if fabric.is_global_zero:
        open_run(p, own)
        copy_manifest(find_data(p), folder)
    fabric.barrier()
    pairs, found = training_pairs(p), checkpoints.list_complete(folder / "checkpoints")
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
    vgg = str(project_path(p.perceptual_file)) if p.perceptual_file else ""
    last = loop.train(
        p.model_copy(update={"perceptual_file": vgg}),
        lambda start: pairs.batches(start, fabric.global_rank, fabric.world_size),
        strip,
        folder,
        made,
        fabric,
        dependencies(p),
        show,
        losses,
    )
    measured = (folder / "result.json").exists()
    if fabric.is_global_zero and not (measured and done == p.steps):
        if last.name == f"step_{p.steps:06d}":
            write_result(p, folder, last, generator)
        record = TrainingRecord.load(folder)
        if record is not None:  # None: the run was stopped before it wrote its first line
            environment = read_json(folder / "environment.json")
            write_report(folder / "report.html", None, {}, p.model_dump() | own, environment, p.run_name, record)
    fabric.barrier()
    return folder


def dependencies(p: Training) -> dict[str, Any]:
    """All that a run's weights depend on: parameters, recipe, and the hashes of images and initial weights."""
    manifest = find_data(p)
    recipe = json.loads(load_recipe(recipe_file(p.recipe)).to_json())
    lines = sorted(f"{entry.split} {entry.key} {entry.content_sha256}" for entry in manifest.files())
    return {
        "parameters": p.model_dump(exclude=MAY_CHANGE),
        "recipe": {k: v for k, v in recipe.items() if k not in ("description", "source", "license")},
        "data": {
            **{split: len(manifest.files(split)) for split in ("train", "valid")},
            "sha256": hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest(),
        },
        "init_from": sha256(first_networks.weights_file(p.init_from)) if p.init_from else None,
        "perceptual_file": sha256(project_path(p.perceptual_file)) if p.perceptual_file else None,
        **({"flow_mean": sha256(first_networks.mean_file(p.flow_mean))} if p.objective == "flow" else {}),
    }


def copy_manifest(manifest: Manifest, folder: Path) -> None:
    """Copy the manifest into a run's folder; FileExistsError if the run has checkpoints of other images."""
    kept = folder / "manifest.json"
    if kept.exists() and checkpoints.list_complete(folder / "checkpoints"):
        there, asked = (
            {entry.key: f"{entry.split} {entry.content_sha256:.8}" for entry in files.files()}
            for files in (Manifest.load(folder), manifest)
        )
        if found := checkpoints.differences(there, asked):
            raise FileExistsError(
                f"{shown(folder)} holds a run on other images: {len(found)} differ ({found[0]}); "
                "choose another run_name, or overwrite = true"
            )
    shutil.copyfile(manifest.folder / "manifest.json", kept)


def write_result(p: Training, folder: Path, last: Path, network: nn.Module | None) -> None:
    """Write result.json of a finished run: metrics of the averaged weights on all validation faces, and the run's cost.

    ``last`` is its newest checkpoint; ``network`` is of the checkpoint's class, unless that is ``Generator``.
    """
    device = torch.device(find_device(p.device))
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


def find_model(p: Evaluation) -> tuple[Any, dict[str, Any]]:
    """Notebook 05: the model to evaluate, in ``eval()``, and the info in its file (image size, recipe, step).

    It is ``p.checkpoint``; if that is empty, the newest checkpoint of ``p.run_name``, which is trained when missing.

    Raises:
        FileNotFoundError: no such file. ValueError: the file holds no generator; ``flow_steps`` of no flow.
    """
    path = pretrained.find(p.checkpoint) or (project_path(p.checkpoint) if p.checkpoint else _newest(p))
    model, info = checkpoints.load_generator(path, find_device(p.device))
    if p.flow_steps:
        if not isinstance(model, Flow):
            raise ParamsError(f"flow_steps = {p.flow_steps}: {path.name} is no flow; expected 0")
        model.steps = p.flow_steps
    return model, info


def training_record(p: Evaluation) -> TrainingRecord | None:
    """The training of the evaluated model; None if ``p.checkpoint`` is set, since it may come from another run."""
    return None if p.checkpoint else TrainingRecord.load(run_folder(p.run_name))


def find_restorer(p: PhotoRestoration, blend: float | None = None) -> Model:
    """Notebook 06: the model that restores photographs.

    It is ``p.weights``; if that is empty, the newest checkpoint of ``p.run_name``, which is trained when missing.

    Args:
        blend: replaces ``p.blend``.
    Raises:
        FileNotFoundError, ValueError: as :func:`hifacegan_lib.restoration.pretrained.load_model`.
    """
    named = pretrained.is_name(p.weights) or not p.weights
    weights = p.weights or _newest(p) if named else project_path(p.weights)
    return pretrained.load_model(weights, p.blend if blend is None else blend, p.device, steps=p.flow_steps or None)


def _newest(p: Evaluation | PhotoRestoration) -> Path:
    folder = run_folder(p.run_name)
    if not checkpoints.list_complete(folder / "checkpoints"):
        t = upstream("04_training", p)
        folder = train_model(t.checked({**t.model_dump(), "run_name": p.run_name}, "04_training"))
    return checkpoints.latest_generator(folder)
