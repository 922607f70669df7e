"""Degrade a folder of images; make a degraded image again from its trace."""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from hifacegan_lib.degradations.crop import whole_frame
from hifacegan_lib.degradations.recipes import Recipe, pair_seed
from hifacegan_lib.degradations.traces import REFERENCE_SIZE, Trace, find_key
from hifacegan_lib.utils import images, inputs
from hifacegan_lib.utils.files import read_json, write_json
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.item_guard import ItemGuard
from hifacegan_lib.utils.jobs import workers


class Degraded(NamedTuple):
    """Images degraded now, and before; failures: file -> reason; a sentence about files that are left aside."""

    done: int
    before: int
    failed: dict[str, str]
    aside: str


def degrade_folder(
    source: Path,
    out: Path,
    recipe: Recipe,
    size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    keep: Iterable[Path] = (),
    jobs: int = 1,
    scheduler: str = "",
) -> Degraded:
    """Write a degraded PNG file for each image of ``source``, and traces.json; errors of single images go to stderr.

    A degraded file with the same pixels is not written again. Two images never share a file: next to ``a.png``,
    ``a.gif`` becomes ``a.gif.png``.

    Args:
        source: an image file, or a folder of images with its subfolders.
        out: folder for the results; nothing below it is a source.
        size: side in pixels of the centred square to which each image is first cropped and resized; None: no crop.
        keep: further files that no output may replace.
        jobs, scheduler: see :func:`hifacegan_lib.utils.jobs.workers`.
    Raises:
        FileNotFoundError: no such source. ValueError: no image in it, two images become one file, an output would
            replace an input, or traces.json is damaged. BlockingIOError: another process writes into ``out``.
    """
    sources = inputs.images_in(source, out)
    traces_file = out / "traces.json"
    inputs.refuse_inputs([traces_file], [*sources.files, *keep])
    png = partial(inputs.output_file, suffix=".png")
    stems = inputs.plan_stems(sources.files, sources.root, out, lambda path, stem: [png(path, stem)], keep)
    guard = ItemGuard(partial(tqdm.write, file=sys.stderr))
    degrade = partial(_degrade, recipe=recipe, size=size, seed=seed, overwrite=overwrite)
    tasks = [(p.relative_to(sources.root).as_posix(), p, png(p, stem)) for p, stem in stems.items()]
    with locked(out), workers(jobs, scheduler) as each, tqdm(total=len(tasks), desc="degrade") as bar:
        earlier = read_json(traces_file) if traces_file.exists() else {}  # images of earlier calls
        ended: dict[str, object] = {}
        written: list[Path] = []
        for (key, path, target), result in each(degrade, tasks):
            with guard.item(path):
                ended[key], new = result()
                written += [target] * new
            bar.update()
        traces = {key: ended[key] for key, *_ in tasks if key in ended}
        lost = {key for key in earlier.keys() - traces.keys() if (out / key).with_suffix(".png") in written}
        kept = {key: trace for key, trace in earlier.items() if key not in lost}
        if {**kept, **traces} != earlier:
            write_json(traces_file, {**kept, **traces})
    return Degraded(len(written), len(traces) - len(written), guard.failed, sources.aside_sentence)


def _degrade(
    task: tuple[str, Path, Path], recipe: Recipe, size: int | None, seed: int, overwrite: bool
) -> tuple[dict[str, object], bool]:
    """Degrade one image, (key, source, target), perhaps on another machine: its trace, and whether a file was written.

    Raises:
        ValueError: there is another file already.
    """
    key, path, target = task
    image = images.load_image(path)
    trace = recipe.sample(pair_seed(key, 0, seed), grid=size or REFERENCE_SIZE)
    if size:
        trace = trace.with_frame(whole_frame(image.shape, size))
    degraded = trace.replay(image)
    there = target.exists()
    same = there and np.array_equal(images.load_image(target), degraded)
    if there and not same and not overwrite:
        raise ValueError(f"{target}: exists already; --overwrite replaces it")
    if not same:
        images.save_image(target, degraded)
    return trace.to_dict(), not same


def replay_file(traces: Path, image: Path, out: Path, key: str = "", overwrite: bool = False) -> Trace:
    """Apply a trace to its source image and write the degraded image; returns the trace.

    Args:
        traces: a JSON file with one trace, or with traces by image key (traces.json, strip.json, metrics.json).
        key: the trace's key in such a file; by default the key that ends the path of ``image``.
    Raises:
        FileNotFoundError: no such file. ValueError: no or several traces for the image, or ``out`` may not be written.
    """
    inputs.check_output(out, [image, traces], overwrite)
    content, where = read_json(traces), str(traces)
    if isinstance(content, dict) and isinstance(content.get("traces"), dict):
        content, where = content["traces"], f"{where}: traces"
    if isinstance(content, dict) and "operations" not in content:
        key = key or find_key(image, content, where)
        if key not in content:
            raise ValueError(f"{where}: no trace of {key!r}; --key names one of {', '.join(list(content)[:5])} ...")
        content, where = content[key], f"{where}: {key}"
    trace = Trace.parse(content, where)
    images.save_image(out, trace.replay(images.load_image(image)))
    return trace
