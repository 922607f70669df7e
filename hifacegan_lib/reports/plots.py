"""Pictures for notebooks and reports: functions that take data and return a matplotlib ``Figure``.

Here are the canvas, rows of faces, and what shows a data set or an evaluation. Degradations and networks have files of
their own, built on this one.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hifacegan_lib.utils import files
from hifacegan_lib.utils.images import Pixels, grid
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


def face_sheets(groups: Mapping[str, Sequence[Pixels]], columns: int = 12, inch: float = 0.8) -> Figure:
    """A contact sheet for each named group of equally sized faces, one below the other."""
    lines = [-(-len(faces) // columns) for faces in groups.values()]
    size = (inch * columns, inch * sum(lines) + 0.32 * len(groups))
    figure, axes = canvas(len(groups), figsize=size, height_ratios=lines, layout=None)
    for axis, (name, faces) in zip(axes[:, 0], groups.items(), strict=True):
        show(axis, grid(faces, columns, gap=max(2, faces[0].shape[0] // 24)))
        axis.images[0].set_interpolation("auto")  # shown smaller than they are: averaged, not thinned out
        axis.set_title(name, fontsize=10, loc="left")
        axis.set_anchor("W")
    figure.tight_layout(pad=0.3)
    return figure


def brightness_and_colour(groups: Mapping[str, Sequence[Pixels]]) -> Figure:
    """Brightness of faces, and levels of red, green and blue, in each group: the first filled, the others as lines."""
    figure, axes = canvas(1, 4, figsize=(11, 2.6))
    for n, (name, faces) in enumerate(groups.items()):
        style: dict[str, Any] = {"density": True, "histtype": "step" if n else "stepfilled", "linewidth": 1.6}
        shown = [np.array([face.mean() for face in faces])]
        shown += [np.concatenate([face[::2, ::2, channel].ravel() for face in faces]) for channel in range(3)]
        for axis, values, colour in zip(axes[0], shown, ("0.5", "tab:red", "tab:green", "tab:blue"), strict=True):
            colour, alpha = ("black", 1) if n else (colour, 0.45)
            axis.hist(values, np.arange(0, 257, 8), color=colour, alpha=alpha, label=name, **style)
    for axis, name in zip(
        axes[0], ("mean of a face", *(f"{c} of a pixel" for c in ("red", "green", "blue"))), strict=True
    ):
        axis.set(xlabel=name, yticks=[], xlim=(0, 256), xticks=[0, 64, 128, 192, 255])
        axis.spines["left"].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=9, loc="upper left", borderpad=0)
    return figure


def gallery(groups: Mapping[str, Sequence[Mapping[str, Pixels]]], inch: float = 1.15) -> Figure:
    """Faces of named groups, a row each: the columns from "degraded" to "clean", with their PSNR, the best in bold.

    Args:
        groups: name -> faces, each column name -> uint8 H x W x 3, the same columns everywhere, "clean" among them.
    """
    faces = {
        f"{name} {n}" if len(members) > 1 else name: face
        for name, members in groups.items()
        for n, face in enumerate(members, 1)
    }
    quality = {
        name: {column: psnr(face["clean"], image) for column, image in face.items() if column != "clean"}
        for name, face in faces.items()
    }
    captions = {name: [f"{q[c]:.1f} dB" if c in q else "" for c in faces[name]] for name, q in quality.items()}
    titles = [textwrap.fill(column.replace("_", " "), 10) for column in next(iter(faces.values()))]
    figure = image_rows({name: list(face.values()) for name, face in faces.items()}, inch, titles, captions)
    for axis in figure.axes:
        axis.title.set_fontsize(11)
        axis.xaxis.label.set_fontsize(10)
    for n, q in enumerate(quality.values()):
        best = list(q).index(max(q, key=lambda column: q[column]))
        figure.axes[n * len(titles) + best].xaxis.label.set_fontweight("bold")
    figure.tight_layout(pad=0.3)
    return figure


def intervals(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str], highlight: str = "model") -> Figure:
    """Mean and interval of each method, a panel for each metric.

    Args:
        rows: ``method`` and, for each metric ``m`` of ``labels``, the numbers ``m``, ``m_low`` and ``m_high`` or None.
        labels: metric -> title of its panel.
        highlight: the method in colour.
    """
    columns = min(2, len(labels))
    lines = -(-len(labels) // columns)
    size = (1.4 + 2.9 * columns, (1.1 + 0.45 * len(rows)) * lines)
    figure, axes = canvas(lines, columns, figsize=size, sharey=True)
    for axis in axes.flat[len(labels) :]:
        axis.set_visible(False)
    for axis, (metric, label) in zip(axes.flat, labels.items(), strict=False):
        for n, row in enumerate(rows):
            if row[metric] is not None:
                colour = "C0" if row["method"] == highlight else "0.45"
                axis.plot([row[f"{metric}_low"], row[f"{metric}_high"]], [n, n], color=colour, linewidth=2.5, alpha=0.5)
                axis.plot(row[metric], n, "o", color=colour, markersize=8)
                axis.annotate(f"{row[metric]:.4g}", (row[metric], n), (0, 8), textcoords="offset points", ha="center")
        axis.set_title(label, fontsize=10.5, loc="left")
        axis.set(ylim=(len(rows) - 0.6, -0.7), yticks=range(len(rows)))
        axis.set_yticklabels([row["method"].replace("_", " ") for row in rows], fontsize=11)
        axis.margins(x=0.14)
        axis.locator_params(axis="x", nbins=5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", alpha=0.25)
        axis.spines["left"].set_visible(False)
    return figure


def before_after(before: Sequence[float], after: Sequence[float], name: str = "model") -> Figure:
    """PSNR of each face before and after: above the diagonal it was helped, below (in red) it was harmed."""
    pairs = np.array([before, after], float)
    x, y = pairs[:, np.isfinite(pairs).all(0)]
    figure, axes = canvas(figsize=(5, 4.6))
    axis = axes[0, 0]
    span = np.array([min(x.min(), y.min()) - 0.7, max(x.max(), y.max()) + 0.7])
    axis.fill_between(span, span, span[0], color="C3", alpha=0.07, linewidth=0)
    axis.plot(span, span, color="0.3", linewidth=1)
    axis.plot(span, span + (y - x).mean(), color="C0", linewidth=1, linestyle=(0, (4, 3)))
    axis.text(0.97, 0.04, "harmed", color="C3", ha="right", transform=axis.transAxes)
    axis.text(0.03, 0.93, "helped", color="C0", transform=axis.transAxes)
    for chosen, colour in ((y >= x, "C0"), (y < x, "C3")):
        axis.plot(x[chosen], y[chosen], "o", color=colour, alpha=0.75, markersize=6, markeredgecolor="white")
    axis.set_title(f"{(y - x).mean():+.2f} dB on average, {(y < x).sum()} of {len(x)} faces harmed", fontsize=10)
    axis.set(xlabel="PSNR of the degraded face, dB", ylabel=f"PSNR after {name}, dB", xlim=span, ylim=span)
    axis.set_aspect("equal")
    axis.grid(alpha=0.25)
    return figure
