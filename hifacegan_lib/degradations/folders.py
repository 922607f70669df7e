"""Damage folders of images, and make single damaged images again from their traces."""

import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from hifacegan_lib.degradations.crop import whole_frame
from hifacegan_lib.degradations.recipes import Recipe, pair_seed
from hifacegan_lib.degradations.traces import REFERENCE_SIZE, Trace, key_of
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
    """Write a degraded PNG file for each image of ``source``, and traces.json; names of failed images go to stderr.

    Args:
        source: an image file or a folder (a tree) of them.
        size: crop each image to a square and resize it to this side first, pixels; None: as it is.
        keep: further files that no output may replace.
    Returns:
        How many images were degraded, and how many were left out.
    Raises:
        FileNotFoundError: no such source. ValueError: no image in it, or an output would replace an input.
    """
    sources, root = inputs.images_in(source, out)
    kept = out / "traces.json"
    targets = [(out / path.relative_to(root)).with_suffix(".png") for path in sources]
    inputs.refuse_inputs([*targets, kept], [*sources, *keep])
    traces: dict[str, object] = {}
    written: set[Path] = set()
    for path, target in zip(tqdm(sources, desc="degrade"), targets, strict=True):
        key = path.relative_to(root).as_posix()
        try:
            if target in written:
                raise ValueError(f"{path}: {target} was written for another image of that name")
            if target.exists() and not overwrite:
                raise ValueError(f"{target}: exists already; --overwrite replaces it")
            image = images.load_image(path)
            trace = recipe.sample(pair_seed(key, 0, seed), grid=size or REFERENCE_SIZE)
            if size:
                trace = trace.framed(whole_frame(image, size))
            images.save_image(target, trace.replay(image))
        except (ValueError, OSError) as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
            continue
        traces[key] = trace.to_dict()
        written.add(target)
    if traces:
        before = read_json(kept) if kept.exists() else {}  # of pictures that are still there
        write_json(kept, {**before, **traces})
    return len(traces), len(sources) - len(traces)


def replay_file(traces: Path, image: Path, out: Path, key: str = "", overwrite: bool = False) -> Trace:
    """Write the pixels of a trace again, from the source image; returns the trace.

    Args:
        traces: a JSON file with one trace, or with many by image key (traces.json, strip.json, metrics.json).
        key: which of many; by default the one whose key ends like the path of ``image``.
    Raises:
        FileNotFoundError: no such file. ValueError: no or several traces for the image, or ``out`` may not be written.
    """
    inputs.check_output(out, [image, traces], overwrite)
    content, where = read_json(traces), str(traces)
    if isinstance(content, dict) and isinstance(content.get("traces"), dict):
        content, where = content["traces"], f"{where}: traces"
    if isinstance(content, dict) and "operations" not in content:
        key = key or key_of(image, content, where)
        if key not in content:
            raise ValueError(f"{where}: no trace of {key!r}; --key names one of {', '.join(list(content)[:5])} ...")
        content, where = content[key], f"{where}: {key}"
    trace = Trace.from_dict(content, where)
    images.save_image(out, trace.replay(images.load_image(image)))
    return trace
