"""Every picture that a notebook or a report shows: functions that take data and return a matplotlib ``Figure``."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from hifacegan_lib.images import Pixels


def _canvas(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Figure and 2-D array of axes, closed for pyplot: a notebook shows it once, as the value of its cell."""
    figure, axes = plt.subplots(rows, columns, squeeze=False, **options)
    plt.close(figure)
    return figure, axes


def image_rows(rows: Mapping[str, Sequence[Pixels]], inch: float = 1.3, titles: Sequence[str] = ()) -> Figure:
    """Rows of images with a name at the left of each row, and an optional title above each column.

    Args:
        rows: name -> images, uint8 H x W x 3; every row of the same length.
        inch: width of one image on paper.
        titles: one for each column, or none.
    """
    lengths = {len(images) for images in rows.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"rows need the same number of images, at least one; got {sorted(lengths)}")
    columns = lengths.pop()
    figure, axes = _canvas(
        len(rows), columns, figsize=(inch * columns + 0.9, inch * len(rows) + (0.3 if titles else 0.1))
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=10, rotation=0, ha="right", va="center", labelpad=6)
    for axis, title in zip(axes[0], titles, strict=bool(titles)):
        axis.set_title(title, fontsize=9)
    figure.tight_layout(pad=0.3)
    return figure
