"""The commands of ``hifacegan`` that read and write images: damage, replay, restore, score, compare.

The signature and docstring of a command are its help; ``cli`` registers the commands.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from hifacegan_lib.names import METRICS

Words = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def degrade(
    source: Path,
    out: Path,
    /,
    *,
    recipe: str = "report",
    size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
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
    """
    from hifacegan_lib.degradations import folders, recipes

    drawn = recipes.load_recipe(recipe)
    kept = [Path(recipe)] if recipe.endswith(".json") else []
    done, left_out = folders.degrade_folder(source, out, drawn, size, seed, overwrite, kept)
    print(f"{done} degraded by {drawn.name} into {out}; {left_out} left out")
    return 1 if left_out else 0


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


def restore(
    source: Path,
    out: Path,
    /,
    *,
    weights: Annotated[str, Parameter(["--weights", "--checkpoint"])] = "compact-256",
    blend: float = 0.0,
    detector: Literal["auto", "yunet", "haar"] = "auto",
    strength: float = 1.0,
    scale: Literal[1, 2, 4] = 1,
    least: int | None = None,
    smooth: float = 0.6,
    only_faces: bool = False,
    comparison: bool = False,
    aligned: bool = False,
    device: str = "auto",
    precision: Literal["float32", "bfloat16", "auto"] = "float32",
    overwrite: bool = False,
) -> int:
    """Restore the faces of a photograph, a folder of photographs, or a film.

    For example:

        hifacegan restore old.jpg restored/ --comparison
        hifacegan restore album/ restored/ --blend 0.5 --strength 0.8 --scale 2
        hifacegan restore clip.mp4 restored/ --smooth 0.7
        hifacegan restore crops/ restored/ --aligned --weights runs/demo/checkpoints/step_000400/ema.safetensors

    A photograph without a face is copied. The same command continues an interrupted one. Unreadable files are listed
    and make the exit code 1. restored.jsonl has a line about each photograph.

    Args:
        source: an image, a folder of images, or a film (.mp4, .mov, .avi, ...).
        out: folder for the results, with the same names and formats.
        weights: a shipped name, a .safetensors or an .onnx file.
        blend: for shipped weights: from 0, fidelity, to 1, realism.
        detector: face detector; auto: YuNet if it was fetched, else haar.
        strength: share of the network's change, 0 to 1.
        scale: factor of enlargement; Lanczos outside of the faces.
        least: smallest width of a face that is restored, pixels (16, or 1/96 of the shorter side; 1/48 for haar).
        smooth: for films: from 0, each frame alone, to below 1.
        only_faces: write the restored faces instead of the photographs.
        comparison: also write an image with before and after side by side.
        aligned: each image is one face, framed as in training.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: inside the network; bfloat16 is PyTorch's autocast; auto takes it where the device is made for it.
        overwrite: restore all again, and replace existing files.
    """
    from tqdm import tqdm

    from hifacegan_lib.restoration import batch, pretrained, video
    from hifacegan_lib.utils import inputs

    film = source.suffix.lower() in video.SUFFIXES
    if film and (aligned or scale != 1 or only_faces or comparison):
        raise ValueError(f"{source}: a film takes --detector, --strength, --least and --smooth, no other option")
    if aligned and (scale != 1 or only_faces):
        raise ValueError("--aligned: the picture is the face; --scale and --only-faces are for whole photographs")
    if source.is_dir() and source.resolve() == out.resolve():
        raise ValueError(f"{out}: the outputs would replace the inputs; choose another folder, or one inside it")
    model = pretrained.load_model(weights, blend, device, precision)
    if film:
        target = (out / source.name).with_suffix(".mp4")
        inputs.check_output(target, [source], overwrite)
        with tqdm(desc="restore", unit="frame") as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total or None
                bar.update(done - bar.n)

            made = video.restore_video(source, target, model, detector, strength, smooth, least, progress)
        print(f"{made.says}; sound is not kept; weights: {model.name}\nfilm     {made.path}")
        return 0
    settings = batch.Settings(detector, strength, scale, least, only_faces, comparison, aligned)
    sources, root = inputs.images_in(source, out)
    photos: Any = tqdm(sources, desc="restore", unit="photo")
    say = partial(photos.write, file=sys.stderr)
    done = batch.restore_folder(sources, root, out, model, settings, overwrite, say, lambda _: photos)
    before = f", {done.before} done before" if done.before else ""
    empty = f", {done.without_face} without a face" if done.without_face else ""
    count = len(sources) - done.before - len(done.failed)
    print(f"{count} of {len(sources)} done{before}{empty}, {len(done.failed)} left out; weights: {model.name}")
    print(f"files    {out}\ntraces   {out / batch.JOURNAL}")
    return 1 if done.failed else 0


def evaluate(
    *,
    restored: Path,
    reference: Path,
    degraded: Path | None = None,
    out: Path | None = None,
    metrics: Words = None,
    resize: str = "",
    crop: int = 0,
    groups: Path | None = None,
    samples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Score a folder of restored faces, by any restorer, against clean ones.

    For example:

        hifacegan evaluate --restored theirs/ --reference clean/ --degraded damaged/ --out scores/theirs
        hifacegan evaluate --restored x4/ --reference clean/ --metrics psnr ssim --resize bicubic --crop 4

    Images are paired by name (path without suffix). A name in one folder only is an error. Unreadable pairs are
    counted, listed, and make the exit code 1. Some metrics need files: see `hifacegan weights list`.

    Args:
        restored: folder of restored images.
        reference: folder of clean images.
        degraded: folder of the restorer's inputs, for the gain.
        out: folder for metrics.json, metrics.csv and report.html (runs/evaluate-NAME).
        metrics: names of metrics (all).
        resize: area, bilinear, bicubic or lanczos: resize images to the reference's size.
        crop: pixels to ignore at each border.
        groups: CSV file with a column key and one or more columns of labels, for results by label.
        samples: bootstrap resamples.
        seed: of the resamples.
        device: of the metrics' networks: auto, cpu, cuda, cuda:N or mps.
        overwrite: replace an existing evaluation.
    """
    from hifacegan_lib import runs
    from hifacegan_lib.reports import folder_reports
    from hifacegan_lib.utils import inputs
    from hifacegan_lib.utils.devices import find_device

    out = out or runs.run_folder(f"evaluate-{restored.resolve().name}")
    inputs.refuse_inputs([out / "metrics.csv"], [groups] if groups else [])
    names, where = metrics or METRICS, find_device(device)
    options: dict[str, Any] = {"resize_kernel": resize, "crop": crop, "labels": groups, "bootstrap_samples": samples}
    found = folder_reports.evaluate_folders(
        restored, reference, out, degraded, names, **options, seed=seed, device=where, overwrite=overwrite
    )
    print(f"{len(found.keys)} faces of {found.conditions['image_size']}; {found.conditions['file_format']}\n")
    print(found.summary().to_string() + "\n")
    if "degraded" in found.scores and "psnr" in found.available:
        print(f"restored over degraded: {found.gain('restored')} dB, face by face\n")
    for sentence in found.exclusions():
        print(sentence)
    for key, reason in found.conditions["unreadable"].items():
        print(f"unreadable: {key}: {reason}", file=sys.stderr)
    for name, reason in found.conditions["unavailable"].items():
        print(f"{found.metrics[name].label} is missing: {reason}")
    print(f"\nnumbers  {out / 'metrics.json'}\nreport   {out / 'report.html'}")
    return 1 if found.conditions["unreadable"] else 0


def compare(run_a: str, run_b: str, /, *, method: str = "", metric: str = "", out: Path | None = None) -> int:
    """Compare two evaluations face by face: differences, intervals, wins, the faces with the largest changes.

    For example:

        hifacegan compare demo demo-lip
        hifacegan compare scores/theirs scores/ours --metric lpips

    Args:
        run_a: a run's name, or a folder with metrics.json.
        run_b: a second run's name or folder.
        method: row to compare, in both evaluations (model, or restored).
        metric: the table's first metric, which orders the faces (psnr).
        out: folder for comparison.json and comparison.html (runs/compare-A-B).
    """
    from hifacegan_lib import runs
    from hifacegan_lib.reports import folder_reports

    folders = [path if (path := Path(name)).is_dir() else runs.run_folder(name) for name in (run_a, run_b)]
    out = out or runs.run_folder(f"compare-{folders[0].name}-{folders[1].name}")
    found = folder_reports.compare_folders(folders[0], folders[1], out, method, metric)
    for caution in found.cautions:
        print(f"note: {caution}")
    print(f"{found.summary().to_string()}\n\n{found.verdict()}\n")
    for key, change in list(found.changed.items())[:5]:
        print(f"{change:+.{found.metrics['digits'].iloc[0]}f}  {key}")
    for name, (before, after) in found.params.items():
        print(f"{name}: {before} -> {after}")
    print(f"\nnumbers  {out / 'comparison.json'}\npage     {out / 'comparison.html'}")
    return 0
