"""Pictures for notebooks and reports: functions that take data and return a matplotlib ``Figure``.

Here are the canvas and rows of faces. Evaluations and networks have files of their own, built on this one.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hifacegan_lib.utils import files
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.utils.measures import psnr


def canvas(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Figure and 2-D array of axes, closed for pyplot: a notebook shows it once, as the value of its cell.

    ``options`` are those of ``plt.subplots``; the layout is constrained unless they say otherwise.
    """
    with plt.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(rows, columns, squeeze=False, **{"layout": "constrained", **options})
    plt.close(figure)
    return figure, axes


def save(figure: Figure, path: str | Path) -> Figure:
    """Write a figure, whole or not at all, in the format of the suffix; returns it, so that a cell shows it too."""
    with files.atomic(path) as partial:
        figure.savefig(partial, dpi=150, bbox_inches="tight", pad_inches=0.06)
    return figure


def show(axis: Any, image: Pixels, title: str = "") -> None:
    """Draw an image, uint8 H x W x 3, without ticks and frame."""
    axis.imshow(image, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=9)


def difference(clean: Pixels, image: Pixels) -> Pixels:
    """What was added to ``clean``, mean of the channels, on mid-grey: 128 is unchanged; uint8 H x W x 3, clipped."""
    added = (image.astype(np.float64) - clean).mean(2, keepdims=True) + 128
    return added.round().clip(0, 255).astype(np.uint8).repeat(3, 2)


def image_rows(
    rows: Mapping[str, Sequence[Pixels]],
    inch: float = 1.3,
    titles: Sequence[str] = (),
    captions: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Rows of images with a name at the left of each row, and an optional title above each column.

    Args:
        rows: name -> images, uint8 H x W x 3; every row of the same length.
        inch: width of one image on paper.
        titles: one for each column, or none.
        captions: name of a row -> a line below each of its images.
    Raises:
        ValueError: no image, or rows of different lengths.
    """
    lengths = {len(images) for images in rows.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"rows need the same number of images, at least one; got {sorted(lengths)}")
    columns = lengths.pop()
    captions = captions or {}
    height = inch * len(rows) + 0.2 * len(captions) + (0.3 if titles else 0.1)
    figure, axes = canvas(len(rows), columns, figsize=(inch * columns + 0.9, height), layout=None)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image, caption in zip(line, images, captions.get(name, [""] * columns), strict=True):
            show(axis, image)
            axis.set_xlabel(caption, fontsize=8, labelpad=3)
        line[0].set_ylabel(name, fontsize=10, rotation=0, ha="right", va="center", labelpad=6)
    for axis, title in zip(axes[0], titles, strict=bool(titles)):
        axis.set_title(title, fontsize=9)
    figure.tight_layout(pad=0.3)
    return figure


def contact_sheet(clean: Sequence[Pixels], damaged: Mapping[str, Sequence[Pixels]], inch: float = 1.3) -> Figure:
    """Faces side by side: clean above, below it a row for each way of damaging them, with its PSNR."""
    captions = {
        name: [f"{psnr(face, image):.1f} dB" for face, image in zip(clean, images, strict=True)]
        for name, images in damaged.items()
    }
    return image_rows({"clean": clean, **damaged}, inch, captions=captions)


def gallery(groups: Mapping[str, Sequence[Mapping[str, Pixels]]], inch: float = 1.15) -> Figure:
    """Faces of named groups, a row each: the columns from "degraded" to "clean", with PSNR; a star marks the best.

    Args:
        groups: name -> faces, each column name -> uint8 H x W x 3, the same columns everywhere, "clean" among them.
    """
    faces = {
        f"{name} {n}" if len(members) > 1 else name: face
        for name, members in groups.items()
        for n, face in enumerate(members, 1)
    }
    captions = {}
    for name, face in faces.items():
        quality = {column: psnr(face["clean"], image) for column, image in face.items() if column != "clean"}
        stars = {max(quality, key=lambda column: quality[column]): " *"}
        captions[name] = [f"{quality[c]:.1f} dB{stars.get(c, '')}" if c in quality else "" for c in face]
    titles = [textwrap.fill(column.replace("_", " "), 10) for column in next(iter(faces.values()))]
    return image_rows({name: list(face.values()) for name, face in faces.items()}, inch, titles, captions)
