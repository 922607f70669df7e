"""Degrade a folder of images; make a degraded image again from its trace."""

import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from hifacegan_lib.degradations.crop import whole_frame
from hifacegan_lib.degradations.recipes import Recipe, pair_seed
from hifacegan_lib.degradations.traces import REFERENCE_SIZE, Trace, find_key
from hifacegan_lib.utils import images, inputs
from hifacegan_lib.utils.files import read_json, write_json


def degrade_folder(
    source: Path,
    out: Path,
    recipe: Recipe,
    size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    keep: Iterable[Path] = (),
) -> tuple[int, int]:
    """Write a degraded PNG file for each image of ``source``, and traces.json; errors of single images go to stderr.

    Args:
        source: an image file, or a folder of images with its subfolders.
        size: side in pixels of the centred square to which each image is first cropped and resized; None: no crop.
        keep: further files that no output may replace.
    Returns:
        The numbers of degraded and of skipped images.
    Raises:
        FileNotFoundError: no such source. ValueError: no image in it, or an output would replace an input.
    """
    sources, root = inputs.images_in(source, out)
    traces_file = out / "traces.json"
    targets = [(out / path.relative_to(root)).with_suffix(".png") for path in sources]
    inputs.refuse_inputs([*targets, traces_file], [*sources, *keep])
    traces: dict[str, object] = {}
    written: set[Path] = set()
    for path, target in zip(tqdm(sources, desc="degrade"), targets, strict=True):
        key = path.relative_to(root).as_posix()
        try:
            if target in written:
                raise ValueError(f"{path}: {target} was written for another image of the same name")
            if target.exists() and not overwrite:
                raise ValueError(f"{target}: exists already; --overwrite replaces it")
            image = images.load_image(path)
            trace = recipe.sample(pair_seed(key, 0, seed), grid=size or REFERENCE_SIZE)
            if size:
                trace = trace.with_frame(whole_frame(image, size))
            images.save_image(target, trace.replay(image))
        except (ValueError, OSError) as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
            continue
        traces[key] = trace.to_dict()
        written.add(target)
    if traces:
        before = read_json(traces_file) if traces_file.exists() else {}  # images of earlier calls
        write_json(traces_file, {**before, **traces})
    return len(traces), len(sources) - len(traces)


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
