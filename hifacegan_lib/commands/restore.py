"""``restore`` restores photographs, folders of photographs, and films."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter


def restore(
    source: Path,
    out: Path,
    /,
    *,
    weights: Annotated[str | None, Parameter(["--weights", "--checkpoint"])] = None,
    licence: Literal["any"] | None = None,
    blend: float = 0.0,
    steps: int | None = None,
    detector: Literal["auto", "yunet", "haar"] = "auto",
    strength: float = 1.0,
    scale: Literal["auto", 1, 2, 4] = "auto",
    background: str = "lanczos",
    least: int | None = None,
    smooth: float = 0.8,
    every: int = 3,
    only_faces: bool = False,
    comparison: bool = False,
    aligned: bool = False,
    device: str = "auto",
    precision: Literal["float32", "bfloat16", "auto"] = "float32",
    overwrite: bool = False,
    jobs: int = 1,
    scheduler: str = "",
) -> int:
    """Restore the faces of a photograph, a folder of photographs, or a film.

    For example:

        hifacegan restore old.jpg restored/ --comparison
        hifacegan restore album/ restored/ --blend 0.5 --strength 0.8 --scale 2
        hifacegan restore clip.mp4 restored/ --every 1
        hifacegan restore crops/ restored/ --aligned --weights runs/demo/checkpoints/step_000400/ema.safetensors

    A photograph without a face is copied; with --strength 0, pixels and metadata stay as they are. The same command
    continues an interrupted one. Unreadable files are listed and make the exit code 1. restored.jsonl has a line about
    each photograph.

    Args:
        source: an image, a folder of images, or a film (.mp4, .mov, .avi, ...).
        out: folder for the results, with the same names; JPEG, PNG, WebP and TIFF keep their format, others become PNG.
        weights: compact-256 (with --licence any: open-256), another shipped name, realesrgan-x4plus once fetched, or a
            file: .safetensors, .pth, .pt or .ckpt of ours, of the published HiFaceGAN, of what spandrel recognises
            (GFPGAN, CodeFormer, SwinIR, ...), or .onnx.
        licence: any: refuse weights, also for --background, whose licence does not allow every purpose.
        blend: for shipped weights: from 0, fidelity, to 1, realism.
        steps: for flows: network passes for a face (as in the training).
        detector: face detector; auto: YuNet if it was fetched, else haar.
        strength: share of the network's change, 0 to 1.
        scale: factor of enlargement. auto: the least that keeps all detail of the smallest face, up to 100 megapixels.
        background: how all but the faces is enlarged: lanczos, or the name or file of a network, as for --weights, that
            takes pictures of any size.
        least: smallest width of a face that is restored, pixels (16, or 1/96 of the shorter side; 1/48 for haar).
        smooth: for films: from 0, each frame alone, to below 1.
        every: for films: the network draws a face in every so many frames, and whenever it looks different; 1: in each.
        only_faces: write the restored faces instead of the photographs.
        comparison: also write an image with before and after side by side.
        aligned: each image is one face, framed as in training.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: inside the network; bfloat16 is PyTorch's autocast; auto takes it where the device is made for it.
        overwrite: restore all again, and replace existing files.
        jobs: processes on this machine; 0: one for each core. The files are the same for any number.
        scheduler: address of a Dask cluster; all machines must see the same folders.
    """
    from tqdm import tqdm

    from hifacegan_lib.restoration import batch, films, pretrained, video
    from hifacegan_lib.utils import inputs

    film, around = source.suffix.lower() in films.SUFFIXES, background != "lanczos"
    if film and (aligned or scale not in ("auto", 1) or only_faces or comparison or jobs != 1 or scheduler or around):
        options = "--aligned, --scale 2 or 4, --only-faces, --comparison, --background, --jobs or --scheduler"
        raise ValueError(f"{source}: a film takes no {options}")
    if aligned and (scale not in ("auto", 1) or only_faces or around):
        raise ValueError("--aligned: the picture is the face; no --scale, --only-faces or --background")
    if source.is_dir() and source.resolve() == out.resolve():
        raise ValueError(f"{out}: the outputs would replace the inputs; choose another folder, or one inside it")
    model = pretrained.load_model(weights, blend, device, precision, steps, licence=licence)
    if model.results is not None:
        raise ValueError(
            f"{model.name}: a folder of results restores no other faces; a name or a file is expected here"
        )
    if film:
        target = (out / source.name).with_suffix(".mp4")
        draw = partial(video.restore_video, source, target, model, detector, strength, smooth, least, every=every)
        return _film(source, target, draw, overwrite, model.name)
    drawer = pretrained.load_model(background, 0, device, precision, licence=licence) if around else None
    settings = batch.Settings(detector, strength, scale, least, only_faces, comparison, aligned, drawer)
    sources = inputs.images_in(source, out)
    with tqdm(total=len(sources.files), desc="restore", unit="photo") as bar:
        say = partial(bar.write, file=sys.stderr)
        given = (sources.files, sources.root, out, model, settings, overwrite, say, bar.update)
        done = batch.restore_folder(*given, jobs=jobs, scheduler=scheduler)
    before = f", {done.before} done before" if done.before else ""
    empty = f", {done.without_face} without a face" if done.without_face else ""
    total = len(sources.files)
    count = total - done.before - len(done.failed)
    print(f"{count} of {total} done{before}{empty}, {len(done.failed)} left out; weights: {model.name}")
    if sources.aside:
        print(sources.aside_sentence)
    print(f"files    {out}\ntraces   {out / batch.JOURNAL}")
    return 1 if done.failed else 0


def _film(source: Path, target: Path, draw: Callable[..., Any], overwrite: bool, weights: str) -> int:
    """Restore one film by ``draw``, which takes ``progress``."""
    from tqdm import tqdm

    from hifacegan_lib.utils import folder_lock, inputs, item_guard

    inputs.check_output(target, [source], overwrite)
    guard = item_guard.ItemGuard(partial(print, file=sys.stderr))
    with folder_lock.locked(target.parent), guard.item(source), tqdm(desc="restore", unit="frame") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        made = draw(progress=progress)
        bar.close()
        print(f"{made.summary}; weights: {weights}\nfilm     {made.path}")
        for sentence in made.differs:
            guard.report(f"differs from the source: {sentence}")
        return 1 if made.differs else 0
    return 1
